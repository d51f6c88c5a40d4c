//! Receivers of alerts, labels, and what is redacted.

use std::time::Duration;

use crate::config::{
    Acknowledge, Address, Destination, ElasticCredentials, EventKind, Format, Secret, SinkSettings,
    SyslogTransport,
};
use crate::pipeline::alert::Severity;
use crate::pipeline::redact::Redaction;

use super::*;

fn sink(lines: &str) -> SinkSettings {
    let text = format!("[[sinks]]\nname = \"s\"\n{lines}");
    let [sink] = &*settings(&text).sinks else {
        panic!("not one sink");
    };
    sink.value.clone()
}

#[test]
fn what_a_sink_does_not_say_has_a_default() {
    let sink = sink("type = \"hec\"\nurl = \"https://splunk:8088/\"\ntoken_file = \"/t\"\n");
    assert_eq!(sink.format, Format::Native);
    assert_eq!(sink.selection.kinds, EventKind::ALL);
    assert_eq!(sink.selection.severity_min, Severity::Informational);
    let Destination::Hec(hec) = sink.destination else {
        panic!("{sink:?}");
    };
    assert_eq!(hec.endpoint.url, "https://splunk:8088");
    assert_eq!(hec.endpoint.timeout, Duration::from_secs(30));
    assert!(hec.endpoint.gzip);
    assert_eq!(hec.token, Secret::File("/t".into()));
    assert_eq!(hec.acknowledge, Acknowledge::Auto);
    assert_eq!((hec.index, hec.index_fallback), (None, false));
}

#[test]
fn addresses_have_a_port_or_the_usual_one() {
    let address = |text: &str| {
        let lines = format!("type = \"syslog\"\ntransport = \"tls\"\naddress = {text:?}\n");
        let Destination::Syslog(syslog) = sink(&lines).destination else {
            panic!("{text}");
        };
        let SyslogTransport::Tls { address, .. } = syslog.transport else {
            panic!("{text}");
        };
        address
    };
    for (text, host, port) in [
        ("siem", "siem", 6514),
        ("siem.example.net:601", "siem.example.net", 601),
        ("[::1]", "::1", 6514),
        ("[2001:db8::7]:9", "2001:db8::7", 9),
    ] {
        let expected = Address {
            host: host.to_owned(),
            port,
        };
        assert_eq!(address(text), expected, "{text}");
    }
}

#[test]
fn a_format_follows_the_type_and_events_are_chosen() {
    let elastic = sink(
        "type = \"elastic\"\nurl = \"https://e\"\nuser = \"u\"\npassword = \"p\"\nkinds = [\"self\", \"alert\"]\nseverity_min = \"high\"\nrules = [\"accept-opened\"]\n",
    );
    assert_eq!(elastic.format, Format::Ecs);
    assert_eq!(elastic.selection.kinds, [EventKind::Alert, EventKind::Own]);
    assert_eq!(elastic.selection.severity_min, Severity::High);
    let Destination::Elastic(elastic) = elastic.destination else {
        panic!("{elastic:?}");
    };
    let shown = format!("{elastic:?}");
    assert!(shown.contains("Inline(…)"), "{shown}");
    let Some(ElasticCredentials::Basic { user, password }) = elastic.credentials else {
        panic!("{shown}");
    };
    assert_eq!(
        (user.as_str(), password),
        ("u", Secret::Inline("p".to_owned()))
    );
}

