use super::super::tests::{at, findings, key, tamper};
use crate::pipeline::exec::{Event, ExePath, Exec, sample};
use crate::pipeline::firewall::finding::FindingKind;
use crate::pipeline::process_tree::{ProcessTree, TreeLimits};

fn python(script: &[u8], is_shebang: bool) -> Exec {
    let mut exec = sample::exec(&[b"/usr/bin/python3", script, b"status"]);
    (exec.process, exec.parent, exec.time) = (key(30), key(20), at(30));
    exec.exe = ExePath::Known(b"/usr/bin/python3.11"[..].into());
    exec.filename = script.into();
    exec.interp = is_shebang.then(|| b"/usr/bin/python3"[..].into());
    exec
}

fn iptables(operation: &[u8], chain: &[u8]) -> Exec {
    let mut exec = sample::exec(&[b"/usr/sbin/iptables", operation, chain]);
    (exec.process, exec.parent, exec.time) = (key(40), key(30), at(40));
    exec.exe = ExePath::Known(b"/usr/sbin/xtables-nft-multi"[..].into());
    exec
}

/// What is found when `parent` runs that.
fn found(parent: Exec, tool: Exec) -> Vec<FindingKind> {
    let (mut tree, mut tamper) = (ProcessTree::new(TreeLimits::default()), tamper());
    for exec in [parent, tool] {
        tree.handle_event(&Event::Exec(Box::new(exec.clone())));
        tamper.handle_exec(&exec, &tree);
    }
    let found = findings(&mut tamper);
    found.iter().map(|finding| finding.kind).collect()
}

#[test]
fn what_ufw_tries_out_is_no_flush() {
    for operation in [b"-F".as_slice(), b"-X"] {
        for chain in [
            b"ufw-caps-testnpusawc7".as_slice(),
            b"ufw6-caps-testp2d9ae_0",
        ] {
            let ufw = python(b"/usr/sbin/ufw", true);
            assert_eq!(found(ufw, iptables(operation, chain)), []);
        }
    }
}

#[test]
fn neither_the_chain_nor_ufw_alone_excuses_a_flush() {
    let flushed = [FindingKind::RulesetFlushed];
    let trial = || iptables(b"-F", b"ufw-caps-testnpusawc7");
    let claimed = python(b"/usr/sbin/ufw", false);
    assert_eq!(found(claimed, trial()), flushed);
    let elsewhere = python(b"/tmp/ufw", true);
    assert_eq!(found(elsewhere, trial()), flushed);
    let other = python(b"/usr/bin/other", true);
    assert_eq!(found(other, trial()), flushed);
    let ufw = python(b"/usr/sbin/ufw", true);
    assert_eq!(found(ufw, iptables(b"-F", b"INPUT")), flushed);
}
