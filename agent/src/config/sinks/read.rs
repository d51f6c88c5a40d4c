//! `[[sinks]]` as an operator writes it: keys that every sink has, and those of its type.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::byte_size;
use crate::config::origin::Written;
use crate::config::overrides::has_no_control;
use crate::config::problem::Fault;
use crate::config::section::{Section, Texts};
use crate::config::written::absolute_path;
use crate::pipeline::alert::Severity;

use super::{
    Acknowledge, Address, ClientCertificate, Destination, ElasticCredentials, ElasticSettings,
    Endpoint, EventKind, FileSettings, Format, HecSettings, HttpBody, HttpSettings,
    JournaldSettings, OtlpSettings, Secret, Selection, SinkSettings, SyslogSettings,
    SyslogTransport, TlsSettings,
};

/// Each has a thread.
pub(in crate::config) const SINKS_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 32;
/// The local log has it.
const NAME_OF_LOCAL_LOG: &str = "file";
const URL_BYTES_MAX: usize = 2048;
const TEXT_BYTES_MAX: usize = 1024;
const RULES_MAX: usize = 64;
const HEADERS_MAX: usize = 32;
const JOURNALD_SOCKET: &str = "/run/systemd/journal/socket";
const DEV_LOG: &str = "/dev/log";
const GROUP: &str = "adm";
/// `authpriv`.
const FACILITY: u8 = 10;
/// RFC 5612: of documentation.
const ENTERPRISE_ID: u32 = 32473;
/// What rsyslog takes unless it is told otherwise.
const MESSAGE_BYTES_MAX: usize = 8192;
const TIMEOUT_S: u64 = 30;
const ACK_WINDOW_S: u64 = 600;
const SOURCETYPE: &str = "wallwatch:alert";
const SOURCE: &str = "wallwatch";
const INDEX: &str = "wallwatch-alerts";

const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("audit", 13),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Journald,
    Syslog,
    Hec,
    Otlp,
    Http,
    Elastic,
}

const KINDS: [(&str, Kind); 7] = [
    ("file", Kind::File),
    ("journald", Kind::Journald),
    ("syslog", Kind::Syslog),
    ("hec", Kind::Hec),
    ("otlp", Kind::Otlp),
    ("http", Kind::Http),
    ("elastic", Kind::Elastic),
];

/// What is wrong has been reported; then the sink is left out.
pub(in crate::config) fn read_sinks(
    root: &mut Section<'_>,
) -> Option<Written<Vec<Written<SinkSettings>>>> {
    let sections = root.sections("sinks", SINKS_MAX)?;
    let mut names = BTreeSet::new();
    let mut sinks = Vec::new();
    for section in sections.value {
        let origin = section.origin();
        let Some(sink) = read_sink(section) else {
            continue;
        };
        if !names.insert(sink.name.clone()) {
            root.report(&origin, same_name(&sink.name));
        }
        sinks.push(Written {
            value: sink,
            origin,
        });
    }
    Some(Written {
        value: sinks,
        origin: sections.origin,
    })
}

pub(in crate::config) fn same_name(name: &str) -> Fault {
    Fault::Unfit {
        expected: "a name that no other sink has".to_owned(),
        found: format!("{name:?}"),
    }
}

fn read_sink(mut section: Section<'_>) -> Option<SinkSettings> {
    let named = "a name of 1 to 32 lower-case letters, digits and `-`, other than \"file\"";
    section.require("name", named);
    let name = section.text("name", named, |name| {
        (1..=NAME_BYTES_MAX).contains(&name.len())
            && name != NAME_OF_LOCAL_LOG
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    });
    section.require("type", words(&KINDS));
    let kind = section.choice("type", &KINDS)?.value;
    let format = read_format(&mut section, kind);
    let selection = read_selection(&mut section);
    let destination = match kind {
        Kind::File => read_file(&mut section).map(Destination::File),
        Kind::Journald => Some(Destination::Journald(read_journald(&mut section))),
        Kind::Syslog => read_syslog(&mut section).map(Destination::Syslog),
        Kind::Hec => read_hec(&mut section).map(Destination::Hec),
        Kind::Otlp => read_otlp(&mut section).map(Destination::Otlp),
        Kind::Http => read_http(&mut section, format).map(Destination::Http),
        Kind::Elastic => read_elastic(&mut section).map(Destination::Elastic),
    };
    section.finish();
    Some(SinkSettings {
        name: name?.value,
        format: format?,
        selection: selection?,
        destination: destination?,
    })
}

fn words<T>(choices: &[(&str, T)]) -> String {
    let words = choices.iter().map(|(word, _)| format!("{word:?}"));
    format!("one of {}", words.collect::<Vec<_>>().join(", "))
}

