//! The unit as systemd's own tools judge it, without installing it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::unistd::geteuid;

/// `systemd-analyze security`, in tenths: what the unit may be exposed to at most.
const EXPOSURE_MAX: &str = "26";

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(name)
}

/// What the tool says of the unit; `None` where there is no such tool, which is said.
fn analyze(test: &str, arguments: &[&str]) -> Option<Output> {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("wallwatch.service");
    let text = fs::read_to_string(packaging("wallwatch.service")).unwrap();
    // The binary of the host that builds, for the tool looks whether it can be run.
    let text = text.replace("/usr/bin/wallwatch", env!("CARGO_BIN_EXE_wallwatch"));
    fs::write(&unit, text).unwrap();
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg(&unit)
        .output();
    match output {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(
                !geteuid().is_root(),
                "systemd-analyze: {error} (Debian: systemd)"
            );
            eprintln!("SKIPPED {test}: systemd-analyze: {error}; the unit was not judged");
            None
        }
    }
}

#[test]
fn the_unit_is_exposed_to_little() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let arguments = ["security", "--offline=yes", "--no-pager", &threshold];
    let Some(output) = analyze("the_unit_is_exposed_to_little", &arguments) else {
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn the_unit_has_no_fault() {
    let Some(output) = analyze("the_unit_has_no_fault", &["verify", "--man=no"]) else {
        return;
    };
    let words = String::from_utf8_lossy(&output.stderr);
    // Of others' units that it looks at, it may complain.
    let ours: Vec<_> = words
        .lines()
        .filter(|line| line.contains("wallwatch"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn what_another_start_does_not_mend_is_not_started_again() {
    use wallwatch::exit_code::ExitCode;
    let text = fs::read_to_string(packaging("wallwatch.service")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
    let statuses: Vec<u8> = line
        .unwrap()
        .split(' ')
        .map(|it| it.parse().unwrap())
        .collect();
    let hopeless = [
        ExitCode::Usage,
        ExitCode::Unavailable,
        ExitCode::NoPermission,
        ExitCode::Config,
    ];
    assert_eq!(statuses, hopeless.map(|code| code as u8));
}
