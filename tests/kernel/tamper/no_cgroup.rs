//! The calls that replace a legacy table, where no cgroup v2 is mounted.

use super::{fits, run};
use crate::harness::{Agent, stub_in};
use crate::kernel::can_run;
use crate::kernel::netfilter::in_own_namespace;

/// What the agent says where its program stands in front of a function.
const AT_THE_FUNCTION: &str = "is seen at security_socket_setsockopt";

/// What it says where it cannot stand there either.
const NOT_HEARD: &str = "who replaces a table of x_tables is not heard";

#[test]
fn a_call_is_seen_at_the_security_modules_or_that_it_is_not_is_said() {
    if !can_run("a_call_is_seen_at_the_security_modules_or_that_it_is_not_is_said") {
        return;
    }
    in_own_namespace(|_| {
        let folder = tempfile::tempdir().unwrap();
        stub_in(folder.path(), "stub");
        let mut agent = Agent::run_without_cgroup2();
        let log = agent.log_text();
        run("\"$1/stub\" xtables-replace marked6090", folder.path());
        if log.contains(AT_THE_FUNCTION) {
            let fits = |event: &_| fits(event, "change-without-tool", "marked6090");
            agent.wait_for_event(fits);
        } else {
            assert!(log.contains(NOT_HEARD), "{log}");
            eprintln!(
                "NOT CHECKED: a call seen at the security modules: this kernel has no trampolines"
            );
        }
        agent.stop();
    });
}
