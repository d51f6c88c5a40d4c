//! Where alerts go beside the local log: `[[sinks]]`.

mod read;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::pipeline::alert::Severity;
use crate::pipeline::firewall::finding::FindingKind;

pub(super) use read::{SINKS_MAX, read_sinks, same_name};

/// One receiver of alerts, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// Names its cursor's file too: 1 to 32 lower-case letters, digits and `-`, of which no other sink has the same.
    pub name: String,
    pub format: Format,
    pub selection: Selection,
    pub destination: Destination,
}

/// Which events a sink gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub kinds: Vec<EventKind>,
    /// Of alerts, findings and summaries.
    pub severity_min: Severity,
    /// Names of rules and words of findings; empty: all of them.
    pub rules: Vec<String>,
}

/// What an event is: its `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    Alert,
    Finding,
    /// Of what was not told one by one.
    Summary,
    Gap,
    Heartbeat,
    /// About the agent itself: `self`.
    Own,
}

impl EventKind {
    pub const ALL: [Self; 6] = [
        Self::Alert,
        Self::Finding,
        Self::Summary,
        Self::Gap,
        Self::Heartbeat,
        Self::Own,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Finding => "finding",
            Self::Summary => "summary",
            Self::Gap => "gap",
            Self::Heartbeat => "heartbeat",
            Self::Own => "self",
        }
    }
}

/// In whose words an event is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// wallwatch's own JSON.
    Native,
    /// Elastic Common Schema 9.4.
    Ecs,
    /// Open Cybersecurity Schema Framework 1.5, Detection Finding (2004).
    Ocsf,
    /// ArcSight Common Event Format, version 0.
    Cef,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Native, Self::Ecs, Self::Ocsf, Self::Cef];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Ecs => "ecs",
            Self::Ocsf => "ocsf",
            Self::Cef => "cef",
        }
    }

    pub fn is_json(self) -> bool {
        match self {
            Self::Native | Self::Ecs | Self::Ocsf => true,
            Self::Cef => false,
        }
    }
}

/// A kind of receiver, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    File(FileSettings),
    Journald(JournaldSettings),
    Syslog(SyslogSettings),
    Hec(HecSettings),
    Otlp(OtlpSettings),
    Http(HttpSettings),
    Elastic(ElasticSettings),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    pub path: PathBuf,
    /// Who beside the agent may read it.
    pub group: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaldSettings {
    pub socket: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogSettings {
    pub transport: SyslogTransport,
    /// RFC 5424, section 6.2.1: 0 to 23.
    pub facility: u8,
    /// The private enterprise number in the SD-ID; 32473 is that of documentation (RFC 5612).
    pub enterprise_id: u32,
    /// Of one message, its header included.
    pub message_bytes_max: usize,
    /// How long connecting and each write may take.
    pub timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogTransport {
    /// RFC 5426: nobody learns whether it arrives.
    Udp { address: Address },
    /// RFC 6587, octet counting.
    Tcp { address: Address },
    /// RFC 5425.
    Tls {
        address: Address,
        tls: TlsSettings,
        /// The name in the server's certificate, if not that of the address.
        server_name: Option<String>,
    },
    /// A datagram socket, as `/dev/log`.
    Unix { path: PathBuf },
}

/// `HOST:PORT`; an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => write!(out, "[{host}]:{port}"),
            false => write!(out, "{host}:{port}"),
        }
    }
}

/// Files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whom to trust; without it those whom the host trusts.
    pub ca_file: Option<PathBuf>,
    pub client: Option<ClientCertificate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

/// How an HTTP server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http` or `https`, without a slash at the end.
    pub url: String,
    /// `http://[USER:PASSWORD@]HOST:PORT`, asked by CONNECT.
    pub proxy: Option<String>,
    pub tls: TlsSettings,
    /// Of one request and its answer.
    pub timeout: Duration,
    /// Whether bodies of more than 1 KiB are compressed.
    pub gzip: bool,
    /// Sent with each request, beside the sink's own.
    pub headers: Vec<(String, String)>,
}

