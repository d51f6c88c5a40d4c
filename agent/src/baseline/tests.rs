use std::path::Path;

use expect_test::expect;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config;

/// The `n`th finding of what `exe` does.
fn finding(n: u128, exe: &str, reasons: &[&str]) -> Value {
    json!({
        "schema": "wallwatch.finding/1", "kind": "finding", "id": Uuid::from_u128(n).to_string(),
        "revision": 0, "finding": "accept-opened", "severity": "low", "risk_score": 30,
        "reasons": reasons, "first_seen": format!("2026-11-{:02}T03:00:00Z", n % 28 + 1),
        "last_seen": format!("2026-11-{:02}T03:00:01Z", n % 28 + 1), "user": "root",
        "origin": {"kind": "unit", "executable": exe, "unit": "panel.service"}, "execs": [],
    })
}

fn page(findings: &[Value], count_min: u64) -> String {
    let mut baseline = Baseline::default();
    for finding in findings {
        baseline.take(finding.to_string().as_bytes()).unwrap();
    }
    baseline.page(count_min)
}

#[test]
fn what_comes_often_is_proposed_and_what_looks_like_an_attack_is_not() {
    let panel = (1..4).map(|n| finding(n, "/opt/panel/paneld", &["no-login"]));
    let attack = (11..20).map(|n| finding(n, "/opt/miner", &["no-login", "writable-origin"]));
    let rare = [finding(30, "/opt/once", &[])];
    let mut disguised = finding(31, "/opt/d", &[]);
    disguised["finding"] = json!("tool-disguised");
    let mut nameless = finding(32, "", &[]);
    nameless["origin"] = json!({"kind": "unknown"});
    let mut findings: Vec<Value> = panel.chain(attack).chain(rare).collect();
    findings.extend([disguised, nameless]);
    let text = page(&findings, 3);
    expect![[r##"
        # Proposed from 15 findings. Fill in owner and reason of those that you accept, and leave the others out.

        # accept-opened, /opt/panel/paneld, panel.service, root, 3 findings from 2026-11-02T03:00:00Z to 2026-11-04T03:00:01Z, at most low
        [[filters]]
        name = "accept-opened-paneld-1"
        owner = ""    # who answers for it
        reason = ""   # why this is no attack
        expires = 2027-02-02
        rule = ["accept-opened"]
        origin_executable = ["/opt/panel/paneld"]
        unit = ["panel.service"]
        user = ["root"]

        # Not proposed:
        # accept-opened, /opt/miner, panel.service, root, 9 findings from 2026-11-12T03:00:00Z to 2026-11-20T03:00:01Z, at most low: it bears writable-origin
        # tool-disguised, /opt/d, panel.service, root, 1 finding from 2026-11-04T03:00:00Z to 2026-11-04T03:00:01Z, at most low: such a finding is never a habit
        # Too rare to be a habit (fewer than 3 alike): 1
        # 1 finding: neither executable nor unit nor container is known, and a filter without them would silence others as well
    "##]].assert_eq(&text);
    // Nobody answers for it yet, and so the configuration refuses it.
    let file = || Path::new("p.toml").into();
    assert!(config::parse(file(), &text).is_err());
    let answered = text.replace("owner = \"\"", "owner = \"web\"");
    let answered = answered.replace("reason = \"\"", "reason = \"4711\"");
    let settings = config::parse(file(), &answered).unwrap();
    assert_eq!(settings.filters.len(), 1);
    assert_eq!(settings.doubts(0), []);
}

#[test]
fn revisions_of_one_finding_count_once_and_the_latest_counts() {
    let mut findings: Vec<Value> = (0..5)
        .map(|revision| {
            let mut finding = finding(1, "/opt/panel/paneld", &[]);
            finding["revision"] = json!(revision);
            finding
        })
        .collect();
    findings[4]["reasons"] = json!(["memfd-executable"]);
    assert!(page(&findings, 1).contains("it bears memfd-executable"));
    findings.reverse();
    assert!(page(&findings, 1).contains("it bears memfd-executable"));
}

#[test]
fn what_is_no_finding_is_passed_over_and_what_is_none_at_all_refused() {
    let mut baseline = Baseline::default();
    baseline.take(br#"{"kind": "heartbeat"}"#).unwrap();
    assert!(baseline.take(b"{").is_err());
    assert!(baseline.take(br#"{"kind": "alert", "id": "x"}"#).is_err());
    assert!(baseline.page(1).contains("from 0 findings"));
}

proptest! {
    /// Text of the log is the attacker's: it must not end a comment or a string of the page.
    #[test]
    fn hostile_text_proposes_nothing_of_its_own(exe in any::<String>(), user in any::<String>()) {
        let mut findings = vec![finding(1, &exe, &[]), finding(2, &exe, &["memfd-executable"])];
        findings[0]["user"] = json!(user);
        let text = page(&findings, 1);
        let read: toml::Table = toml::from_str(&text).unwrap();
        let filters = read.get("filters").and_then(toml::Value::as_array);
        for filter in filters.into_iter().flatten() {
            prop_assert_eq!(filter["origin_executable"][0].as_str(), Some(&*exe));
        }
    }
}
