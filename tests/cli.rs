//! Exit statuses, complaints, and what the commands say about themselves.

use std::fs;
use std::process::Output;

use expect_test::expect;

use crate::harness::{copy_for_nobody, wallwatch};

fn with_config(config: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wallwatch.toml");
    fs::write(&file, config).unwrap();
    let output = wallwatch()
        .current_dir(folder.path())
        .args(["--config", "wallwatch.toml"])
        .args(arguments)
        .output();
    output.unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_problem_of_a_configuration_is_told_at_once() {
    let output = with_config(
        "[sensor]\nbulk_ring_byte = 1\ndrain_delay_ms = 99\n[alerts]\nstdout = \"yes\"\n",
        &["check"],
    );
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    for part in [
        "wallwatch.toml:2:",
        "bulk_ring_bytes",
        "wallwatch.toml:3:",
        "wallwatch.toml:5:",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn a_valid_configuration_is_called_so() {
    let output = with_config("[host]\nname = \"gateway\"\n", &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "the configuration is valid\n");
}

#[test]
fn a_command_refuses_a_configuration_that_check_refuses() {
    let output = with_config("nonsense = 1\n", &["replay", "-"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("nonsense"), "{}", stderr(&output));
}

#[test]
fn the_configuration_in_force_is_shown_and_is_one() {
    let output = with_config("[host]\nname = \"gateway\"\n", &["config"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("name = \"gateway\" # "), "{text}");
    assert!(text.contains("queue_lines = 1024 # default"), "{text}");
    let again = with_config(&text, &["check"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));

    let refused = with_config("nonsense = 1\n", &["config"]);
    assert_eq!(refused.status.code(), Some(78));
    assert_eq!(stdout(&refused), "");
}

#[test]
fn a_named_configuration_must_exist() {
    let output = wallwatch()
        .args(["--config", "/nowhere.toml", "check"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("/nowhere.toml"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["replay"],
        &["run", "--no-such-flag"],
    ] {
        let output = wallwatch().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
    }
    let output = wallwatch().arg("--version").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_rules_in_force_are_shown_as_the_spl_they_stand_for() {
    let output = with_config("", &["rules"]);
    expect![[r#"
        rule         Linux Iptables Firewall Modification (version 1)
        id           309d59dc-1e1b-49b2-9800-7cf18d12f7b7
        from         built in
        severity     medium, risk score 25
        att&ck       T1562.004, T1686
        where        process="*iptables *"
        where        process="* --dport *"
        where        process="* ACCEPT*"
        where        process="*&>/dev/null*"
        where        process="* tcp *"
        where        NOT parent_process_path IN ("/bin/*", "/lib/*", "/usr/bin/*", "/sbin/*")
        rex          "--dport (?<port>3269|636|989|994|995|8443)"
        where        port_count >= 3
        window       sliding, 3600 s
        finding      accept-opened: Firewall Opened by a Rule That Accepts (T1686, T1562.004)
        finding      policy-opened: Firewall Opened by a Chain's Policy (T1686, T1562.004)
        finding      set-opened: Firewall Opened by an Element of a Set (T1686, T1562.004)
        finding      ruleset-flushed: Firewall Rules Flushed (T1686, T1562.004)
        finding      table-disabled: Firewall Table Switched Off (T1686, T1562.004)
        finding      drop-removed: Firewall Rule That Dropped Removed (T1686, T1562.004)
        finding      redirect-added: Traffic Redirected by a Firewall Rule (T1686, T1562.004)
        finding      rival-blocked: Management Ports Blocked by a Firewall Rule (T1686, T1562.004)
        finding      siem-blocked: Log Delivery Blocked by a Firewall Rule (T1686, T1562.004, T1562.006)
        finding      firewall-stopped: Firewall Stopped (T1686, T1562.004)
        finding      change-without-tool: Firewall Changed by a Program That Is No Firewall Tool (T1686, T1562.004)
        finding      tool-disguised: Firewall Tool in Disguise (T1686, T1562.004, T1036.003)
        finding      kernel-thread-disguise: Process Disguised as a Kernel Thread (T1036.004)
        finding      changed-while-blind: Firewall Changed While Unwatched (T1686, T1562.004)
        finding      config-edited: Firewall Configuration Edited (T1686, T1562.004)
    "#]]
    .assert_eq(&stdout(&output));
}

#[test]
fn the_rule_can_be_overridden_from_the_configuration() {
    let rule = "[rules.linux_iptables_firewall_modification]\nports = [\"22\", \"2222\"]\n\
        port_count_min = 2\nwindow = \"tumbling\"\n";
    let output = with_config(rule, &["rules"]);
    let text = stdout(&output);
    assert!(
        text.contains("(?<port>22|2222)"),
        "{text}{}",
        stderr(&output)
    );
    assert!(text.contains("port_count >= 2"), "{text}");
    assert!(text.contains("tumbling, 3600 s"), "{text}");
}

#[test]
fn run_without_the_capabilities_names_them() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED run_without_the_capabilities_names_them: it drops what only root has");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("wallwatch.toml");
    fs::write(&config, "").unwrap();
    let binary = wallwatch().get_program().to_owned();
    let output = std::process::Command::new("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"])
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(copy_for_nobody(&binary, folder.path()))
        .arg("--config")
        .arg(config)
        .args(["run", "--alerts"])
        .arg(folder.path().join("alerts.jsonl"))
        .arg("--state")
        .arg(folder.path().join("state"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(77), "{}", stderr(&output));
    assert!(stderr(&output).contains("CAP_BPF"), "{}", stderr(&output));
}
