mod files;
mod filters;
mod shipped;
mod sinks;
mod store;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};

use crate::pipeline::alert::WindowMode;
use crate::pipeline::detect::rule::{RuleSpec, WindowSpec};
use crate::pipeline::filter::{Field, FilterSpec};

use super::*;

fn name(file: &str) -> Arc<Path> {
    Path::new(file).into()
}

fn settings(text: &str) -> Settings {
    parse(name("c.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn check(text: &str, expected: Expect) {
    let problems = parse(name("c.toml"), text).expect_err("nothing wrong");
    expected.assert_eq(&problems.to_string());
}

fn check_rule(text: &str, expected: Expect) {
    let problems = rule_file::parse(name("r.toml"), text).expect_err("nothing wrong");
    expected.assert_eq(&Problems::of(problems).to_string());
}

#[test]
fn an_empty_file_means_the_defaults() {
    let Settings {
        sensor,
        alerts,
        heartbeat,
        state,
        store,
        tamper,
        host,
        labels,
        redaction,
        repeats,
        filters,
        sinks,
        rules,
    } = settings("");
    assert_eq!(store, store::DEFAULTS);
    assert_eq!((filters, sinks, labels.len()), (vec![], vec![], 0));
    assert_eq!((redaction.patterns.len(), repeats.burst), (5, 16));
    assert_eq!(heartbeat.interval, Some(Duration::from_secs(60)));
    assert_eq!(
        sensor,
        SensorSettings {
            bulk_ring_bytes: 8 << 20,
            urgent_ring_bytes: 512 << 10,
            drain_delay: Duration::from_millis(10),
            urgent_names: Vec::new(),
            failed_execs: false,
            kernel_log: KernelLog::Off,
        }
    );
    assert_eq!(
        alerts,
        AlertsSettings {
            path: PathBuf::from("/var/log/wallwatch/alerts.jsonl"),
            group: "adm".to_owned(),
            stdout: false,
            queue_lines: 1024,
        }
    );
    assert_eq!(
        state,
        StateSettings {
            directory: PathBuf::from("/var/lib/wallwatch"),
            save_interval: Duration::from_secs(60),
        }
    );
    assert_eq!(
        tamper,
        TamperSettings {
            enabled: true,
            managers: Vec::new(),
            xtables_poll_interval: Duration::from_secs(10),
        }
    );
    assert_eq!(host, HostSettings { name: None });
    let rule = rules.linux_iptables_firewall_modification;
    assert_eq!(rule.file, None);
    assert_eq!(rule.spec, rule_file::built_in().unwrap());
}

#[test]
fn every_key_changes_what_it_names() {
    let settings = settings(
        r#"
        host.name = "web-1"
        [sensor]
        bulk_ring_bytes = "64KiB"
        urgent_ring_bytes = 0x10_0000
        drain_delay_ms = 1
        urgent_names = ["fwtool", "ash"]
        failed_execs = true
        kernel_log = "trace"
        [alerts]
        path = "/tmp/a"
        group = "siem"
        stdout = true
        queue_lines = 65536
        [heartbeat]
        interval_s = 0
        [state]
        directory = "/tmp/s"
        save_interval_s = 3600
        [tamper]
        enabled = false
        managers = ["/opt/fw/bin/fwd"]
        xtables_poll_interval_s = 3600
        [rules.linux_iptables_firewall_modification]
        ports = ["22", "23"]
        port_count_min = 2
        not_parent_process_path = []
        window = "tumbling"
        window_span_s = 60
        window_offset_s = 59
        filter = [{ name = "panel", user = ["root"], ports = ["22", "23"] }]
        "#,
    );
    assert_eq!(settings.host.name.as_deref(), Some("web-1"));
    assert_eq!(settings.heartbeat.interval, None);
    assert_eq!(
        settings.tamper,
        TamperSettings {
            enabled: false,
            managers: vec!["/opt/fw/bin/fwd".to_owned()],
            xtables_poll_interval: Duration::from_secs(3600),
        }
    );
    assert_eq!(
        settings.sensor,
        SensorSettings {
            bulk_ring_bytes: 64 << 10,
            urgent_ring_bytes: 1 << 20,
            drain_delay: Duration::from_millis(1),
            urgent_names: vec!["fwtool".to_owned(), "ash".to_owned()],
            failed_execs: true,
            kernel_log: KernelLog::Trace,
        }
    );
    assert_eq!(
        settings.alerts,
        AlertsSettings {
            path: PathBuf::from("/tmp/a"),
            group: "siem".to_owned(),
            stdout: true,
            queue_lines: 65_536,
        }
    );
    assert_eq!(
        settings.state,
        StateSettings {
            directory: PathBuf::from("/tmp/s"),
            save_interval: Duration::from_secs(3600),
        }
    );
    let spec = settings.rules.linux_iptables_firewall_modification.spec;
    assert_eq!(spec.ports, ["22", "23"]);
    assert_eq!(spec.port_count_min, 2);
    assert!(spec.not_parent_process_path.is_empty());
    assert_eq!(
        spec.window,
        WindowSpec {
            mode: WindowMode::Tumbling,
            span_s: 60,
            offset_s: 59,
        }
    );
    assert_eq!(
        spec.filters,
        [FilterSpec {
            name: "panel".to_owned(),
            owner: None,
            reason: None,
            expires_ns: None,
            fields: vec![
                (Field::User, vec!["root".to_owned()]),
                (Field::Ports, vec!["22".to_owned(), "23".to_owned()]),
            ],
        }]
    );
}

#[test]
fn the_built_in_rule_is_the_analytic_to_the_letter() {
    let spec = rule_file::built_in().unwrap();
    expect![[r#"
        RuleSpec {
            identity: RuleIdentity {
                id: "309d59dc-1e1b-49b2-9800-7cf18d12f7b7",
                name: "Linux Iptables Firewall Modification",
                version: 1,
                severity: Medium,
                risk_score: 25,
                mitre_technique_id: [
                    "T1562.004",
                    "T1686",
                ],
            },
            process: [
                "*iptables *",
                "* --dport *",
                "* ACCEPT*",
                "*&>/dev/null*",
                "* tcp *",
            ],
            not_parent_process_path: [
                "/bin/*",
                "/lib/*",
                "/usr/bin/*",
                "/sbin/*",
            ],
            port_prefix: "--dport ",
            ports: [
                "3269",
                "636",
                "989",
                "994",
                "995",
                "8443",
            ],
            port_count_min: 3,
            window: WindowSpec {
                mode: Sliding,
                span_s: 3600,
                offset_s: 3000,
            },
            filters: [],
        }
    "#]]
    .assert_debug_eq(&spec);
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_line() {
    check(
        r#"colour = "red"
[sensor]
bulk_ring_bytes = "3MiB"
urgent_ring_bytes = "128MiB"
drain_delay_ms = 0
urgent_names = ["ash", "nft2",
    7, "ash"]
kernel_log = "loud"
[alert]
path = "/x"
[alerts]
paht = "/x"
path = "alerts.jsonl"
stdout = "yes"
queue_lines = -1
group = ""
[state]
directory = "state"
save_interval_s = "60s"
[host]
name = "a\u001b[31mb"
[rules.linux_iptables_firewall_modificatoin]
"#,
        expect![[r#"
            c.toml:1: key `colour`: unknown, known here: `sensor`, `alerts`, `heartbeat`, `state`, `store`, `tamper`, `host`, `labels`, `redaction`, `repeats`, `filters`, `sinks`, `rules`
            c.toml:3: key `sensor.bulk_ring_bytes`: expected a power of two from "64KiB" to "1GiB", found "3MiB"
            c.toml:4: key `sensor.urgent_ring_bytes`: expected a power of two from "64KiB" to "64MiB", found "128MiB"
            c.toml:5: key `sensor.drain_delay_ms`: expected a whole number from 1 to 10, found 0
            c.toml:6: key `sensor.urgent_names`: expected a name of 1 to 15 ASCII letters, found "nft2"
            c.toml:7: key `sensor.urgent_names`: expected a name of 1 to 15 ASCII letters, found 7
            c.toml:7: key `sensor.urgent_names`: expected each once, found "ash"
            c.toml:8: key `sensor.kernel_log`: expected one of "off", "error", "warn", "info", "debug", "trace", found "loud"
            c.toml:9: key `alert`: unknown, did you mean `alerts`?
            c.toml:12: key `alerts.paht`: unknown, did you mean `path`?
            c.toml:13: key `alerts.path`: expected an absolute path, found "alerts.jsonl"
            c.toml:14: key `alerts.stdout`: expected `true` or `false`, found "yes"
            c.toml:15: key `alerts.queue_lines`: expected a whole number from 1 to 65536, found -1
            c.toml:16: key `alerts.group`: expected the name of a group, found ""
            c.toml:18: key `state.directory`: expected an absolute path, found "state"
            c.toml:19: key `state.save_interval_s`: expected a whole number from 1 to 3600, found "60s"
            c.toml:21: key `host.name`: expected 1 to 253 visible characters, found "a\u{1b}[31mb"
            c.toml:22: key `rules.linux_iptables_firewall_modificatoin`: unknown, did you mean `linux_iptables_firewall_modification`?"#]],
    );
}

#[test]
fn what_is_wrong_with_a_rule_in_the_configuration_is_told_too() {
    check(
        r#"
[rules.linux_iptables_firewall_modification]
ports = ["1", ""]
not_parent_process_path = "/bin/*"
port_count_min = 0
window = "hopping"
window_span_s = 86401
window_offset_s = 1979-05-27
[[rules.linux_iptables_firewall_modification.filter]]
name = "all"
[[rules.linux_iptables_firewall_modification.filter]]
user = ["root"]
port = ["22"]
[[rules.linux_iptables_firewall_modification.filter]]
name = "all"
user = []
"#,
        expect![[r#"
            c.toml:3: key `rules.linux_iptables_firewall_modification.ports`: expected a port of 1 to 64 bytes, found ""
            c.toml:4: key `rules.linux_iptables_firewall_modification.not_parent_process_path`: expected a list of 0 to 256 texts, found "/bin/*"
            c.toml:5: key `rules.linux_iptables_firewall_modification.port_count_min`: expected a whole number from 1 to 1024, found 0
            c.toml:6: key `rules.linux_iptables_firewall_modification.window`: expected one of "sliding", "tumbling", found "hopping"
            c.toml:7: key `rules.linux_iptables_firewall_modification.window_span_s`: expected a whole number from 1 to 86400, found 86401
            c.toml:8: key `rules.linux_iptables_firewall_modification.window_offset_s`: expected a whole number from 0 to 86399, found the time 1979-05-27
            c.toml:9: key `rules.linux_iptables_firewall_modification.filter`: expected at least one column beside the name, found none
            c.toml:11: key `rules.linux_iptables_firewall_modification.filter.name`: expected a name of 1 to 128 bytes without control characters, found nothing
            c.toml:13: key `rules.linux_iptables_firewall_modification.filter.port`: unknown, did you mean `ports`?
            c.toml:15: key `rules.linux_iptables_firewall_modification.filter.name`: expected a name that no other filter has, found "all"
            c.toml:16: key `rules.linux_iptables_firewall_modification.filter.user`: expected a list of 1 to 256 texts, found a list of 0"#]],
    );
}

#[test]
fn keys_that_fit_alone_but_not_together_are_told() {
    let check = |keys: &str, expected: Expect| {
        check(
            &format!("[rules.linux_iptables_firewall_modification]\n{keys}\n"),
            expected,
        );
    };
    check(
        r#"ports = ["1", "2"]"#,
        expect![
            "c.toml:2: key `rules.linux_iptables_firewall_modification.ports`: port_count_min is 3 and must be from 1 to the number of distinct ports, 2"
        ],
    );
    check(
        "port_count_min = 7",
        expect![
            "c.toml:2: key `rules.linux_iptables_firewall_modification.port_count_min`: port_count_min is 7 and must be from 1 to the number of distinct ports, 6"
        ],
    );
    check(
        "window_span_s = 60\nwindow_offset_s = 60",
        expect![
            "c.toml:3: key `rules.linux_iptables_firewall_modification.window_offset_s`: expected less than 60, the window's span, found 60"
        ],
    );
    check(
        "window_offset_s = 3600",
        expect![
            "c.toml:2: key `rules.linux_iptables_firewall_modification.window_offset_s`: expected less than 3600, the window's span, found 3600"
        ],
    );
}

#[test]
fn what_the_pipeline_would_refuse_is_told_with_its_place() {
    let long = || "a".repeat(1_000_000);
    let place = |key: &str| Origin {
        file: name("c.toml"),
        line: 9,
        key: key.to_owned(),
    };
    let written = |key, value| {
        let origin = place(key);
        Some(Written { value, origin })
    };
    let told = |overrides: Overrides, spec| {
        let problems = overrides.apply(spec, &place("process")).unwrap_err();
        Problems::of(problems).to_string()
    };
    let refused = |key| {
        format!(
            "c.toml:9: key `{key}`: a pattern for {key} is refused: \
             Compiled regex exceeds size limit of 10485760 bytes."
        )
    };
    let spec = rule_file::built_in().unwrap();

    let parents = Overrides {
        not_parent_process_path: written("not_parent_process_path", vec![long()]),
        ..Overrides::default()
    };
    assert_eq!(
        told(parents, spec.clone()),
        refused("not_parent_process_path")
    );

    let ports = Overrides {
        ports: written("ports", vec![long()]),
        port_count_min: Some(Written {
            value: 1,
            origin: place("port_count_min"),
        }),
        ..Overrides::default()
    };
    assert_eq!(told(ports, spec.clone()), refused("ports"));

    let process = RuleSpec {
        process: vec![long()],
        ..spec
    };
    assert_eq!(told(Overrides::default(), process), refused("process"));
}

#[test]
fn an_offset_of_the_rule_stays_within_a_shorter_span() {
    let window = |keys: &str| {
        settings(&format!(
            "[rules.linux_iptables_firewall_modification]\nwindow = 'tumbling'\n{keys}"
        ))
        .rules
        .linux_iptables_firewall_modification
        .spec
        .window
    };
    assert_eq!(window("window_span_s = 600").offset_s, 0);
    assert_eq!(window("window_span_s = 1800").offset_s, 1200);
    assert_eq!(window("window_span_s = 86400").offset_s, 3000);
}

#[test]
fn what_is_not_toml_is_told_once_and_the_rest_is_still_judged() {
    check(
        "[sensor]\ndrain_delay_ms = ten\nkernel_log = \"off\"\nkernel_log = \"warn\"\n[alerts\nqueue_lines = 0\n",
        expect![[r#"
            c.toml:2: not TOML: invalid boolean, expected `true`
            c.toml:4: not TOML: duplicate key
            c.toml:5: not TOML: unclosed table, expected `]`"#]],
    );
    check(
        "[sensor]\nurgent_names = [\"a\", \"b\"\nkernel_log = \"off\"\n",
        expect!["c.toml:3: not TOML: missing comma between array elements, expected `,`"],
    );
    check(
        &"[".repeat(100_000),
        expect![
            "c.toml:1: not TOML: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`"
        ],
    );
}

#[test]
fn a_rule_file_must_be_whole() {
    check_rule(
        "",
        expect![[r#"
        r.toml:1: key `id`: expected 1 to 64 ASCII letters, digits, `-`, `_`, `.`, found nothing
        r.toml:1: key `name`: expected 1 to 128 bytes without control characters, found nothing
        r.toml:1: key `version`: expected a whole number, found nothing
        r.toml:1: key `severity`: expected a severity, found nothing
        r.toml:1: key `risk_score`: expected a whole number, found nothing
        r.toml:1: key `mitre_technique_id`: expected a list of ATT&CK technique ids, found nothing
        r.toml:1: key `process`: expected a list of globs, found nothing
        r.toml:1: key `port_prefix`: expected the text before the port, 1 to 256 bytes, found nothing
        r.toml:1: key `ports`: expected a list of ports, found nothing
        r.toml:1: key `port_count_min`: expected a whole number, found nothing
        r.toml:1: key `window`: expected a window, found nothing
        r.toml:1: key `window_span_s`: expected a whole number, found nothing"#]],
    );
    check_rule(
        r#"
id = "a b"
name = ""
version = 0
severity = "urgent"
risk_score = 101
mitre_technique_id = ["T1562.04", "T15620", "t1562", "T1562.004.1"]
process = []
port_prefix = ""
ports = ["1", "2"]
port_count_min = 3
window = "sliding"
window_span_s = 60
window_offset_s = 60
rex = "x"
"#,
        expect![[r#"
            r.toml:2: key `id`: expected 1 to 64 ASCII letters, digits, `-`, `_`, `.`, found "a b"
            r.toml:3: key `name`: expected 1 to 128 bytes without control characters, found ""
            r.toml:4: key `version`: expected a whole number from 1 to 4294967295, found 0
            r.toml:5: key `severity`: expected one of "informational", "low", "medium", "high", "critical", found "urgent"
            r.toml:6: key `risk_score`: expected a whole number from 0 to 100, found 101
            r.toml:7: key `mitre_technique_id`: expected an ATT&CK technique id like "T1686" or "T1562.004", found "T1562.04"
            r.toml:7: key `mitre_technique_id`: expected an ATT&CK technique id like "T1686" or "T1562.004", found "T15620"
            r.toml:7: key `mitre_technique_id`: expected an ATT&CK technique id like "T1686" or "T1562.004", found "t1562"
            r.toml:7: key `mitre_technique_id`: expected an ATT&CK technique id like "T1686" or "T1562.004", found "T1562.004.1"
            r.toml:8: key `process`: expected a list of 1 to 256 texts, found a list of 0
            r.toml:9: key `port_prefix`: expected the text before the port, 1 to 256 bytes, found ""
            r.toml:15: key `rex`: unknown, known here: `id`, `name`, `version`, `severity`, `risk_score`, `mitre_technique_id`, `process`, `port_prefix`, `not_parent_process_path`, `ports`, `port_count_min`, `window`, `window_span_s`, `window_offset_s`, `filter`"#]],
    );
    let clashing = include_str!("../../rules/linux_iptables_firewall_modification.toml")
        .replace("port_count_min = 3", "port_count_min = 7")
        .replace("window_offset_s = 3000", "window_offset_s = 3600");
    check_rule(
        &clashing,
        expect![[r#"
            r.toml:52: key `port_count_min`: port_count_min is 7 and must be from 1 to the number of distinct ports, 6
            r.toml:59: key `window_offset_s`: expected less than 3600, the window's span, found 3600"#]],
    );
}

#[test]
fn a_missing_file_matters_only_when_it_was_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.toml");
    let problems = load(Some(&path)).unwrap_err().to_string();
    assert_eq!(
        problems,
        format!(
            "{}: cannot be read: No such file or directory (os error 2)",
            path.display()
        )
    );
}

#[test]
fn a_file_that_everyone_may_write_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    fs::write(&path, "").unwrap();
    for (mode, refused) in [(0o600, false), (0o664, false), (0o646, true), (0o666, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(load(Some(&path)).is_err(), refused, "{mode:o}");
    }
    let problems = load(Some(&path)).unwrap_err().to_string();
    assert_eq!(
        problems,
        format!(
            "{}: everyone may write it (mode 0666); take that away with `chmod o-w`",
            path.display()
        )
    );
}

#[test]
fn what_is_no_short_text_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let problem = |path: &Path| {
        let problems = load(Some(path)).unwrap_err();
        let faults: Vec<String> = problems.iter().map(|it| it.fault.to_string()).collect();
        faults.join("\n")
    };
    let path = directory.path().join("c.toml");
    assert_eq!(
        problem(directory.path()),
        "expected a regular file, found something else"
    );

    fs::write(&path, b"# a\n\xff").unwrap();
    assert_eq!(
        problem(&path),
        "expected UTF-8, found other bytes after byte 4"
    );

    fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert_eq!(problem(&path), "expected at most 1048576 bytes, found more");

    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert_eq!(
        problem(&fifo),
        "expected a regular file, found something else"
    );
}

#[test]
fn a_named_rule_file_takes_the_place_of_the_built_in_one() {
    let directory = tempfile::tempdir().unwrap();
    let rule = directory.path().join("rule.toml");
    let text = include_str!("../../rules/linux_iptables_firewall_modification.toml");
    let config = format!(
        "[rules.linux_iptables_firewall_modification]\nfile = {rule:?}\nport_count_min = 5\n\
         [[rules.linux_iptables_firewall_modification.filter]]\nname = 'b'\nuser = ['x']\n"
    );

    fs::write(
        &rule,
        text.replace("version = 1", "version = 9") + "[[filter]]\nname = 'a'\nuser = ['y']\n",
    )
    .unwrap();
    let loaded = settings(&config).rules.linux_iptables_firewall_modification;
    assert_eq!(loaded.file.as_deref(), Some(rule.as_path()));
    assert_eq!(loaded.spec.identity.version, 9);
    assert_eq!(loaded.spec.port_count_min, 5);
    let filters: Vec<_> = loaded.spec.filters.iter().map(|it| &it.name).collect();
    assert_eq!(filters, ["a", "b"]);

    fs::write(&rule, text.replace("version = 1", "version = 'new'")).unwrap();
    let problems = parse(name("c.toml"), &format!("colour = 1\n{config}"))
        .unwrap_err()
        .to_string()
        .replace(directory.path().to_str().unwrap(), "DIR");
    expect![[r#"
        DIR/rule.toml:7: key `version`: expected a whole number from 1 to 4294967295, found "new"
        c.toml:1: key `colour`: unknown, known here: `sensor`, `alerts`, `heartbeat`, `state`, `store`, `tamper`, `host`, `labels`, `redaction`, `repeats`, `filters`, `sinks`, `rules`"#]]
    .assert_eq(&problems);
}

#[test]
fn a_file_of_nothing_but_mistakes_is_told_briefly() {
    let problems = parse(name("c.toml"), &"a b\n".repeat(200_000)).unwrap_err();
    let told = problems.to_string();
    assert_eq!(told.lines().count(), 101);
    assert!(told.ends_with("\nand 199900 more"), "{told}");
}
