//! What must hold for every alert.

use std::collections::BTreeMap;

use std::sync::LazyLock;

use serde_json::Value;
use wallwatch::config::rule_file;
use wallwatch::delivery::encode::human::human;
use wallwatch::delivery::encode::json::{LINE_BYTES_MAX, json_line};
use wallwatch::delivery::encode::{AlertContext, HostIdentity, Shape, shaped_finding};
use wallwatch::pipeline::Pipeline;
use wallwatch::pipeline::detect::{Detector, Limits, Rule};
use wallwatch::pipeline::firewall::tamper::{Tamper, TamperLimits};
use wallwatch::pipeline::process_tree::TreeLimits;

/// A fresh pipeline with the built-in rule, which is compiled once: that takes longer than all else.
pub(crate) fn pipeline() -> Pipeline {
    static RULE: LazyLock<Rule> = LazyLock::new(|| {
        let spec = rule_file::built_in().expect("the built-in rule is valid");
        Rule::compile(spec).expect("the built-in rule compiles")
    });
    Pipeline::new(
        Detector::new(RULE.clone(), Limits::default()),
        Some(Tamper::new(TamperLimits::default(), Vec::new())),
        TreeLimits::default(),
    )
}

/// Takes what alerts and findings there are, and checks each as it is written. Says how many alerts it was.
pub(crate) fn check_next(pipeline: &mut Pipeline) -> usize {
    let context = AlertContext {
        host: HostIdentity {
            name: "host".to_owned(),
            id: None,
            boot_id: None,
            os: None,
            kernel: None,
        },
        agent_version: "0.0.0".to_owned(),
        labels: BTreeMap::new(),
    };
    let mut n = 0;
    while let Some(alert) = pipeline.next_alert() {
        check_line(&json_line(&alert, &context));
        assert!(!human(&alert, &context).is_empty());
        assert!(alert.port_count as usize >= alert.ports.len());
        assert!(alert.count >= alert.execs.len() as u64);
        n += 1;
    }
    while let Some(finding) = pipeline.next_finding() {
        check_line(&shaped_finding(&finding, &context, Shape::JsonLines));
        assert!(!shaped_finding(&finding, &context, Shape::Human).is_empty());
    }
    n
}

/// One line of JSON, bounded, an object with what the schema promises.
pub(crate) fn check_line(line: &[u8]) {
    assert!(line.len() <= LINE_BYTES_MAX, "{} bytes", line.len());
    let Some((&b'\n', json)) = line.split_last() else {
        panic!("a line without its end");
    };
    assert!(!json.contains(&b'\n'));
    let alert: Value = serde_json::from_slice(json).expect("a line is JSON");
    let kind = alert["kind"].as_str().expect("an event has a kind");
    assert!(matches!(kind, "alert" | "finding"), "{kind}");
    assert_eq!(alert["schema"], format!("wallwatch.{kind}/1"));
    let is_parity = alert["rule"]["name"] == "Linux Iptables Firewall Modification";
    assert!(!is_parity || alert["port_count"].as_u64() >= Some(3));
}
