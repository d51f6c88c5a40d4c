//! More changes than the kernel had room for.

use std::fmt::Write;
use std::fs;

use super::{Ear, as_told, can_run, in_own_namespace, run, show};
use wallwatch::host::netfilter::{RECEIVE_BUFFER_BYTES, snapshot};

const RULES: usize = 2000;

#[test]
fn after_an_overrun_a_listing_tells_what_was_missed() {
    if !can_run("after_an_overrun_a_listing_tells_what_was_missed") {
        return;
    }
    in_own_namespace(|_| {
        // The kernel doubles it, and keeps some of it for itself (`socket(7)`).
        let mut ear = Ear::open(4096);
        run("nft 'add table ip t; add chain ip t c; add rule ip t c tcp dport 22 accept'");
        assert_eq!(ear.hear().len(), 1);
        load_rules("accept");
        let heard = ear.hear();
        assert!(ear.overruns > 0, "{heard:?}");

        let listed = snapshot().unwrap();
        let known = ear.transactions.ruleset(None).unwrap();
        let known = known.rules().count() - 1;
        let missed = ear.transactions.adopt(listed.clone());
        let added: Vec<_> = missed.iter().map(show).collect();
        // Some of the messages were heard, of a transaction whose end was not.
        assert_eq!(added.len() + known, RULES, "{:?}", added.first());
        assert!(
            added
                .iter()
                .all(|change| change.starts_with("Nftables Ipv4 t c: add rule"))
        );
        let listing = run("nft list ruleset");
        assert_eq!(listing.matches("tcp dport").count(), RULES + 1);
        assert_eq!(listed.ruleset.rules().count(), RULES + 1);
        ear.assert_up_to_date("an overrun");

        // The next transaction says that some before it were not heard.
        run("nft add rule ip t c drop");
        let heard = ear.hear();
        assert!(heard.len() == 1 && heard[0].incomplete, "{heard:?}");
        let shown: Vec<_> = heard[0].changes.iter().map(show).collect();
        assert_eq!(shown, [as_told("Nftables Ipv4 t c: add rule last: drop")]);
        run("nft add rule ip t c accept");
        assert!(!ear.hear()[0].incomplete);
        ear.assert_up_to_date("both");
    });
}

#[test]
fn the_default_buffer_holds_thousands_of_rules() {
    if !can_run("the_default_buffer_holds_thousands_of_rules") {
        return;
    }
    in_own_namespace(|_| {
        let mut ear = Ear::open(RECEIVE_BUFFER_BYTES);
        run("nft 'add table ip t; add chain ip t c'");
        load_rules("accept");
        let heard = ear.hear();
        assert_eq!(ear.overruns, 0);
        assert_eq!(heard.len(), 2);
        assert_eq!(heard[1].changes.len(), 1024);
        assert_eq!(heard[1].changes_omitted, RULES as u64 - 1024);
        ear.assert_up_to_date("the load");
        run("nft flush ruleset");
        let heard = ear.hear();
        let shown: Vec<_> = heard[0].changes.iter().map(show).collect();
        assert!(
            shown
                .iter()
                .any(|change| change == "Nftables Ipv4 t: DeleteTable")
        );
        ear.assert_up_to_date("the flush");
    });
}

/// Loads many rules in one transaction.
fn load_rules(verdict: &str) {
    let mut script = String::new();
    for port in 1..=RULES {
        writeln!(script, "add rule ip t c tcp dport {port} {verdict}").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.nft");
    fs::write(&path, script).unwrap();
    run(&format!("nft -f {}", path.display()));
}
