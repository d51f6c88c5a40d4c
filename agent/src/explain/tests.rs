use std::sync::LazyLock;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::alert_log::NoEvent;
use crate::config::rule_file;
use crate::delivery::encode::is_active;
use crate::pipeline::detect::rule::RuleSpec;

/// Two findings, an alert that one of them leads to, gaps and heartbeats of one host.
const LOG: &str = include_str!("../../../tests/data/explain.log.jsonl");
const FINDING: &str = "7b1c0d5e-4f3a-5b2c-8d1e-0a9b8c7d6e5f";
const ALERT: &str = "7b1c0d5e-9000-5000-8000-00000000beef";

static RULE: LazyLock<(RuleSpec, Rule)> = LazyLock::new(|| {
    let spec = rule_file::built_in().unwrap();
    (spec.clone(), Rule::compile(spec).unwrap())
});

fn ask<'a>(id: &str, lines: impl IntoIterator<Item = &'a str>) -> Answer {
    let mut log = Log::new(id.parse().unwrap());
    for line in lines {
        log.take(line.as_bytes()).unwrap();
    }
    let (spec, rule) = &*RULE;
    answer(&log, &InForce { spec, rule })
}

/// A heading and what stands under it.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let at = page.find(heading).unwrap();
    page[at..].split("\n\n").next().unwrap()
}

fn check(id: &str, heading: &str, expected: &Expect) {
    let answer = ask(id, LOG.lines());
    assert_eq!(answer.code, ExitCode::Success);
    expected.assert_eq(section(&answer.text, heading));
}

