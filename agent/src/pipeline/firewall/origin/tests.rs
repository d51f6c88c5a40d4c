use super::*;
use crate::pipeline::cgroup::{Container, ContainerRuntime};
use crate::pipeline::provenance::{Owner, Program};

fn ancestor(tgid: u32, exe: &str, script: Option<&str>) -> Ancestor {
    Ancestor {
        process: ProcessKey {
            tgid,
            start_ns: u64::from(tgid),
        },
        exe: ExePath::Known(exe.as_bytes().into()),
        script: script.map(|script| script.as_bytes().into()),
        claimed_script: None,
        program: Program::default(),
        command_line: Vec::new(),
        command_line_bytes_full: 0,
        exec_time: None,
        ended: false,
    }
}

fn lineage(executables: &[(u32, &str)]) -> Vec<Ancestor> {
    executables
        .iter()
        .map(|&(tgid, exe)| ancestor(tgid, exe, None))
        .collect()
}

fn cgroup(container: bool, unit: Option<&str>) -> Cgroup {
    Cgroup {
        path: b"/x".as_slice().into(),
        container: container.then(|| Container {
            runtime: ContainerRuntime::Docker,
            id: "abc".into(),
        }),
        outer: None,
        unit: unit.map(Arc::from),
        inner_unit: None,
        owner_uid: None,
    }
}

#[test]
fn a_login_is_the_session_and_not_the_daemon() {
    let lineage = lineage(&[
        (40, "/usr/sbin/xtables-nft-multi"),
        (30, "/usr/bin/bash"),
        (20, "/usr/sbin/sshd"),
        (10, "/usr/sbin/sshd"),
        (1, "/usr/lib/systemd/systemd"),
    ]);
    let origin = origin(&lineage, None, &[]).unwrap();
    assert_eq!((origin.kind, origin.process.tgid), (OriginKind::Login, 30));
    assert_eq!(origin.exe.as_deref(), Some(&b"/usr/sbin/sshd"[..]));
}

#[test]
fn the_innermost_that_is_known_by_name_counts() {
    let lineage = lineage(&[
        (40, "/usr/bin/dash"),
        (30, "/usr/sbin/php-fpm8.2"),
        (20, "/usr/bin/bash"),
        (10, "/usr/sbin/sshd"),
    ]);
    let origin = origin(&lineage, None, &[]).unwrap();
    assert_eq!(
        (origin.kind, origin.process.tgid),
        (OriginKind::NetworkService, 30)
    );
}

#[test]
fn a_name_counts_only_where_the_administrator_put_it() {
    let lineage = lineage(&[(40, "/usr/bin/dash"), (30, "/tmp/sshd"), (1, "/sbin/init")]);
    let origin = origin(&lineage, None, &[]).unwrap();
    assert_eq!(
        (origin.kind, origin.process.tgid),
        (OriginKind::Unknown, 30)
    );
}

#[test]
fn in_a_container_names_prove_nothing() {
    let lineage = lineage(&[(40, "/usr/sbin/nft"), (30, "/usr/sbin/sshd")]);
    let cgroup = cgroup(true, None);
    let origin = origin(&lineage, Some(&cgroup), &[]).unwrap();
    assert_eq!(
        (origin.kind, origin.process.tgid),
        (OriginKind::Container, 30)
    );
}

#[test]
fn a_script_is_known_by_its_own_name() {
    let lineage = [
        ancestor(40, "/usr/sbin/nft", None),
        ancestor(
            30,
            "/usr/bin/python3.13",
            Some("/usr/bin/unattended-upgrade"),
        ),
    ];
    let origin = origin(&lineage, None, &[]).unwrap();
    assert_eq!(
        (origin.kind, origin.process.tgid),
        (OriginKind::PackageManager, 30)
    );
}

#[test]
fn what_others_may_change_calms_nobody() {
    let mut lineage = [
        ancestor(40, "/usr/sbin/nft", None),
        ancestor(30, "/usr/bin/dpkg", None),
        ancestor(20, "/usr/sbin/nginx", None),
    ];
    for one in &mut lineage {
        one.program.owner = Some(Owner {
            uid: 33,
            mode: 0o100_755,
        });
    }
    let origin = origin(&lineage, None, &[]).unwrap();
    assert_eq!(origin.kind, OriginKind::NetworkService);
}

#[test]
fn a_unit_is_what_is_left_and_nothing_at_all_has_no_origin() {
    let lineage = lineage(&[(40, "/usr/sbin/nft"), (1, "/usr/lib/systemd/systemd")]);
    let cgroup = cgroup(false, Some("backup.service"));
    let found = origin(&lineage, Some(&cgroup), &[]).unwrap();
    assert_eq!((found.kind, found.process.tgid), (OriginKind::Unit, 40));
    assert_eq!(found.unit.as_deref(), Some("backup.service"));
    assert_eq!(origin(&[], None, &[]), None);
}

#[test]
fn a_scripts_path_that_goes_back_stands_nowhere() {
    for script in [
        "/usr/../tmp/x/dockerd",
        "/usr/bin/../../tmp/sshd",
        "/opt/dockerd",
        "/usr/local/bin/firewalld",
    ] {
        let lineage = [
            ancestor(40, "/usr/sbin/nft", None),
            ancestor(30, "/usr/bin/bash", Some(script)),
        ];
        let origin = origin(&lineage, None, &[]).unwrap();
        assert_eq!(origin.kind, OriginKind::Unknown, "{script}");
    }
    assert!(!is_system_path(b"/usr/../tmp/nft"));
}

#[test]
fn a_script_that_is_only_claimed_is_named_and_excuses_nobody() {
    let claims = Ancestor {
        claimed_script: Some(b"/usr/bin/fail2ban-server".as_slice().into()),
        ..ancestor(30, "/usr/bin/python3.11", None)
    };
    let lineage = [ancestor(40, "/usr/sbin/nft", None), claims];
    let managers = [Box::from(b"/usr/bin/fail2ban-server".as_slice())];
    let origin = origin(&lineage, None, &managers).unwrap();
    assert_eq!(origin.kind, OriginKind::Unknown);
    assert_eq!(origin.exe.as_deref(), Some(&b"/usr/bin/python3.11"[..]));
    assert_eq!(origin.script, None);
    let claimed = origin.claimed_script.as_deref();
    assert_eq!(claimed, Some(&b"/usr/bin/fail2ban-server"[..]));
}
