//! What tables of x_tables show.

use super::*;
use crate::pipeline::exec::Namespace;
use crate::pipeline::firewall::change::Which;

/// The inode number of the agent's network namespace.
const OWN_NET: u32 = 4_026_531_840;

fn seen(tgids: &[u32], changes: Vec<FirewallChange>) -> Made {
    Made {
        tgids: tgids.to_vec(),
        witness: Witness::Table,
        ..made(0, at(5), changes)
    }
}

fn legacy(change: FirewallChange) -> FirewallChange {
    FirewallChange {
        backend: Backend::XtablesLegacy,
        ..change
    }
}

/// Two shells of one login, each with its tool, and a web server with one.
fn tools() -> ProcessTree {
    let mut tree = host(&[
        (1, "/usr/lib/systemd/systemd"),
        (10, "/usr/sbin/sshd"),
        (20, "/usr/sbin/sshd"),
        (30, "/usr/bin/bash"),
        (40, "/usr/sbin/xtables-legacy-multi"),
    ]);
    for (tgid, parent_tgid, exe) in [
        (41, 30, "/usr/sbin/xtables-legacy-multi"),
        (11, 1, "/usr/sbin/nginx"),
        (42, 11, "/usr/sbin/xtables-legacy-multi"),
    ] {
        tree.handle_event(&Event::Running(Box::new(Running {
            process: key(tgid),
            parent_tgid,
            exe: ExePath::Known(exe.as_bytes().into()),
            file: None,
            script: None,
            argv: Argv::from_arguments([exe.as_bytes()]),
            program: Program::default(),
        })));
    }
    tree
}

#[test]
fn one_who_asked_has_made_it() {
    let mut tamper = tamper();
    tamper.handle_made(&seen(&[40], vec![legacy(accept(636))]), &tools());
    let found = findings(&mut tamper);
    let [finding] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(finding.kind, FindingKind::AcceptOpened);
    assert_eq!(finding.changes[0].process, Some(key(40)));
    assert_eq!(finding.changes[0].witness.as_str(), "table");
    assert!(!finding.reasons.contains(&Reason::SeveralActors));
}

#[test]
fn of_several_who_asked_each_origin_has_it_and_says_so() {
    let mut tamper = tamper();
    tamper.handle_made(&seen(&[40, 41, 42], vec![legacy(accept(636))]), &tools());
    let found = findings(&mut tamper);
    let origins: Vec<_> = found
        .iter()
        .map(|finding| finding.lineage[0].process)
        .collect();
    assert_eq!(origins, [key(40), key(42)], "two origins");
    for finding in &found {
        assert_eq!(finding.kind, FindingKind::AcceptOpened);
        assert_eq!((finding.made, finding.changes[0].process), (1, None));
        assert!(finding.reasons.contains(&Reason::SeveralActors));
    }
}

#[test]
fn a_table_that_cannot_be_read_is_a_finding() {
    let mut tamper = tamper();
    let change = FirewallChange {
        operation: Operation::Other {
            what: b"what the table holds cannot be read".to_vec(),
        },
        ..legacy(accept(0))
    };
    tamper.handle_made(&seen(&[40], vec![change]), &tools());
    assert_eq!(kinds(&mut tamper), [FindingKind::ChangedWhileBlind]);
}

/// A command in that network namespace that deletes a rule by its number.
fn delete_by_number(net: u32) -> Exec {
    let exe = b"/usr/sbin/xtables-legacy-multi";
    let mut exec = sample::exec(&[b"iptables-legacy", b"-D", b"INPUT", b"1"]);
    exec.exe = ExePath::Known(exe.as_slice().into());
    exec.namespaces.net = Namespace {
        inum: net,
        is_host: Some(true),
    };
    exec
}

#[test]
fn what_a_number_stands_for_is_left_to_the_table_where_it_is_read() {
    let tree = tools();
    for (reads, net, expected) in [
        (None, OWN_NET, &[FindingKind::DropRemoved][..]),
        (Some(OWN_NET), OWN_NET + 1, &[FindingKind::DropRemoved]),
        (Some(OWN_NET), OWN_NET, &[]),
    ] {
        let mut tamper = tamper();
        tamper.set_reads_tables_of(reads);
        tamper.handle_exec(&delete_by_number(net), &tree);
        assert_eq!(kinds(&mut tamper), expected, "{reads:?} {net}");
    }
    let mut tamper = tamper();
    let change = FirewallChange {
        operation: Operation::DeleteRule(Which::Numbered {
            index: 1,
            rule: Box::new(Rule {
                target: Some(Target::Drop),
                ..Rule::default()
            }),
        }),
        ..legacy(accept(0))
    };
    tamper.handle_made(&seen(&[40], vec![change]), &tree);
    assert_eq!(kinds(&mut tamper), [FindingKind::DropRemoved]);
}