#[test]
fn a_lineage_is_drawn_and_what_else_came_from_the_origin_hangs_loose_below_it() {
    check(
        FINDING,
        "process tree",
        &expect![[r#"
            process tree
              /usr/lib/systemd/systemd (1): /sbin/init
              └─ /usr/bin/python3.13 (800) running /opt/panel/panel.py: /usr/bin/python3 /opt/panel/panel.py  <- origin (network-service)
                 ├─ /tmp/.x/hook (901, ended): hook --open
                 │  └─ /usr/sbin/nft (903, ended): nft add rule ip nat pre tcp dport 80 redirect to :42391
                 └┄ /usr/sbin/nft (907): nft -f - \x1b[31m\u{202e}gpj"#]],
    );
}

#[test]
fn execs_stand_below_their_parent_and_who_began_it_beside() {
    check(
        ALERT,
        "process tree",
        &expect![[r#"
            process tree
              /usr/lib/systemd/systemd (1): /sbin/init
              └─ /tmp/.x/hook (901, ended): hook --open  <- its executable was removed
                 ├─ /usr/bin/dash (950): sh -c iptables -I OUTPUT -p tcp --dport 3269 -j ACCEPT &>/dev/null
                 ├─ /usr/bin/dash (951): sh -c iptables -I OUTPUT -p tcp --dport 636 -j ACCEPT &>/dev/null
                 ├─ /usr/bin/dash (952): sh -c iptables -I OUTPUT -p tcp --dport 989 -j ACCEPT &>/dev/null
                 └─ and 1 exec more
              begun by, before the parent adopted it:
              /usr/lib/systemd/systemd (1): /sbin/init
              └─ /usr/bin/python3.13 (800) running /opt/panel/panel.py: /usr/bin/python3 /opt/panel/panel.py"#]],
    );
}

#[test]
fn the_latest_revision_tells_what_changed_wherever_it_stands() {
    check(
        FINDING,
        "what changed",
        &expect![[r#"
            what changed
              1 change asked for, 2 made, 1 edit
              2026-11-24T10:00:10.000000000Z  asked for by command, process 903: ip nat pre: add rule protocol tcp dport 80 redirect to 42391
              2026-11-24T10:00:11.000000000Z  made, says the kernel, process 903: ip nat pre: add rule protocol tcp dport 80 redirect to 42391
              2026-11-24T10:00:18.000000000Z  made, says the kernel, by a process that is not known, network namespace 4: ip nat pre: add rule protocol tcp dport 443 redirect to 42391
              2026-11-24T10:00:19.000000000Z  written /etc/nftables.conf, process 905 /usr/bin/dash"#]],
    );
    let backwards = ask(FINDING, LOG.lines().rev());
    assert!(backwards.text.contains("revision 1 (closed)"));
}

#[test]
fn every_reason_has_its_weight() {
    check(
        FINDING,
        "why it weighs what it weighs",
        &expect![[r#"
            why it weighs what it weighs
                50  redirect-added
               +20  writable-origin
               +10  output-silenced
               +10  no-login
               +25  network-service
               100  of 100: critical"#]],
    );
}

#[test]
fn what_was_near_names_threshold_and_what_shares_the_origin() {
    check(
        FINDING,
        "what was near",
        &expect![[r#"
            what was near
              Linux Iptables Firewall Modification on its nearest command line: 1 of 5 clauses over process hold, process="*iptables *" fails
              0 of 3 ports
              1 finding of the same parent or origin within 3600 s, 1 of others on gateway
                2026-11-24T10:00:30Z  Linux Iptables Firewall Modification (medium, risk 25)  7b1c0d5e-9000-5000-8000-00000000beef  by process 800"#]],
    );
    check(
        ALERT,
        "what was near",
        &expect![[r#"
            what was near
              3 ports, 3 are enough; not seen: 994 995 8443
              1 finding of the same parent or origin within 3600 s, 1 of others on gateway
                2026-11-24T10:00:10Z  redirect-added (critical, risk 100)  7b1c0d5e-4f3a-5b2c-8d1e-0a9b8c7d6e5f  by process 800"#]],
    );
}

#[test]
fn gaps_and_books_count_where_they_overlap() {
    check(
        FINDING,
        "what the sensor missed",
        &expect![[r#"
            what the sensor missed
              the command line of 1 listed exec is not whole
              gap 2026-11-24T10:00:05Z to 2026-11-24T10:00:12Z: execs-lost, 40 execs (38 ring-full, 2 share)
              between the heartbeats around it: 3 findings closed for lack of room"#]],
    );
    check(
        ALERT,
        "what the sensor missed",
        &expect![[r#"
            what the sensor missed
              2 command lines not read at the exec
              1 execs counted but not listed
              between the heartbeats around it: 3 findings closed for lack of room"#]],
    );
}

#[test]
fn the_filter_names_origin_unit_and_user() {
    check(
        FINDING,
        "a filter that would silence it",
        &expect![[r#"
            a filter that would silence it
              [[filters]]
              name = "redirect-added-panel-py"
              owner = ""    # who answers for it
              reason = ""   # why this is no attack
              expires = 2027-02-22
              rule = ["redirect-added"]
              origin_executable = ["/opt/panel/panel.py"]
              unit = ["panel.service"]
              user = ["www-data"]
        "#]],
    );
    check(
        ALERT,
        "a filter that would silence it",
        &expect![[r#"
            a filter that would silence it
              [[filters]]
              name = "linux-iptables-firewall-modification-hook"
              owner = ""    # who answers for it
              reason = ""   # why this is no attack
              expires = 2027-02-22
              rule = ["Linux Iptables Firewall Modification"]
              parent_process_path = ["/tmp/.x/hook"]
              unit = ["panel.service"]
              user = ["www-data"]
        "#]],
    );
}

#[test]
fn an_ambiguous_id_lists_its_candidates() {
    let answer = ask("7B1C0D5E-", LOG.lines());
    assert_eq!(answer.code, ExitCode::Found);
    expect![[r#"
        more than one finding begins so:
          7b1c0d5e-4f3a-5b2c-8d1e-0a9b8c7d6e5f  redirect-added (critical, risk 100)  2026-11-24T10:00:10Z
          7b1c0d5e-9000-5000-8000-00000000beef  Linux Iptables Firewall Modification (medium, risk 25)  2026-11-24T10:00:30Z
    "#]].assert_eq(&answer.text);
    assert_eq!(ask("ffffffff", LOG.lines()).code, ExitCode::Found);
}

#[test]
fn an_id_has_eight_digits_or_more() {
    for wrong in ["", "7b1c0d5", "7b1c0d5g", "7b1c0d5é", &"0".repeat(33)] {
        assert!(wrong.parse::<IdPrefix>().is_err(), "{wrong}");
    }
    assert!(FINDING.parse::<IdPrefix>().is_ok());
}

#[test]
fn a_bad_line_says_what_was_expected() {
    let mut log = Log::new(FINDING.parse().unwrap());
    let mut error = |line: &str| log.take(line.as_bytes()).unwrap_err().to_string();
    assert_eq!(error("7"), "expected a JSON object");
    assert!(error("{").starts_with("expected a JSON object: "));
    assert_eq!(
        error(r#"{"schema":"wallwatch.alert/2\u001b"}"#),
        r"schema wallwatch.alert/2\x1b is not known, expected wallwatch.alert/1"
    );
    assert_eq!(
        error(r#"{"schema":"wallwatch.finding/1","id":7}"#),
        "expected an id that is a UUID"
    );
    assert!(log.take(br#"{"schema":"another/1"}"#).is_ok());
    let long = vec![b' '; crate::alert_log::LINE_BYTES_MAX as usize + 1];
    assert!(matches!(
        log.take(&long),
        Err(log::LineError::NoEvent(NoEvent::TooLong))
    ));
}

#[test]
fn a_long_log_lets_go_of_the_oldest_and_says_so() {
    let mut log = Log::new(FINDING.parse().unwrap());
    for line in LOG.lines() {
        log.take(line.as_bytes()).unwrap();
    }
    for number in 0..17_000_u128 {
        let line = json!({
            "schema": "wallwatch.alert/1", "id": Uuid::from_u128(number).to_string(),
            "first_seen": "2026-11-24T12:00:00Z",
        });
        log.take(line.to_string().as_bytes()).unwrap();
    }
    assert_eq!(log.let_go(), 17_003 - 16_384);
    let (spec, rule) = &*RULE;
    let answer = answer(&log, &InForce { spec, rule });
    assert!(
        answer.text.contains("revision 1 (closed)"),
        "the wanted one stays"
    );
    assert!(answer.text.contains("619 events of it found no room"));
}

#[test]
fn no_filter_is_wider_than_what_it_was_made_from() {
    let with = |key: &str, value: Value| {
        let mut line: Value = serde_json::from_str(LOG.lines().nth(1).unwrap()).unwrap();
        line["origin"][key] = value;
        filter::filter(View::of(&line)).map(|proposal| proposal.lines().join("\n"))
    };
    for inexact in [r"/opt/\xff", "/opt/ […9 bytes…] /x"] {
        let why = with("executable", json!(inexact)).unwrap_err();
        assert!(why.starts_with("the log has origin_executable"), "{why}");
    }
    let text = with("executable", json!("/opt/\"\\\u{1b}\u{202e}")).unwrap();
    let read: toml::Table = toml::from_str(&text).unwrap();
    let executable = &read["filters"][0]["origin_executable"][0];
    assert_eq!(executable.as_str(), Some("/opt/\"\\\u{1b}\u{202e}"));
    let nameless = json!({"finding": "accept-opened", "user": "root"});
    let why = filter::filter(View::of(&nameless)).unwrap_err();
    assert!(why.starts_with("neither"), "{why}");
}

/// Any JSON, hostile text and the words of the schema among it.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        ".{0,20}",
        "[\u{1b}\u{202e}\u{7}\n\r\\\\\"*x\u{200b}\u{85}]{0,8}",
        Just("2026-11-24T10:00:10Z".to_owned()),
        Just("-9999-01-01T00:00:00Z".to_owned()),
        Just("9999-12-30T22:00:00Z".to_owned()),
        Just(FINDING.to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let keys = select(vec![
        "pid",
        "start_ns",
        "executable",
        "command_line",
        "id",
        "kind",
        "path",
        "unit",
        "a\u{1b}",
    ]);
    leaf.prop_recursive(3, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..40).prop_map(Value::from),
            prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every value inside of another that holds no further ones.
fn places(value: &mut Value) -> Vec<&mut Value> {
    if value.as_array().is_some_and(|items| !items.is_empty()) {
        let items = value.as_array_mut().into_iter().flatten();
        return items.flat_map(places).collect();
    }
    if value.as_object().is_some_and(|entries| !entries.is_empty()) {
        let entries = value.as_object_mut().into_iter().flatten();
        return entries.flat_map(|(_, value)| places(value)).collect();
    }
    vec![value]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_stands_in_a_field_the_page_is_harmless(
        swaps in prop::collection::vec((any::<Index>(), any::<Index>(), any_json()), 1..12),
        whole in prop::collection::vec((any::<Index>(), any::<Index>(), any_json()), 0..4),
        wanted in select(vec![FINDING, ALERT, "7b1c0d5e"]),
    ) {
        let mut lines: Vec<Value> = LOG
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (line, at, value) in whole {
            let Value::Object(entries) = line.get_mut(&mut lines) else { continue };
            let n = at.index(entries.len());
            if let Some((key, old)) = entries.iter_mut().nth(n)
                && !["schema", "id"].contains(&key.as_str())
            {
                *old = value;
            }
        }
        for (line, at, value) in swaps {
            let mut places = places(line.get_mut(&mut lines));
            let n = at.index(places.len());
            *places[n] = value;
        }
        let mut log = Log::new(wanted.parse().unwrap());
        for line in lines {
            if let Err(error) = log.take(line.to_string().as_bytes()) {
                prop_assert!(!error.to_string().contains(is_active));
            }
        }
        let (spec, rule) = &*RULE;
        let answer = answer(&log, &InForce { spec, rule });
        prop_assert!(!answer.text.is_empty());
        let active = answer.text.chars().find(|&char| char != '\n' && is_active(char));
        prop_assert_eq!(active, None, "{}", answer.text);
    }
}
