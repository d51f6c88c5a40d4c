//! The hash of what was run comes when it is known.

use super::*;
use crate::pipeline::exec::{FileId, FileStat};
use crate::pipeline::firewall::hashes::Content;

const CONTENT: Content = Content {
    file: FileId {
        inode: 7,
        device: 8,
    },
    change_ns: 9,
};
const SHA256: [u8; 32] = [1; 32];

fn tool(tgid: u32, s: u64) -> Exec {
    let mut exec = sample::exec(&[b"iptables", b"-I", b"INPUT", b"-j", b"ACCEPT"]);
    exec.time = at(s);
    exec.process = key(tgid);
    exec.parent = key(300);
    exec.exe = ExePath::Known(b"/usr/sbin/xtables-nft-multi".as_slice().into());
    exec.exe_file = Some(CONTENT.file);
    exec.exe_stat = Some(FileStat {
        uid: 0,
        gid: 0,
        mode: 0o100_755,
        links: 1,
        change_ns: CONTENT.change_ns,
        overlay_upper: false,
    });
    exec
}

fn run(tamper: &mut Tamper, tree: &mut ProcessTree, exec: Exec) -> Vec<Finding> {
    let event = Event::Exec(Box::new(exec));
    tree.handle_event(&event);
    if let Event::Exec(exec) = &event {
        tamper.handle_exec(exec, tree);
    }
    findings(tamper)
}

fn hashes(found: &[Finding]) -> Vec<Option<[u8; 32]>> {
    let execs = found.iter().flat_map(|finding| &finding.execs);
    execs.map(|exec| exec.exe_sha256).collect()
}

#[test]
fn a_finding_does_not_wait_for_a_hash_and_is_told_again_with_it() {
    let (mut tamper, mut tree) = (tamper(), host(&[(300, "/opt/panel")]));
    let first = run(&mut tamper, &mut tree, tool(301, 10));
    assert_eq!(hashes(&first), [None]);
    let wanted = tamper.next_wanted().unwrap();
    assert_eq!((wanted.content, wanted.process), (CONTENT, key(301)));
    assert_eq!(tamper.next_wanted(), None);
    tamper.handle_hash(CONTENT, Some(SHA256));
    tamper.handle_timeout(at(13));
    let second = findings(&mut tamper);
    assert_eq!(
        (second[0].revision, hashes(&second)),
        (1, vec![Some(SHA256)])
    );
    tamper.handle_timeout(at(390));
    assert_eq!(findings(&mut tamper)[0].state, AlertState::Closed);
    let third = run(&mut tamper, &mut tree, tool(302, 400));
    assert_eq!(hashes(&third)[0], Some(SHA256), "it is known by now");
    assert_eq!(tamper.next_wanted(), None);
}

#[test]
fn what_could_not_be_hashed_is_asked_for_again_by_the_next_exec() {
    let (mut tamper, mut tree) = (tamper(), host(&[(300, "/opt/panel")]));
    run(&mut tamper, &mut tree, tool(301, 10));
    assert!(tamper.next_wanted().is_some());
    run(&mut tamper, &mut tree, tool(302, 11));
    assert_eq!(tamper.next_wanted(), None, "it is being found out");
    tamper.handle_hash(CONTENT, None);
    run(&mut tamper, &mut tree, tool(303, 12));
    assert!(tamper.next_wanted().is_some());
}

#[test]
fn more_than_can_be_asked_for_is_counted() {
    let (mut tamper, mut tree) = (tamper(), host(&[(300, "/opt/panel")]));
    for tgid in 301..401 {
        let mut exec = tool(tgid, 10);
        exec.exe_file = Some(FileId {
            inode: u64::from(tgid),
            device: 8,
        });
        run(&mut tamper, &mut tree, exec);
    }
    assert_eq!(tamper.counters().hashes_refused, 100 - 64);
}