#[test]
fn everything_wrong_with_sinks_is_told() {
    check(
        r#"
[[sinks]]
name = "File"
type = "hec"
url = "splunk:8088"
token = "a b"
ack = "always"
ack_window_s = 1
headers = ["X Y: z"]
client_cert_file = "/c.pem"
format = "cef"
adress = "x"

[[sinks]]
name = "two"
type = "syslog"
address = "a:b:c"
facility = "local8"

[[sinks]]
name = "three"
type = "carrier-pigeon"

[[sinks]]
name = "four"
type = "elastic"
url = "https://e"
user = "u"
api_key = "k"

[[sinks]]
name = "five"
type = "journald"
kinds = ["alarm"]

[[sinks]]
name = "six"
type = "http"
format = "cef"
url = "https://h"
body = "array"
token = "t"
token_file = "/t"

[[sinks]]
name = "seven"
type = "file"
path = "/a"

[[sinks]]
name = "seven"
type = "file"
path = "/b"

[labels]
"a b" = "x"
c = 7

[redaction]
patterns = ["("]
"#,
        expect![[r#"
            c.toml:3: key `sinks.name`: expected a name of 1 to 32 lower-case letters, digits and `-`, other than "file", found "File"
            c.toml:5: key `sinks.url`: expected a URL, as "https://siem.example.net:8088", found "splunk:8088"
            c.toml:6: key `sinks.token`: expected a text of visible characters, found another one, which is not shown
            c.toml:7: key `sinks.ack`: expected one of "auto", "never", found "always"
            c.toml:8: key `sinks.ack_window_s`: expected a whole number from 10 to 86400, found 1
            c.toml:9: key `sinks.headers`: expected a header, as "X-Tenant: gateway", found "X Y: z"
            c.toml:10: key `sinks.client_cert_file`: expected both `client_cert_file` and `client_key_file`, or none, found one of them
            c.toml:11: key `sinks.format`: expected one of "native", "ecs", "ocsf", found "cef"
            c.toml:12: key `sinks.adress`: unknown, known here: `name`, `type`, `format`, `kinds`, `severity_min`, `rules`, `url`, `proxy`, `ca_file`, `client_cert_file`, `client_key_file`, `timeout_s`, `gzip`, `headers`, `token_file`, `token`, `index`, `index_fallback`, `source`, `sourcetype`, `ack`, `ack_window_s`
            c.toml:14: key `sinks.transport`: expected one of "udp", "tcp", "tls", "unix", found nothing
            c.toml:17: key `sinks.address`: expected HOST or HOST:PORT; an IPv6 address in brackets, found "a:b:c"
            c.toml:18: key `sinks.facility`: expected one of "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "audit", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7", found "local8"
            c.toml:22: key `sinks.type`: expected one of "file", "journald", "syslog", "hec", "otlp", "http", "elastic", found "carrier-pigeon"
            c.toml:24: key `sinks`: expected either `api_key_file`, or `user` and `password_file`, found another combination
            c.toml:34: key `sinks.kinds`: expected one of "alert", "finding", "summary", "gap", "heartbeat", "self", found "alarm"
            c.toml:41: key `sinks.body`: expected one of "single", "lines", found "array"
            c.toml:42: key `sinks.token`: expected either `token_file` or `token`, found both
            c.toml:50: key `sinks`: expected a name that no other sink has, found "seven"
            c.toml:56: key `labels.a b`: expected a name of 1 to 64 ASCII letters, digits, `_` and `-`, found "a b"
            c.toml:57: key `labels.c`: expected a text of 1 to 256 bytes without control characters, found 7
            c.toml:60: key `redaction.patterns`: expected a regular expression that compiles to at most 1 MiB, found "(""#]],
    );
}

#[test]
fn a_secret_in_the_configuration_or_in_clear_is_doubted() {
    let text = "[[sinks]]\nname = \"s\"\ntype = \"hec\"\nurl = \"http://h\"\ntoken = \"t\"\n";
    let doubts = settings(text).doubts(0).into_iter();
    let doubts: Vec<_> = doubts.map(|doubt| doubt.to_string()).collect();
    expect![[r#"
        c.toml:1: sink "s": its secret stands in the configuration: put it into a file that only wallwatch can read
        c.toml:1: sink "s": its secret is sent in clear: the URL is not https"#]].assert_eq(&doubts.join("\n"));
    assert_eq!(
        settings(
            &text
                .replace("http:", "https:")
                .replace("token =", "token_file =")
                .replace("\"t\"", "\"/t\"")
        )
        .doubts(0),
        []
    );
}

#[test]
fn labels_are_texts_by_name_and_patterns_take_the_place_of_the_built_in_ones() {
    let settings = settings("[labels]\nenv = \"prod\"\n[redaction]\npatterns = []\n");
    let labels: Vec<_> = settings.labels.into_iter().collect();
    assert_eq!(labels, [("env".to_owned(), "prod".to_owned())]);
    assert_eq!(settings.redaction.patterns, [""; 0]);
}

#[test]
fn the_built_in_patterns_mask_secrets_and_no_evidence() {
    let redaction = Redaction::compile(&settings("").redaction.patterns).unwrap();
    let masked = |text: &[u8]| {
        let mut bytes = text.to_vec();
        redaction.mask(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    for (text, expected) in [
        ("x --password=p4ss y", "x --password=**** y"),
        ("x --db-password p4ss y", "x --db-password **** y"),
        (
            "sh -c x --password \"my pass\" y",
            "sh -c x --password \"*******\" y",
        ),
        ("env PGPASSWORD=a,b psql", "env PGPASSWORD=*** psql"),
        (
            "curl -d {\"api_key\": \"k1\"}",
            "curl -d {\"api_key\": \"**\"}",
        ),
        (
            "curl -H Authorization: Bearer abc z",
            "curl -H Authorization: Bearer *** z",
        ),
        ("git clone https://u:pw@h/x", "git clone https://u:**@h/x"),
        // What is run, or opened, stays to be seen.
        ("token=$(iptables -F) x", "token=$(iptables -F) x"),
        ("sh -c secret=a; iptables -F", "sh -c secret=*; iptables -F"),
        (
            "iptables -m comment --comment token --dport=22",
            "iptables -m comment --comment token --dport=22",
        ),
        (
            "iptables --token --dport=22 -j ACCEPT",
            "iptables --token --dport=22 -j ACCEPT",
        ),
    ] {
        assert_eq!(masked(text.as_bytes()), expected);
    }
    assert_eq!(masked(b"--password=p\xe4ss x"), "--password=**** x");
}

#[test]
fn of_a_url_only_the_server_is_shown() {
    for (url, shown) in [
        ("https://siem.example.net", "https://siem.example.net"),
        ("https://a:hush@[::1]:8088/x", "https://[::1]:8088"),
        (
            "http://hooks.example.net/hush?key=hush",
            "http://hooks.example.net",
        ),
        ("https://a@b@c?hush", "https://c"),
        ("http://h?code=a@b", "http://h"),
    ] {
        let lines = format!("type = \"http\"\nurl = {url:?}\n");
        let Destination::Http(http) = sink(&lines).destination else {
            panic!("{url}");
        };
        assert_eq!(http.endpoint.server(), shown);
    }
}

#[test]
fn a_choice_of_events_that_chooses_less_than_it_seems_is_doubted() {
    let doubts = |lines: &str| {
        let text = format!("[[sinks]]\nname = \"j\"\ntype = \"journald\"\n{lines}");
        let doubts = settings(&text).doubts(0).into_iter();
        doubts.map(|doubt| doubt.to_string()).collect::<Vec<_>>()
    };
    let named = "rules = [\"accept-opened\", \"Linux Iptables Firewall Modification\"]\n";
    assert_eq!(doubts(named), [""; 0]);
    assert_eq!(doubts("kinds = [\"alert\", \"summary\"]\n"), [""; 0]);
    let told = doubts("rules = [\"accept-open\"]\nkinds = [\"alert\"]\n").join("\n");
    expect![[r#"
        c.toml:1: sink "j": `rules` has "accept-open", which is no rule and no finding
        c.toml:1: sink "j": `kinds` is without "summary": what of a storm is not told one by one, it never hears of"#]].assert_eq(&told);
}