/// Elastic means ECS; what is sent inside a JSON document must be JSON.
fn read_format(section: &mut Section<'_>, kind: Kind) -> Option<Format> {
    let takes = |format: &Format| match kind {
        Kind::Hec | Kind::Elastic => format.is_json(),
        Kind::File | Kind::Journald | Kind::Syslog | Kind::Otlp | Kind::Http => true,
    };
    let choices: Vec<_> = Format::ALL
        .into_iter()
        .filter(takes)
        .map(|format| (format.as_str(), format))
        .collect();
    let default = match kind {
        Kind::Elastic => Format::Ecs,
        Kind::File | Kind::Journald | Kind::Syslog | Kind::Hec | Kind::Otlp | Kind::Http => {
            Format::Native
        }
    };
    or_default(section, "format", default, |section, key| {
        Some(section.choice(key, &choices)?.value)
    })
}

fn read_selection(section: &mut Section<'_>) -> Option<Selection> {
    let kinds = or_default(section, "kinds", EventKind::ALL.to_vec(), |section, key| {
        let texts = section.texts(
                key,
                &Texts {
                    count: 1..=EventKind::ALL.len(),
                    each: "one of \"alert\", \"finding\", \"summary\", \"gap\", \"heartbeat\", \"self\"",
                    fits: |word| EventKind::ALL.iter().any(|kind| kind.as_str() == word),
                },
            )?;
        let is_chosen = |kind: &EventKind| texts.value.iter().any(|word| word == kind.as_str());
        Some(EventKind::ALL.into_iter().filter(is_chosen).collect())
    });
    let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
    let severity_min = or_default(
        section,
        "severity_min",
        Severity::Informational,
        |section, key| Some(section.choice(key, &severities)?.value),
    );
    let rules = or_default(section, "rules", Vec::new(), |section, key| {
        let texts = section.texts(
            key,
            &Texts {
                count: 1..=RULES_MAX,
                each: "the name of a rule or the word of a finding",
                fits: is_text,
            },
        )?;
        Some(texts.value)
    });
    Some(Selection {
        kinds: kinds?,
        severity_min: severity_min?,
        rules: rules?,
    })
}

fn read_file(section: &mut Section<'_>) -> Option<FileSettings> {
    section.require("path", "an absolute path");
    let path = absolute_path(section, "path");
    let group = or_default(section, "group", GROUP.to_owned(), read_text);
    Some(FileSettings {
        path: path?.value,
        group: group?,
    })
}

fn read_journald(section: &mut Section<'_>) -> JournaldSettings {
    let socket = absolute_path(section, "socket");
    JournaldSettings {
        socket: socket.map_or_else(|| PathBuf::from(JOURNALD_SOCKET), |socket| socket.value),
    }
}

fn read_syslog(section: &mut Section<'_>) -> Option<SyslogSettings> {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Transport {
        Udp,
        Tcp,
        Tls,
        Unix,
    }
    let transports = [
        ("udp", Transport::Udp),
        ("tcp", Transport::Tcp),
        ("tls", Transport::Tls),
        ("unix", Transport::Unix),
    ];
    section.require("transport", words(&transports));
    let transport = section.choice("transport", &transports);
    let facility = or_default(section, "facility", FACILITY, |section, key| {
        Some(section.choice(key, &FACILITIES)?.value)
    });
    let enterprise_id = or_default(section, "enterprise_id", ENTERPRISE_ID, |section, key| {
        Some(section.integer(key, 1..=u64::from(u32::MAX))?.value)
    });
    // RFC 5424, section 6.1: a receiver must take 480 bytes and should take 2048.
    let message_bytes_max = or_default(
        section,
        "max_message_bytes",
        MESSAGE_BYTES_MAX,
        |section, key| {
            let expected = "a size from 1KiB to 128KiB";
            let bytes = section.read(key, expected, |value| {
                byte_size::from_value(value).filter(|bytes| (1024..=131_072).contains(bytes))
            })?;
            usize::try_from(bytes.value).ok()
        },
    );
    let timeout = read_seconds(section, "timeout_s", TIMEOUT_S, 1..=600);
    let Some(transport) = transport else {
        // Not to be called unknown, whatever the transport was to be.
        let _known = (
            read_address(section, 514),
            read_tls(section),
            absolute_path(section, "path"),
        );
        return None;
    };
    let transport = match transport.value {
        Transport::Udp => SyslogTransport::Udp {
            address: read_address(section, 514)?,
        },
        Transport::Tcp => SyslogTransport::Tcp {
            address: read_address(section, 514)?,
        },
        Transport::Tls => {
            let address = read_address(section, 6514);
            let tls = read_tls(section);
            SyslogTransport::Tls {
                server_name: read_text(section, "server_name"),
                address: address?,
                tls: tls?,
            }
        }
        Transport::Unix => {
            let path = absolute_path(section, "path");
            SyslogTransport::Unix {
                path: path.map_or_else(|| PathBuf::from(DEV_LOG), |path| path.value),
            }
        }
    };
    Some(SyslogSettings {
        transport,
        facility: facility?,
        enterprise_id: enterprise_id?,
        message_bytes_max: message_bytes_max?,
        timeout: timeout?,
    })
}

