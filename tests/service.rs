//! The unit of the service, judged by systemd's own tools; `cargo xtask guest` runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::wallwatch;

/// What `systemd-analyze security` gives the unit at most, in tenths: from 0, which can do nothing, to 100.
const EXPOSURE_MAX: &str = "26";

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/wallwatch.service")
}

/// `None` where there is no systemd and no root to be expected of a test machine, which is said.
fn analyze(test: &str, arguments: &[&str], unit: &Path) -> Option<Output> {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg(unit)
        .output();
    match output {
        Ok(output) => Some(output),
        Err(error) if nix::unistd::geteuid().is_root() => {
            panic!("systemd-analyze (package systemd): {error}")
        }
        Err(error) => {
            eprintln!("SKIPPED {test}: systemd-analyze: {error}; the unit was not checked");
            None
        }
    }
}

#[test]
fn the_unit_exposes_little() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let arguments = ["security", "--offline=yes", "--no-pager", &threshold];
    let Some(output) = analyze("the_unit_exposes_little", &arguments, &unit()) else {
        return;
    };
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("Overall exposure level"), "{told}");
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(unit()).unwrap();
    // It must be there to be verified.
    let binary = wallwatch().get_program().to_str().unwrap().to_owned();
    let here = folder.path().join("wallwatch.service");
    fs::write(&here, text.replace("/usr/bin/wallwatch", &binary)).unwrap();
    let test = "systemd_understands_every_line_of_the_unit";
    let Some(output) = analyze(test, &["verify", "--man=no"], &here) else {
        return;
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    // Of other units of this machine it may say what it likes.
    assert!(!told.contains("wallwatch"), "{told}");
}

/// A line that systemd ignores would make the test above worthless.
#[test]
fn a_line_that_systemd_does_not_know_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("wallwatch.service");
    fs::write(
        &here,
        "[Service]\nExecStart=/bin/true\nProtectFirewall=yes\n",
    )
    .unwrap();
    let test = "a_line_that_systemd_does_not_know_is_noticed";
    let Some(output) = analyze(test, &["verify", "--man=no"], &here) else {
        return;
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("wallwatch"), "{told}");
}

#[test]
fn an_end_that_another_start_would_not_change_is_not_followed_by_one() {
    use wallwatch::exit_code::ExitCode;
    let text = fs::read_to_string(unit()).unwrap();
    let key = "RestartPreventExitStatus=";
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let prevented = [
        ExitCode::Usage,
        ExitCode::Unavailable,
        ExitCode::NoPermission,
        ExitCode::Config,
    ];
    let numbers = prevented.map(|code| (code as u8).to_string());
    assert_eq!(line.unwrap(), numbers.join(" "));
}
