//! What the operator wrote: each key that is there, bounded, with its place; nothing filled in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pipeline::filter::FilterSpec;
use crate::pipeline::redact::Redaction;

use super::byte_size;
use super::filters::{Answer, read_filters};
use super::origin::Written;
use super::overrides::{Overrides, has_no_control};
use super::problem::Problem;
use super::section::{Document, Section, Texts};
use super::settings::KernelLog;
use super::sinks::{SinkSettings, read_sinks};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const URGENT_NAMES_MAX: usize = 256;
/// What the kernel keeps of a task's name.
const URGENT_NAME_BYTES_MAX: usize = 15;
const GROUP_BYTES_MAX: usize = 32;
const HOST_NAME_BYTES_MAX: usize = 253;
const MANAGERS_MAX: usize = 64;
const PATH_BYTES_MAX: usize = 4095;
pub(super) const LABELS_MAX: usize = 16;
const LABEL_NAME_BYTES_MAX: usize = 64;
const PATTERNS_MAX: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub sensor: SensorConfig,
    pub alerts: AlertsConfig,
    pub heartbeat: HeartbeatConfig,
    pub state: StateConfig,
    pub store: StoreConfig,
    pub tamper: TamperConfig,
    pub host: HostConfig,
    pub labels: Option<Written<BTreeMap<String, String>>>,
    pub redaction: RedactionConfig,
    pub repeats: RepeatsConfig,
    pub filters: Option<Written<Vec<Written<FilterSpec>>>>,
    pub sinks: Option<Written<Vec<Written<SinkSettings>>>>,
    pub rules: RulesConfig,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SensorConfig {
    pub bulk_ring_bytes: Option<Written<u32>>,
    pub urgent_ring_bytes: Option<Written<u32>>,
    pub drain_delay_ms: Option<Written<u64>>,
    pub urgent_names: Option<Written<Vec<String>>>,
    pub failed_execs: Option<Written<bool>>,
    pub kernel_log: Option<Written<KernelLog>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertsConfig {
    pub path: Option<Written<PathBuf>>,
    pub group: Option<Written<String>>,
    pub stdout: Option<Written<bool>>,
    pub queue_lines: Option<Written<usize>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatConfig {
    pub interval_s: Option<Written<u64>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateConfig {
    pub directory: Option<Written<PathBuf>>,
    pub save_interval_s: Option<Written<u64>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreConfig {
    pub max_bytes: Option<Written<u64>>,
    pub max_age_s: Option<Written<u64>>,
    pub keep_delivered_s: Option<Written<u64>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TamperConfig {
    pub enabled: Option<Written<bool>>,
    pub managers: Option<Written<Vec<String>>>,
    pub xtables_poll_interval_s: Option<Written<u64>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostConfig {
    pub name: Option<Written<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepeatsConfig {
    pub burst: Option<Written<u32>>,
    pub refill_s: Option<Written<u64>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactionConfig {
    pub patterns: Option<Written<Vec<String>>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesConfig {
    pub linux_iptables_firewall_modification: RuleConfig,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleConfig {
    pub file: Option<Written<PathBuf>>,
    pub overrides: Overrides,
}

impl Config {
    /// What `text` says, as far as it can be understood, and everything that is wrong with it.
    pub(super) fn parse(file: Arc<Path>, text: &str) -> (Self, Vec<Problem>) {
        let document = Document::parse(file, text);
        let mut root = document.root();
        let config = Self {
            sensor: root
                .section("sensor")
                .map_or_else(Default::default, read_sensor),
            alerts: root
                .section("alerts")
                .map_or_else(Default::default, read_alerts),
            heartbeat: root
                .section("heartbeat")
                .map_or_else(Default::default, read_heartbeat),
            state: root
                .section("state")
                .map_or_else(Default::default, read_state),
            store: root
                .section("store")
                .map_or_else(Default::default, read_store),
            tamper: root
                .section("tamper")
                .map_or_else(Default::default, read_tamper),
            host: root
                .section("host")
                .map_or_else(Default::default, read_host),
            labels: read_labels(&mut root),
            redaction: root
                .section("redaction")
                .map_or_else(Default::default, read_redaction),
            repeats: root
                .section("repeats")
                .map_or_else(Default::default, read_repeats),
            filters: read_filters(&mut root, "filters", Answer::Wanted),
            sinks: read_sinks(&mut root),
            rules: root
                .section("rules")
                .map_or_else(Default::default, read_rules),
        };
        root.finish();
        (config, document.into_problems())
    }
}

fn read_sensor(mut section: Section<'_>) -> SensorConfig {
    let config = SensorConfig {
        bulk_ring_bytes: ring_bytes(&mut section, "bulk_ring_bytes", 64 * KIB, GIB),
        urgent_ring_bytes: ring_bytes(&mut section, "urgent_ring_bytes", 64 * KIB, 64 * MIB),
        drain_delay_ms: section.integer("drain_delay_ms", 1..=10),
        urgent_names: section.texts(
            "urgent_names",
            &Texts {
                count: 0..=URGENT_NAMES_MAX,
                each: "a name of 1 to 15 ASCII letters",
                fits: |name| {
                    (1..=URGENT_NAME_BYTES_MAX).contains(&name.len())
                        && name.bytes().all(|byte| byte.is_ascii_alphabetic())
                },
            },
        ),
        failed_execs: section.boolean("failed_execs"),
        kernel_log: section.choice("kernel_log", &KernelLog::ALL.map(|log| (log.as_str(), log))),
    };
    section.finish();
    config
}

/// The kernel takes nothing but a power of two.
fn ring_bytes(
    section: &mut Section<'_>,
    key: &'static str,
    bytes_min: u64,
    bytes_max: u64,
) -> Option<Written<u32>> {
    let expected = format!(
        "a power of two from {:?} to {:?}",
        byte_size::to_text(bytes_min),
        byte_size::to_text(bytes_max)
    );
    section.read(key, expected, |value| {
        let bytes = byte_size::from_value(value)
            .filter(|bytes| bytes.is_power_of_two() && (bytes_min..=bytes_max).contains(bytes))?;
        u32::try_from(bytes).ok()
    })
}

fn read_alerts(mut section: Section<'_>) -> AlertsConfig {
    let config = AlertsConfig {
        path: absolute_path(&mut section, "path"),
        group: section.text("group", "the name of a group", |group| {
            (1..=GROUP_BYTES_MAX).contains(&group.len())
                && group
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b':')
        }),
        stdout: section.boolean("stdout"),
        queue_lines: section.integer("queue_lines", 1..=65_536),
    };
    section.finish();
    config
}

fn read_heartbeat(mut section: Section<'_>) -> HeartbeatConfig {
    let config = HeartbeatConfig {
        interval_s: section.integer("interval_s", 0..=86_400),
    };
    section.finish();
    config
}

fn read_state(mut section: Section<'_>) -> StateConfig {
    let config = StateConfig {
        directory: absolute_path(&mut section, "directory"),
        save_interval_s: section.integer("save_interval_s", 1..=3600),
    };
    section.finish();
    config
}

fn read_store(mut section: Section<'_>) -> StoreConfig {
    const DAYS_400_S: u64 = 400 * 86_400;
    let bounds = 4 * MIB..=4 * GIB;
    let expected = format!(
        "a size from {:?} to {:?}",
        byte_size::to_text(*bounds.start()),
        byte_size::to_text(*bounds.end())
    );
    let config = StoreConfig {
        max_bytes: section.read("max_bytes", expected, |value| {
            byte_size::from_value(value).filter(|bytes| bounds.contains(bytes))
        }),
        max_age_s: section.integer("max_age_s", 3600..=DAYS_400_S),
        keep_delivered_s: section.integer("keep_delivered_s", 0..=DAYS_400_S),
    };
    section.finish();
    config
}

fn read_tamper(mut section: Section<'_>) -> TamperConfig {
    let config = TamperConfig {
        enabled: section.boolean("enabled"),
        managers: section.texts(
            "managers",
            &Texts {
                count: 0..=MANAGERS_MAX,
                each: "an absolute path",
                fits: |path| {
                    path.len() <= PATH_BYTES_MAX && path.starts_with('/') && !path.contains('\0')
                },
            },
        ),
        xtables_poll_interval_s: section.integer("xtables_poll_interval_s", 1..=3600),
    };
    section.finish();
    config
}

fn read_host(mut section: Section<'_>) -> HostConfig {
    let config = HostConfig {
        name: section.text("name", "1 to 253 visible characters", |name| {
            (1..=HOST_NAME_BYTES_MAX).contains(&name.len())
                && !name.contains(|char: char| char.is_control() || char.is_whitespace())
        }),
    };
    section.finish();
    config
}

fn read_labels(root: &mut Section<'_>) -> Option<Written<BTreeMap<String, String>>> {
    let section = root.section("labels")?;
    let origin = section.origin();
    let named = "a name of 1 to 64 ASCII letters, digits, `_` and `-`";
    let fits = |name: &str| {
        (1..=LABEL_NAME_BYTES_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let value = section.free_texts(LABELS_MAX, (named, fits), (TOLD, is_told));
    Some(Written { value, origin })
}

fn read_repeats(mut section: Section<'_>) -> RepeatsConfig {
    let config = RepeatsConfig {
        burst: section.integer("burst", 1..=100_000),
        refill_s: section.integer("refill_s", 1..=86_400),
    };
    section.finish();
    config
}

fn read_redaction(mut section: Section<'_>) -> RedactionConfig {
    let config = RedactionConfig {
        patterns: section.texts(
            "patterns",
            &Texts {
                count: 0..=PATTERNS_MAX,
                each: "a regular expression that compiles to at most 1 MiB",
                fits: |pattern| Redaction::compile(&[pattern.to_owned()]).is_ok(),
            },
        ),
    };
    section.finish();
    config
}

/// A text that stands in an event as it is.
const TOLD: &str = "a text of 1 to 256 bytes without control characters";

fn is_told(text: &str) -> bool {
    (1..=256).contains(&text.len()) && has_no_control(text)
}

fn read_rules(mut section: Section<'_>) -> RulesConfig {
    let config = RulesConfig {
        linux_iptables_firewall_modification: section
            .section("linux_iptables_firewall_modification")
            .map_or_else(Default::default, read_rule),
    };
    section.finish();
    config
}

fn read_rule(mut section: Section<'_>) -> RuleConfig {
    let config = RuleConfig {
        file: absolute_path(&mut section, "file"),
        overrides: Overrides::read(&mut section),
    };
    section.finish();
    config
}

/// A relative path would depend on where the agent was started.
pub(super) fn absolute_path(
    section: &mut Section<'_>,
    key: &'static str,
) -> Option<Written<PathBuf>> {
    let path = section.text(key, "an absolute path", |path| {
        path.len() <= PATH_BYTES_MAX && path.starts_with('/') && !path.contains('\0')
    })?;
    Some(path.map(PathBuf::from))
}
