//! Line 21, where the parent itself is the reaper: who really began it.

use crate::harness::{Agent, is_of, stub_in};
use crate::kernel::can_run;

use super::run;

/// Line 21: the parent is process 1 of a pid namespace, which adopted what the malware left. The alert
/// still names the malware.
#[test]
fn an_alert_about_an_orphan_names_its_origin() {
    if !can_run("an_alert_about_an_orphan_names_its_origin") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let reaper = stub_in(folder.path(), "init");
    let malware = stub_in(folder.path(), "cpd");
    let mut agent = Agent::run("");
    // The reaper's own command line does not name it.
    let script = "export CPD=\"$2\"; unshare --pid --fork \"$1\" reaper exec bash /bin/bash -c '
            \"$CPD\" ports orphan exec sh /bin/sh -c %; true'";
    run(script, &[&reaper, &malware]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &reaper) && alert["count"] == 3);
    agent.stop();
    let text = alert.to_string();
    let origin = malware.to_str().unwrap();
    assert!(text.contains(origin), "no word of {origin} in\n{alert:#}");
}
