//! What a later file says, put over what earlier ones said: a key takes the place of the same key, labels that of the
//! same label, and sections of a list (`[[sinks]]`, `[[filters]]`) are added to those that are there.

use std::collections::BTreeMap;

use crate::pipeline::filter::FilterSpec;

use super::filters::{self, FILTERS_MAX};
use super::origin::Written;
use super::overrides::Overrides;
use super::problem::{Fault, Problem};
use super::sinks::{self, SINKS_MAX, SinkSettings};
use super::written::{
    AlertsConfig, Config, HeartbeatConfig, HostConfig, LABELS_MAX, RedactionConfig, RepeatsConfig,
    RuleConfig, RulesConfig, SensorConfig, StateConfig, StoreConfig, TamperConfig,
};

/// The sections of a list.
struct List<T> {
    /// In all files together.
    count_max: usize,
    name: fn(&T) -> &str,
    /// What is wrong when two have that name.
    same_name: fn(&str) -> Fault,
}

const FILTERS: List<FilterSpec> = List {
    count_max: FILTERS_MAX,
    name: |filter| &filter.name,
    same_name: filters::same_name,
};

const SINKS: List<SinkSettings> = List {
    count_max: SINKS_MAX,
    name: |sink| &sink.name,
    same_name: sinks::same_name,
};

/// Puts the keys of one section over another. A key that is not named here does not compile.
macro_rules! put_over {
    ($section:expr, $later:expr, $config:ident { $($key:ident),* }) => {{
        let $config { $($key),* } = $later;
        $(put(&mut $section.$key, $key);)*
    }};
}

impl Config {
    /// What is wrong with both together, though it was with none of them, goes to `problems`.
    pub(super) fn put_over(&mut self, later: Self, problems: &mut Vec<Problem>) {
        let Self {
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
            rules:
                RulesConfig {
                    linux_iptables_firewall_modification: rule,
                },
        } = later;
        put_over!(
            self.sensor,
            sensor,
            SensorConfig {
                bulk_ring_bytes,
                urgent_ring_bytes,
                drain_delay_ms,
                urgent_names,
                failed_execs,
                kernel_log
            }
        );
        put_over!(
            self.alerts,
            alerts,
            AlertsConfig {
                path,
                group,
                stdout,
                queue_lines
            }
        );
        put_over!(self.heartbeat, heartbeat, HeartbeatConfig { interval_s });
        put_over!(
            self.state,
            state,
            StateConfig {
                directory,
                save_interval_s
            }
        );
        put_over!(
            self.store,
            store,
            StoreConfig {
                max_bytes,
                max_age_s,
                keep_delivered_s
            }
        );
        put_over!(
            self.tamper,
            tamper,
            TamperConfig {
                enabled,
                managers,
                xtables_poll_interval_s
            }
        );
        put_over!(self.host, host, HostConfig { name });
        put_over!(self.redaction, redaction, RedactionConfig { patterns });
        put_over!(self.repeats, repeats, RepeatsConfig { burst, refill_s });
        add_labels(&mut self.labels, labels, problems);
        add(&mut self.filters, filters, &FILTERS, problems);
        add(&mut self.sinks, sinks, &SINKS, problems);
        let RuleConfig { file, overrides } = rule;
        let earlier = &mut self.rules.linux_iptables_firewall_modification;
        put(&mut earlier.file, file);
        earlier.overrides.put_later_over(overrides, problems);
    }
}

impl Overrides {
    fn put_later_over(&mut self, later: Self, problems: &mut Vec<Problem>) {
        let Self {
            not_parent_process_path,
            ports,
            port_count_min,
            window,
            window_span_s,
            window_offset_s,
            filter,
        } = later;
        put(&mut self.not_parent_process_path, not_parent_process_path);
        put(&mut self.ports, ports);
        put(&mut self.port_count_min, port_count_min);
        put(&mut self.window, window);
        put(&mut self.window_span_s, window_span_s);
        put(&mut self.window_offset_s, window_offset_s);
        add(&mut self.filter, filter, &FILTERS, problems);
    }
}

fn put<T>(earlier: &mut Option<Written<T>>, later: Option<Written<T>>) {
    if later.is_some() {
        *earlier = later;
    }
}

fn add<T>(
    earlier: &mut Option<Written<Vec<Written<T>>>>,
    later: Option<Written<Vec<Written<T>>>>,
    list: &List<T>,
    problems: &mut Vec<Problem>,
) {
    let Some(later) = later else { return };
    let Some(Written { value: known, .. }) = earlier else {
        *earlier = Some(later);
        return;
    };
    let count = known.len() + later.value.len();
    if count > list.count_max {
        let fault = too_many(list.count_max, count);
        problems.push(Problem::of_key(&later.origin, fault));
        return;
    }
    for section in later.value {
        let name = (list.name)(&section.value);
        if known.iter().any(|other| (list.name)(&other.value) == name) {
            problems.push(Problem::of_key(&section.origin, (list.same_name)(name)));
        } else {
            known.push(section);
        }
    }
}

fn add_labels(
    earlier: &mut Option<Written<BTreeMap<String, String>>>,
    later: Option<Written<BTreeMap<String, String>>>,
    problems: &mut Vec<Problem>,
) {
    let Some(later) = later else { return };
    let Some(labels) = earlier else {
        *earlier = Some(later);
        return;
    };
    labels.value.extend(later.value);
    let count = labels.value.len();
    if count > LABELS_MAX {
        problems.push(Problem::of_key(&later.origin, too_many(LABELS_MAX, count)));
    }
}

fn too_many(count_max: usize, count: usize) -> Fault {
    Fault::Unfit {
        expected: format!("at most {count_max} in all files together"),
        found: count.to_string(),
    }
}