impl Endpoint {
    /// Scheme, host and port: in the rest of the URL there may be a secret.
    pub fn server(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("http", &self.url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        format!("{scheme}://{host}")
    }
}

/// A secret, or the file that has it: read before each connection, without the whitespace at its end.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    File(PathBuf),
    Inline(String),
}

/// A secret is never shown.
impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => out.debug_tuple("File").field(path).finish(),
            Self::Inline(_) => out.write_str("Inline(…)"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HecSettings {
    pub endpoint: Endpoint,
    pub token: Secret,
    /// `None`: the token's own.
    pub index: Option<String>,
    /// Whether an event goes to the token's own index when the chosen one is refused.
    pub index_fallback: bool,
    pub source: String,
    pub sourcetype: String,
    pub acknowledge: Acknowledge,
    /// How long an indexer may take to acknowledge before the batch is sent again.
    pub ack_window: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// Where the answer to a batch has an `ackId`.
    Auto,
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSettings {
    /// The whole URL, as `https://collector:4318/v1/logs`.
    pub endpoint: Endpoint,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    pub endpoint: Endpoint,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<Secret>,
    pub body: HttpBody,
}

/// What one request of the generic HTTP sink has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpBody {
    /// One event.
    Single,
    /// Events one a line.
    Lines,
    /// A JSON array of events.
    Array,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticSettings {
    /// Of the cluster; `_bulk` is put behind it.
    pub endpoint: Endpoint,
    /// An index or a data stream.
    pub index: String,
    pub credentials: Option<ElasticCredentials>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElasticCredentials {
    /// Sent as `Authorization: ApiKey …`.
    ApiKey(Secret),
    Basic {
        user: String,
        password: Secret,
    },
}

/// What speaks against a sink that is written as it may be; the analytic has that name.
pub(super) fn doubts(sink: &SinkSettings, rule: &str) -> Vec<String> {
    let mut doubts = of_selection(&sink.selection, rule);
    doubts.extend(of_destination(&sink.destination));
    doubts
}

fn of_selection(selection: &Selection, rule: &str) -> Vec<String> {
    let Selection { kinds, rules, .. } = selection;
    let is_known =
        |name: &str| name == rule || FindingKind::ALL.iter().any(|kind| kind.as_str() == name);
    let unknown = rules.iter().filter(|name| !is_known(name));
    let mut doubts: Vec<String> = unknown
        .map(|name| format!("`rules` has {name:?}, which is no rule and no finding"))
        .collect();
    let tells = |kind| kinds.contains(&kind);
    if (tells(EventKind::Alert) || tells(EventKind::Finding)) && !tells(EventKind::Summary) {
        doubts.push(
            "`kinds` is without \"summary\": what of a storm is not told one by one, it never hears of"
                .to_owned(),
        );
    }
    doubts
}

fn of_destination(destination: &Destination) -> Vec<String> {
    let (endpoint, secret) = match destination {
        Destination::Hec(hec) => (&hec.endpoint, Some(&hec.token)),
        Destination::Otlp(otlp) => (&otlp.endpoint, otlp.token.as_ref()),
        Destination::Http(http) => (&http.endpoint, http.token.as_ref()),
        Destination::Elastic(elastic) => {
            let secret = elastic.credentials.as_ref().map(|it| match it {
                ElasticCredentials::ApiKey(key) => key,
                ElasticCredentials::Basic { user: _, password } => password,
            });
            (&elastic.endpoint, secret)
        }
        Destination::File(_) | Destination::Journald(_) | Destination::Syslog(_) => {
            return Vec::new();
        }
    };
    let mut doubts = Vec::new();
    if matches!(secret, Some(Secret::Inline(_))) {
        doubts.push(
            "its secret stands in the configuration: put it into a file that only wallwatch can read"
                .to_owned(),
        );
    }
    if secret.is_some() && endpoint.url.starts_with("http://") {
        doubts.push("its secret is sent in clear: the URL is not https".to_owned());
    }
    doubts
}
