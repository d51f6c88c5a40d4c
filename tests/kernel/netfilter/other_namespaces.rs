//! Changes in network namespaces that have an id in the agent's.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use super::{Ear, as_told, can_run, in_own_namespace, run, show};
use wallwatch::host::netfilter::RECEIVE_BUFFER_BYTES;

/// A process that holds a network namespace of its own.
struct Other(Child);

impl Other {
    /// `id`: by which number the test's own namespace knows it.
    fn make(id: Option<i32>) -> Self {
        let child = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("start unshare (util-linux)");
        let mut other = Self(child);
        let mut line = String::new();
        let stdout = other.0.stdout.take().expect("a pipe was asked for");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        if let Some(id) = id {
            let pid = other.0.id();
            // `ip netns set` wants a name under /run/netns; an interface that leads there is as good.
            run(&format!(
                "ip link add veth{id} type veth peer name peer{id} netns {pid}"
            ));
        }
        other
    }

    fn run(&self, command: &str) {
        run(&format!(
            "nsenter --net=/proc/{}/ns/net {command}",
            self.0.id()
        ));
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn namespaces_with_an_id_are_heard_and_kept_apart() {
    if !can_run("namespaces_with_an_id_are_heard_and_kept_apart") {
        return;
    }
    in_own_namespace(|_| {
        let others = [Other::make(Some(1)), Other::make(Some(2))];
        let unknown = Other::make(None);
        let mut ear = Ear::open(RECEIVE_BUFFER_BYTES);
        run("nft add table ip own");
        others[0].run("nft add table ip first");
        others[1].run("nft add table ip second");
        unknown.run("nft add table ip unseen");
        others[0].run("nft 'add chain ip first c; add rule ip first c accept'");
        let mut by_nsid: BTreeMap<Option<i32>, Vec<String>> = BTreeMap::new();
        for transaction in ear.hear() {
            let shown = transaction.changes.iter().map(show);
            by_nsid.entry(transaction.nsid).or_default().extend(shown);
        }
        let own = by_nsid.remove(&None).expect("its own");
        assert_eq!(own, ["Nftables Ipv4 own: AddTable"]);
        let heard: Vec<_> = by_nsid.into_values().collect();
        let first = [
            "Nftables Ipv4 first: AddTable",
            "Nftables Ipv4 first c: add chain None None",
            "Nftables Ipv4 first c: add rule last: accept",
        ];
        let first = first.map(as_told).to_vec();
        let second = vec!["Nftables Ipv4 second: AddTable".to_owned()];
        assert_eq!(heard, [first, second]);
    });
}
