//! What the operator wants not to be told.

use super::*;
use crate::pipeline::filter::{Field, FilterSpec, Filters};

const PANEL: &str = "/usr/local/panel/bin/paneld";

/// The change's ports, as far as these tests need words.
fn words(change: &FirewallChange) -> String {
    format!("{change:?}")
}

fn filter(fields: &[(Field, &str)], expires_ns: Option<u64>) -> Tamper {
    let fields = fields
        .iter()
        .map(|(field, pattern)| (*field, vec![(*pattern).to_owned()]));
    let spec = FilterSpec {
        name: "panel".to_owned(),
        owner: Some("web team".to_owned()),
        reason: Some("ticket 4711".to_owned()),
        expires_ns,
        fields: fields.collect(),
    };
    tamper().with_allowed(Allowed::new(Filters::compile(&[spec]).unwrap(), words))
}

fn panel() -> ProcessTree {
    host(&[
        (1, "/usr/lib/systemd/systemd"),
        (300, PANEL),
        (301, "/usr/sbin/xtables-nft-multi"),
    ])
}

/// Lines told of one change of the panel's, and lines withheld.
fn told(fields: &[(Field, &str)]) -> (usize, u64) {
    let mut tamper = filter(fields, None);
    tamper.handle_made(&made(301, at(10), vec![accept(636)]), &panel());
    (findings(&mut tamper).len(), tamper.suppressed()["panel"])
}

#[test]
fn each_field_withholds_what_fits_and_nothing_else() {
    for (field, fitting, other) in [
        (Field::Rule, "accept-opened", "policy-opened"),
        (Field::Severity, "*", "nothing"),
        (Field::Lineage, PANEL, "/usr/local/panel/bin/other"),
        (Field::OriginExecutable, PANEL, "/usr/bin/*"),
        (Field::Origin, "unknown", "login"),
        (Field::ProcessPath, "/usr/sbin/*", "/sbin/*"),
        (Field::ProcessName, "xtables-nft-multi", "iptables"),
        (Field::ParentProcessPath, PANEL, "/usr/lib/*"),
        (Field::ParentProcessName, "paneld", "panel"),
        (Field::ParentProcessId, "300", "30"),
        (Field::Change, "*636..=636*", "*989*"),
    ] {
        assert_eq!(told(&[(field, fitting)]), (0, 1), "{field:?} {fitting}");
        assert_eq!(told(&[(field, other)]), (1, 0), "{field:?} {other}");
    }
}

#[test]
fn what_is_not_known_fits_nothing() {
    for field in [
        Field::User,
        Field::Dest,
        Field::Unit,
        Field::Container,
        Field::ProcessesExec,
        Field::CommandRegex,
        Field::Path,
        Field::Ports,
    ] {
        let pattern = if field == Field::CommandRegex {
            ".*"
        } else {
            "*"
        };
        assert_eq!(told(&[(field, pattern)]), (1, 0), "{field:?}");
    }
}

#[test]
fn a_command_is_compared_whole_by_globs_and_expressions() {
    let told = |field, pattern: &str| {
        let mut tamper = filter(&[(field, pattern)], None);
        let mut tree = panel();
        let mut exec = sample::exec(&[b"iptables", b"-I", b"INPUT", b"-j", b"ACCEPT"]);
        exec.process = key(302);
        exec.parent = key(300);
        exec.exe = ExePath::Known(b"/usr/sbin/xtables-nft-multi".as_slice().into());
        exec.user = Some("root".into());
        tree.handle_event(&Event::Exec(Box::new(exec.clone())));
        tamper.handle_exec(&exec, &tree);
        findings(&mut tamper).len()
    };
    assert_eq!(told(Field::ProcessesExec, "iptables -I *"), 0);
    assert_eq!(told(Field::ProcessesExec, "iptables -I"), 1);
    assert_eq!(told(Field::CommandRegex, "^iptables -[IA] INPUT"), 0);
    assert_eq!(told(Field::CommandRegex, "^-I"), 1);
    assert_eq!(told(Field::User, "root"), 0);
}

/// One harmless deed hides no other, and what came before is told with it.
#[test]
fn a_deed_that_does_not_fit_brings_the_whole_finding_to_light() {
    let mut tamper = filter(&[(Field::Lineage, PANEL), (Field::Change, "*636*")], None);
    let tree = panel();
    tamper.handle_made(&made(301, at(10), vec![accept(636)]), &tree);
    tamper.handle_made(&made(301, at(11), vec![accept(636)]), &tree);
    assert_eq!(findings(&mut tamper), []);
    tamper.handle_made(&made(301, at(12), vec![accept(22)]), &tree);
    let found = findings(&mut tamper);
    assert_eq!((found.len(), found[0].revision, found[0].made), (1, 0, 3));
    tamper.handle_made(&made(301, at(13), vec![accept(636)]), &tree);
    tamper.handle_timeout(at(20));
    let found = findings(&mut tamper);
    assert_eq!((found[0].revision, found[0].made), (1, 4));
}

#[test]
fn an_expired_filter_withholds_nothing() {
    let mut tamper = filter(&[(Field::Lineage, PANEL)], Some(at(100).wall_ns));
    let tree = panel();
    tamper.handle_made(&made(301, at(99), vec![accept(636)]), &tree);
    assert_eq!(findings(&mut tamper), []);
    tamper.handle_made(&made(301, at(100), vec![accept(636)]), &tree);
    let found = findings(&mut tamper);
    assert_eq!((found.len(), found[0].made), (1, 2));
}

/// What a finding is withheld to its end leaves no line, and is counted.
#[test]
fn a_finding_withheld_to_its_end_leaves_no_line() {
    let mut tamper = filter(&[(Field::Lineage, PANEL)], None);
    tamper.handle_made(&made(301, at(10), vec![accept(636)]), &panel());
    tamper.handle_timeout(at(1000));
    tamper.flush();
    assert_eq!(findings(&mut tamper), []);
    assert_eq!(tamper.suppressed()["panel"], 2);
}