fn read_hec(section: &mut Section<'_>) -> Option<HecSettings> {
    let endpoint = server(read_endpoint(section, true));
    let token = read_secret(section, "token", "token_file");
    if token.is_none() && !section.has_any(["token", "token_file"]) {
        section.require("token_file", "an absolute path");
    }
    let index = read_text(section, "index");
    let index_fallback = or_default(section, "index_fallback", false, read_boolean);
    let source = or_default(section, "source", SOURCE.to_owned(), read_text);
    let sourcetype = or_default(section, "sourcetype", SOURCETYPE.to_owned(), read_text);
    let choices = [("auto", Acknowledge::Auto), ("never", Acknowledge::Never)];
    let acknowledge = or_default(section, "ack", Acknowledge::Auto, |section, key| {
        Some(section.choice(key, &choices)?.value)
    });
    let ack_window = read_seconds(section, "ack_window_s", ACK_WINDOW_S, 10..=86_400);
    Some(HecSettings {
        endpoint: endpoint?,
        token: token?,
        index,
        index_fallback: index_fallback?,
        source: source?,
        sourcetype: sourcetype?,
        acknowledge: acknowledge?,
        ack_window: ack_window?,
    })
}

fn read_otlp(section: &mut Section<'_>) -> Option<OtlpSettings> {
    let token = read_secret(section, "token", "token_file");
    Some(OtlpSettings {
        endpoint: read_endpoint(section, true)?,
        token,
    })
}

fn read_http(section: &mut Section<'_>, format: Option<Format>) -> Option<HttpSettings> {
    let token = read_secret(section, "token", "token_file");
    let mut bodies = vec![("single", HttpBody::Single), ("lines", HttpBody::Lines)];
    if format.is_none_or(Format::is_json) {
        bodies.push(("array", HttpBody::Array));
    }
    let body = or_default(section, "body", HttpBody::Single, |section, key| {
        Some(section.choice(key, &bodies)?.value)
    });
    Some(HttpSettings {
        endpoint: read_endpoint(section, false)?,
        token,
        body: body?,
    })
}

fn read_elastic(section: &mut Section<'_>) -> Option<ElasticSettings> {
    let index = or_default(section, "index", INDEX.to_owned(), read_text);
    let key = read_secret(section, "api_key", "api_key_file");
    let user = read_text(section, "user");
    let password = read_secret(section, "password", "password_file");
    let credentials = match (key, user, password) {
        (Some(key), None, None) => Some(ElasticCredentials::ApiKey(key)),
        (None, Some(user), Some(password)) => Some(ElasticCredentials::Basic { user, password }),
        (None, None, None) => None,
        _ => {
            let expected = "either `api_key_file`, or `user` and `password_file`".to_owned();
            let found = "another combination".to_owned();
            section.report(&section.origin(), Fault::Unfit { expected, found });
            None
        }
    };
    Some(ElasticSettings {
        endpoint: server(read_endpoint(section, true))?,
        index: index?,
        credentials,
    })
}

/// `gzip`: whether receivers of that kind take compressed bodies.
fn read_endpoint(section: &mut Section<'_>, gzip: bool) -> Option<Endpoint> {
    let told = "a URL, as \"https://siem.example.net:8088\"";
    section.require("url", told);
    let url = section.text("url", told, |url| {
        let rest = ["https://", "http://"]
            .into_iter()
            .find_map(|scheme| url.strip_prefix(scheme));
        url.len() <= URL_BYTES_MAX
            && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
            && url.bytes().all(|byte| byte.is_ascii_graphic())
    });
    let proxied = "a URL, as \"http://proxy.example.net:3128\"";
    let proxy = section.secret("proxy", proxied, |url| {
        url.len() <= URL_BYTES_MAX
            && url
                .strip_prefix("http://")
                .is_some_and(|rest| !rest.is_empty())
            && url.bytes().all(|byte| byte.is_ascii_graphic())
    });
    let tls = read_tls(section);
    let timeout = read_seconds(section, "timeout_s", TIMEOUT_S, 1..=600);
    let gzip = or_default(section, "gzip", gzip, read_boolean);
    let headers = or_default(section, "headers", Vec::new(), |section, key| {
        let texts = section.texts(
            key,
            &Texts {
                count: 0..=HEADERS_MAX,
                each: "a header, as \"X-Tenant: gateway\"",
                fits: |header| split_header(header).is_some(),
            },
        )?;
        Some(
            texts
                .value
                .iter()
                .filter_map(|text| split_header(text))
                .collect(),
        )
    });
    Some(Endpoint {
        url: url?.value,
        proxy: proxy.map(|proxy| proxy.value),
        tls: tls?,
        timeout: timeout?,
        gzip: gzip?,
        headers: headers?,
    })
}

