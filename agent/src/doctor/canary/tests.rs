use serde_json::json;

use super::*;
use crate::pipeline::exec::sample;
use crate::pipeline::exec::{ExePath, ExecGuid};

/// The exec of one canary, as the sensor reports it.
fn canary(tag: &str, port: &str, at_ns: u64) -> Exec {
    let arguments = ["wallwatch", "canary", tag, "--port", port].map(str::as_bytes);
    Exec {
        time: Time {
            boot_ns: at_ns,
            wall_ns: at_ns,
        },
        guid: ExecGuid::Given(Uuid::from_u128(at_ns.into())),
        exe: ExePath::Known(b"/usr/bin/wallwatch".as_slice().into()),
        parent_exe: ExePath::Known(b"/usr/bin/wallwatch".as_slice().into()),
        ..sample::exec(&arguments)
    }
}

fn alerts(tag: &str, execs: &[Exec]) -> Vec<Alert> {
    let mut pipeline = pipeline(tag).unwrap();
    for exec in execs {
        pipeline.handle_event(&Event::Exec(Box::new(exec.clone())), exec.time);
    }
    std::iter::from_fn(|| pipeline.next_alert()).collect()
}

fn flock(tag: &str) -> Vec<Exec> {
    let numbered = PORTS.iter().zip(1..);
    numbered.map(|(port, at)| canary(tag, port, at)).collect()
}

#[test]
fn the_whole_flock_makes_one_alert_and_nothing_less_does() {
    let flock = flock("wallwatch-a1-b2");
    assert_eq!(alerts("wallwatch-a1-b2", &flock).len(), 1);
    assert!(alerts("wallwatch-a1-b2", &flock[..2]).is_empty());
    assert!(
        alerts("wallwatch-a1-b3", &flock).is_empty(),
        "another doctor's"
    );
    let again = vec![flock[0].clone(); 3];
    assert!(alerts("wallwatch-a1-b2", &again).is_empty());
}

#[test]
fn no_rule_of_the_agent_means_a_canary() {
    let settings = crate::config::parse(Path::new("x").into(), "").unwrap();
    let mut pipeline = crate::compose::pipeline(&settings).unwrap();
    for exec in flock("wallwatch-a1-b2") {
        pipeline.handle_event(&Event::Exec(Box::new(exec.clone())), exec.time);
    }
    assert!(pipeline.next_alert().is_none());
}

#[test]
fn the_name_by_which_the_kernel_hurries_is_made_of_the_leading_letters() {
    let name = |path: &str| urgent_name(Path::new(path));
    assert_eq!(name("/usr/bin/wallwatch").as_deref(), Some("wallwatch"));
    assert_eq!(
        name("/usr/bin/wallwatch (deleted)").as_deref(),
        Some("wallwatch")
    );
    assert_eq!(name("/opt/ww-2.0").as_deref(), Some("ww"));
    assert_eq!(
        name("/opt/abcdefghijklmnopqrst").as_deref(),
        Some("abcdefghijklmno")
    );
    assert_eq!(name("/opt/7up"), None);
}

#[test]
fn an_alert_that_was_changed_on_its_way_is_found_out() {
    let tag = "wallwatch-a1-b2";
    let flock = flock(tag);
    let alert = alerts(tag, &flock).remove(0);
    let seen = flock
        .into_iter()
        .map(|exec| (exec.guid(), (exec.clone(), exec.time)));
    let seen = BTreeMap::from_iter(seen);
    let settings = crate::config::parse(Path::new("x").into(), "").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let context = alert_context(&settings, Identity::read(folder.path()));
    let line: Value = serde_json::from_slice(&shaped(&alert, &context, Shape::JsonLines)).unwrap();
    let exe = Path::new("/usr/bin/wallwatch");
    let none: Vec<String> = Vec::new();
    assert_eq!(differences(&line, &alert, &seen, exe), none);
    let replaced = Path::new("/usr/bin/wallwatch (deleted)");
    assert_eq!(differences(&line, &alert, &seen, replaced), none);
    for (field, value) in [
        ("id", json!("x")),
        ("guids", json!([])),
        ("ports", json!(["1", "2"])),
        ("processes_exec", json!(["wallwatch canary"])),
        ("parent_process_path", json!("null")),
    ] {
        let mut changed = line.clone();
        changed[field] = value;
        let found = differences(&changed, &alert, &seen, exe);
        assert_eq!(found.len(), 1, "{field}: {found:?}");
        assert!(found[0].starts_with(field), "{found:?}");
    }
}
