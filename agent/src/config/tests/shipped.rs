//! The configuration file that is shipped.

use super::*;
use crate::config::shipped::{TEXT, uncommented};

#[test]
fn the_shipped_file_means_the_defaults_as_it_is_and_with_every_key_uncommented() {
    assert_eq!(settings(TEXT), settings(""));
    assert_eq!(settings(&uncommented(false)), settings(""));
}

#[test]
fn the_shipped_file_shows_every_key() {
    let (config, problems) = Config::parse(name("shipped"), &uncommented(true));
    assert!(problems.is_empty(), "{}", Problems::of(problems));
    let Config {
        sensor:
            SensorConfig {
                bulk_ring_bytes: Some(_),
                urgent_ring_bytes: Some(_),
                drain_delay_ms: Some(_),
                urgent_names: Some(_),
                failed_execs: Some(_),
                kernel_log: Some(_),
            },
        alerts:
            AlertsConfig {
                path: Some(_),
                group: Some(_),
                stdout: Some(_),
                queue_lines: Some(_),
            },
        heartbeat: HeartbeatConfig {
            interval_s: Some(_),
        },
        state:
            StateConfig {
                directory: Some(_),
                save_interval_s: Some(_),
            },
        store:
            StoreConfig {
                max_bytes: Some(_),
                max_age_s: Some(_),
                keep_delivered_s: Some(_),
            },
        tamper:
            TamperConfig {
                enabled: Some(_),
                managers: Some(_),
                xtables_poll_interval_s: Some(_),
            },
        host: HostConfig { name: Some(_) },
        labels: Some(_),
        redaction: RedactionConfig { patterns: Some(_) },
        repeats:
            RepeatsConfig {
                burst: Some(_),
                refill_s: Some(_),
            },
        filters: Some(_),
        sinks: Some(_),
        rules:
            RulesConfig {
                linux_iptables_firewall_modification:
                    RuleConfig {
                        file: Some(_),
                        overrides:
                            Overrides {
                                not_parent_process_path: Some(_),
                                ports: Some(_),
                                port_count_min: Some(_),
                                window: Some(_),
                                window_span_s: Some(_),
                                window_offset_s: Some(_),
                                filter: Some(_),
                            },
                    },
            },
    } = config
    else {
        panic!("a key is missing: {config:#?}");
    };
}
