//! What the configuration means: bounded, checked against itself, defaults filled in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::pipeline::detect::rule::RuleSpec;
use crate::pipeline::filter::FilterSpec;
use crate::pipeline::repeats::RepeatLimits;

use super::doubt::Doubt;
use super::filters::{doubts, same_name};
use super::origin::Written;
use super::problem::Problem;
use super::rule_file;
use super::sinks::{self, SinkSettings};
use super::written::{
    AlertsConfig, Config, HeartbeatConfig, HostConfig, RedactionConfig, RepeatsConfig, RuleConfig,
    RulesConfig, SensorConfig, StateConfig, StoreConfig, TamperConfig,
};

const BULK_RING_BYTES: u32 = 8 << 20;
const URGENT_RING_BYTES: u32 = 512 << 10;
const DRAIN_DELAY_MS: u64 = 10;
const ALERTS_PATH: &str = "/var/log/wallwatch/alerts.jsonl";
const ALERTS_GROUP: &str = "adm";
const QUEUE_LINES: usize = 1024;
const HEARTBEAT_INTERVAL_S: u64 = 60;
const STATE_DIRECTORY: &str = "/var/lib/wallwatch";
const SAVE_INTERVAL_S: u64 = 60;
const XTABLES_POLL_INTERVAL_S: u64 = 10;
const STORE_BYTES: u64 = 64 << 20;
const STORE_AGE_S: u64 = 7 * 86_400;
const KEEP_DELIVERED_S: u64 = 86_400;
const BURST: u32 = 16;
const REFILL_S: u64 = 60;
/// An option, a variable, a key of JSON that are named after a secret; a header with one; a password in a URL. No value
/// begins where a shell would run something: what is run is evidence.
const REDACTED: [&str; 5] = [
    r#"(?i)(?:^|[\s"'])--?[a-z0-9_-]*(?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key)[a-z0-9_-]*(?:=|[ \t]+)(?:"([^"]*)"|'([^']*)'|([^\s"'$;&|-][^\s"'$;&|]*))"#,
    r#"(?i)(?:^|[\s;"'])[a-z0-9_]*(?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key)=(?:"([^"]*)"|'([^']*)'|([^\s"'$;&|-][^\s"'$;&|]*))"#,
    r#"(?i)"[a-z0-9_-]*(?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key)"\s*:\s*"([^"]*)""#,
    r#"(?i)authorization: *(?:basic|bearer|splunk|apikey) +([^\s"';|&]+)"#,
    r#"://[^/\s:@]*:([^/\s@]+)@"#,
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub sensor: SensorSettings,
    pub alerts: AlertsSettings,
    pub heartbeat: HeartbeatSettings,
    pub state: StateSettings,
    pub store: StoreSettings,
    pub tamper: TamperSettings,
    pub host: HostSettings,
    /// Texts that every event carries, by name.
    pub labels: BTreeMap<String, String>,
    pub redaction: RedactionSettings,
    /// How much of a storm is told one by one.
    pub repeats: RepeatLimits,
    /// Of everything that is found; each rule has its own beside these.
    pub filters: Vec<Written<FilterSpec>>,
    /// Beside the local log.
    pub sinks: Vec<Written<SinkSettings>>,
    pub rules: RulesSettings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensorSettings {
    /// A power of two.
    pub bulk_ring_bytes: u32,
    /// A power of two.
    pub urgent_ring_bytes: u32,
    /// How long a bulk record may wait for company.
    pub drain_delay: Duration,
    /// Names beside those that are always urgent.
    pub urgent_names: Vec<String>,
    /// Whether execs that fail are watched, which every system call of the host pays for.
    pub failed_execs: bool,
    pub kernel_log: KernelLog,
}

/// How much the kernel program tells about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum KernelLog {
    #[default]
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl KernelLog {
    pub const ALL: [Self; 6] = [
        Self::Off,
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsSettings {
    pub path: PathBuf,
    /// Who beside the agent may read the alerts.
    pub group: String,
    /// Whether each alert goes to standard output too.
    pub stdout: bool,
    /// How many alerts may wait for the disk, beside the bound on their bytes.
    pub queue_lines: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// `None`: only at the begin and the end of the watch.
    pub interval: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// Where the agent keeps what the next run should remember.
    pub directory: PathBuf,
    /// How often that is written while the agent runs.
    pub save_interval: Duration,
}

/// The bounds of the alert store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Of all segments together.
    pub max_bytes: u64,
    /// How long a record is kept at most.
    pub max_age_s: u64,
    /// How long a record is kept when every sink has it.
    pub keep_delivered_s: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TamperSettings {
    /// Whether changes of the firewall are judged, beside the rule on command lines.
    pub enabled: bool,
    /// Executables whose work it is to change the firewall, beside those that are known.
    pub managers: Vec<String>,
    /// How often the tables of x_tables are read without an occasion.
    pub xtables_poll_interval: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// Takes the place of the host's own name in `dest`.
    pub name: Option<String>,
}

/// What no command line in an event may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactionSettings {
    /// Regular expressions over bytes; each masks its groups, or all of what it matches where it has none.
    pub patterns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesSettings {
    pub linux_iptables_firewall_modification: RuleSettings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSettings {
    pub spec: RuleSpec,
    /// The file it came from; `None` when it is the built-in one.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// What `config` means; reads the rule's file when one is named.
    pub(super) fn from_config(config: Config) -> Result<Self, Vec<Problem>> {
        let Config {
            sensor,
            alerts,
            heartbeat: HeartbeatConfig { interval_s },
            state,
            store,
            tamper,
            host: HostConfig { name },
            labels,
            redaction,
            repeats,
            filters,
            sinks,
            rules:
                RulesConfig {
                    linux_iptables_firewall_modification: rule,
                },
        } = config;
        let filters = or_default(filters, Vec::new());
        let rule = rule_settings(rule)?;
        let problems = clashes(&filters, &rule.spec);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            sensor: sensor_settings(sensor),
            alerts: alerts_settings(alerts),
            heartbeat: heartbeat_settings(interval_s),
            state: state_settings(state),
            store: store_settings(store),
            tamper: tamper_settings(tamper),
            host: HostSettings {
                name: name.map(|name| name.value),
            },
            labels: or_default(labels, BTreeMap::new()),
            redaction: redaction_settings(redaction),
            repeats: repeat_limits(repeats),
            filters,
            sinks: or_default(sinks, Vec::new()),
            rules: RulesSettings {
                linux_iptables_firewall_modification: rule,
            },
        })
    }

    /// What may withhold more than was meant, or nothing any more, at that time; and secrets that are not kept.
    pub fn doubts(&self, wall_ns: u64) -> Vec<Doubt> {
        let of_all = self.filters.iter().map(|filter| {
            let Written { value, origin } = filter;
            (value, Some(origin))
        });
        let rule = &self.rules.linux_iptables_firewall_modification;
        let of_rule = rule.spec.filters.iter().map(|filter| (filter, None));
        let of_filters = of_all.chain(of_rule).flat_map(|(filter, origin)| {
            let whys = doubts::of(filter, wall_ns).into_iter();
            whys.map(move |why| Doubt {
                origin: origin.cloned(),
                of: format!("filter {:?}", filter.name),
                why,
            })
        });
        let of_sinks = self.sinks.iter().flat_map(|sink| {
            let Written { value, origin } = sink;
            let whys = sinks::doubts(value, &rule.spec.identity.name).into_iter();
            whys.map(move |why| Doubt {
                origin: Some(origin.clone()),
                of: format!("sink {:?}", value.name),
                why,
            })
        });
        of_filters.chain(of_sinks).collect()
    }
}

/// Filters are counted by their names: those of the rule and those of everything are told apart by them.
fn clashes(filters: &[Written<FilterSpec>], rule: &RuleSpec) -> Vec<Problem> {
    let is_of_rule = |name: &str| rule.filters.iter().any(|filter| filter.name == name);
    let clashing = filters
        .iter()
        .filter(|filter| is_of_rule(&filter.value.name));
    clashing
        .map(|filter| Problem::of_key(&filter.origin, same_name(&filter.value.name)))
        .collect()
}

fn sensor_settings(config: SensorConfig) -> SensorSettings {
    let SensorConfig {
        bulk_ring_bytes,
        urgent_ring_bytes,
        drain_delay_ms,
        urgent_names,
        failed_execs,
        kernel_log,
    } = config;
    SensorSettings {
        bulk_ring_bytes: or_default(bulk_ring_bytes, BULK_RING_BYTES),
        urgent_ring_bytes: or_default(urgent_ring_bytes, URGENT_RING_BYTES),
        drain_delay: Duration::from_millis(or_default(drain_delay_ms, DRAIN_DELAY_MS)),
        urgent_names: or_default(urgent_names, Vec::new()),
        failed_execs: or_default(failed_execs, false),
        kernel_log: or_default(kernel_log, KernelLog::Off),
    }
}

fn alerts_settings(config: AlertsConfig) -> AlertsSettings {
    let AlertsConfig {
        path,
        group,
        stdout,
        queue_lines,
    } = config;
    AlertsSettings {
        path: or_default(path, PathBuf::from(ALERTS_PATH)),
        group: or_default(group, ALERTS_GROUP.to_owned()),
        stdout: or_default(stdout, false),
        queue_lines: or_default(queue_lines, QUEUE_LINES),
    }
}

fn heartbeat_settings(interval_s: Option<Written<u64>>) -> HeartbeatSettings {
    let interval_s = or_default(interval_s, HEARTBEAT_INTERVAL_S);
    HeartbeatSettings {
        interval: (interval_s > 0).then(|| Duration::from_secs(interval_s)),
    }
}

fn state_settings(config: StateConfig) -> StateSettings {
    let StateConfig {
        directory,
        save_interval_s,
    } = config;
    StateSettings {
        directory: or_default(directory, PathBuf::from(STATE_DIRECTORY)),
        save_interval: Duration::from_secs(or_default(save_interval_s, SAVE_INTERVAL_S)),
    }
}

fn store_settings(config: StoreConfig) -> StoreSettings {
    let StoreConfig {
        max_bytes,
        max_age_s,
        keep_delivered_s,
    } = config;
    StoreSettings {
        max_bytes: or_default(max_bytes, STORE_BYTES),
        max_age_s: or_default(max_age_s, STORE_AGE_S),
        keep_delivered_s: or_default(keep_delivered_s, KEEP_DELIVERED_S),
    }
}

fn tamper_settings(config: TamperConfig) -> TamperSettings {
    let TamperConfig {
        enabled,
        managers,
        xtables_poll_interval_s,
    } = config;
    TamperSettings {
        enabled: or_default(enabled, true),
        managers: or_default(managers, Vec::new()),
        xtables_poll_interval: Duration::from_secs(or_default(
            xtables_poll_interval_s,
            XTABLES_POLL_INTERVAL_S,
        )),
    }
}

fn repeat_limits(config: RepeatsConfig) -> RepeatLimits {
    let RepeatsConfig { burst, refill_s } = config;
    RepeatLimits {
        burst: or_default(burst, BURST),
        refill: Duration::from_secs(or_default(refill_s, REFILL_S)),
    }
}

fn redaction_settings(config: RedactionConfig) -> RedactionSettings {
    let RedactionConfig { patterns } = config;
    let patterns = patterns.map(|patterns| patterns.value);
    let defaults = || REDACTED.map(str::to_owned).to_vec();
    RedactionSettings {
        patterns: patterns.unwrap_or_else(defaults),
    }
}

fn rule_settings(config: RuleConfig) -> Result<RuleSettings, Vec<Problem>> {
    let RuleConfig { file, overrides } = config;
    let file = file.map(|file| file.value);
    let (spec, process) = match &file {
        Some(path) => rule_file::read(path)?,
        None => rule_file::read_built_in()?,
    };
    let spec = overrides.apply(spec, &process)?;
    Ok(RuleSettings { spec, file })
}

fn or_default<T>(written: Option<Written<T>>, default: T) -> T {
    written.map_or(default, |written| written.value)
}