/// Where paths are put behind the URL.
fn server(endpoint: Option<Endpoint>) -> Option<Endpoint> {
    let endpoint = endpoint?;
    let url = endpoint.url.trim_end_matches('/').to_owned();
    Some(Endpoint { url, ..endpoint })
}

/// RFC 9110, sections 5.1 and 5.5, as far as anybody needs it.
fn split_header(header: &str) -> Option<(String, String)> {
    let (name, value) = header.split_once(':')?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = header.len() <= TEXT_BYTES_MAX
        && !name.is_empty()
        && name.bytes().all(is_token)
        && value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    fits.then(|| (name.to_owned(), value.trim().to_owned()))
}

fn read_tls(section: &mut Section<'_>) -> Option<TlsSettings> {
    let [ca_file, certificate, key] =
        ["ca_file", "client_cert_file", "client_key_file"].map(|key| absolute_path(section, key));
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(ClientCertificate {
            certificate_file: certificate.value,
            key_file: key.value,
        }),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            let expected = "both `client_cert_file` and `client_key_file`, or none".to_owned();
            let found = "one of them".to_owned();
            section.report(&one.origin, Fault::Unfit { expected, found });
            return None;
        }
    };
    Some(TlsSettings {
        ca_file: ca_file.map(|file| file.value),
        client,
    })
}

/// From a file, or written where everybody reads it who may read the configuration.
fn read_secret(
    section: &mut Section<'_>,
    inline_key: &'static str,
    file_key: &'static str,
) -> Option<Secret> {
    let file = absolute_path(section, file_key);
    let inline = section.secret(inline_key, "a text of visible characters", |text| {
        text.len() <= TEXT_BYTES_MAX
            && !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match (file, inline) {
        (Some(file), None) => Some(Secret::File(file.value)),
        (None, Some(inline)) => Some(Secret::Inline(inline.value)),
        (None, None) => None,
        (Some(_), Some(Written { origin, .. })) => {
            let expected = format!("either `{file_key}` or `{inline_key}`");
            let found = "both".to_owned();
            section.report(&origin, Fault::Unfit { expected, found });
            None
        }
    }
}

fn read_address(section: &mut Section<'_>, port_default: u16) -> Option<Address> {
    let told = "HOST or HOST:PORT; an IPv6 address in brackets";
    section.require("address", told);
    let address = section.read("address", told, |value| {
        parse_address(value.as_str()?, port_default)
    });
    Some(address?.value)
}

fn parse_address(text: &str, port_default: u16) -> Option<Address> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|&port| port > 0)?,
        None if port.is_empty() => port_default,
        None => return None,
    };
    let fits = (1..=253).contains(&host.len())
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
    fits.then(|| Address {
        host: host.to_owned(),
        port,
    })
}

fn read_seconds(
    section: &mut Section<'_>,
    key: &'static str,
    default: u64,
    bounds: std::ops::RangeInclusive<u64>,
) -> Option<Duration> {
    or_default(
        section,
        key,
        Duration::from_secs(default),
        |section, key| Some(Duration::from_secs(section.integer(key, bounds)?.value)),
    )
}

fn read_text(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let told = "a text of 1 to 1024 bytes without control characters";
    Some(section.text(key, told, is_text)?.value)
}

fn read_boolean(section: &mut Section<'_>, key: &'static str) -> Option<bool> {
    Some(section.boolean(key)?.value)
}

fn is_text(text: &str) -> bool {
    (1..=TEXT_BYTES_MAX).contains(&text.len()) && has_no_control(text)
}

/// What `read` makes of a key, or the default where there is none. `None` when it is there and wrong.
fn or_default<T>(
    section: &mut Section<'_>,
    key: &'static str,
    default: T,
    read: impl FnOnce(&mut Section<'_>, &'static str) -> Option<T>,
) -> Option<T> {
    let is_there = section.has_any([key]);
    let value = read(section, key);
    if is_there { value } else { Some(default) }
}
