use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::pipeline::exec::{Argv, ArgvSource, sample};

/// A host's root with files in it, and a process 7 in `/proc`.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(host.root().join("proc/7")).unwrap();
        symlink(host.root(), host.root().join("proc/7/root")).unwrap();
        host
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    fn put(&self, path: &str, content: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn complete(&self, exec: &mut Exec, lives: bool) {
        let provenances = Provenances::new(self.root(), vec![b"/opt/fw/fwd"[..].into()]);
        provenances.complete(&Procfs::new(self.root().join("proc")), exec, || lives);
    }
}

fn exec(exe: &str, script: Option<&str>) -> Exec {
    let mut exec = sample::exec(&[b"x"]);
    exec.process = ProcessKey {
        tgid: 7,
        start_ns: 0,
    };
    exec.exe = ExePath::Known(exe.as_bytes().into());
    exec.namespaces.mount.is_host = Some(true);
    if let Some(script) = script {
        exec.interp = Some(b"/usr/bin/python3"[..].into());
        exec.filename = script.as_bytes().into();
    }
    exec
}

#[test]
fn a_script_is_told_by_where_its_links_lead_and_by_who_may_change_it() {
    let host = Host::new();
    host.put("usr/sbin/ufw", b"#!/usr/bin/python3\n");
    let file = host.root().join("usr/sbin/ufw");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o775)).unwrap();
    symlink("usr/sbin", host.root().join("sbin")).unwrap();
    for lives in [true, false] {
        let mut ufw = exec("/usr/bin/python3", Some("/sbin/ufw"));
        host.complete(&mut ufw, lives);
        let provenance = ufw.provenance.unwrap();
        let script = provenance.script.as_ref().unwrap();
        assert_eq!(&*script.path, b"/usr/sbin/ufw");
        assert_eq!(script.owner.mode, 0o100_775);
        assert!(!script.owner.is_root_alone());
    }
}

#[test]
fn nobody_is_asked_about_other_programs_and_the_operators_are_known() {
    let host = Host::new();
    host.put("opt/fw/fwd", b"");
    for (exe, script, expected) in [
        ("/usr/bin/bash", None, false),
        ("/usr/bin/bash", Some("/root/x.sh"), false),
        ("/tmp/dockerd", None, true),
        ("/usr/bin/python3", Some("relative/ufw"), true),
        ("/opt/fw/fwd", None, true),
    ] {
        let mut exec = exec(exe, script);
        host.complete(&mut exec, true);
        assert_eq!(exec.provenance.is_some(), expected, "{exe} {script:?}");
        let script = exec.provenance.and_then(|found| found.script.clone());
        assert_eq!(script, None);
    }
}

#[test]
fn the_environment_of_a_process_that_is_gone_is_not_known() {
    let host = Host::new();
    host.put("proc/7/environ", b"A=b\0LD_PRELOAD=/tmp/x.so\0");
    let mut dockerd = exec("/usr/bin/dockerd", None);
    host.complete(&mut dockerd, true);
    assert_eq!(dockerd.provenance.unwrap().loads_foreign_code, Some(true));
    let mut dockerd = exec("/usr/bin/dockerd", None);
    host.complete(&mut dockerd, false);
    assert_eq!(dockerd.provenance.unwrap().loads_foreign_code, None);
}

#[test]
fn an_environment_may_have_code_loaded_from_where_packages_put_it() {
    let long = [b"A=".as_slice(), &vec![b'x'; 128 << 10]].concat();
    let cases: &[(&[u8], bool)] = &[
        (b"", false),
        (b"PATH=/tmp\0HOME=/root\0", false),
        (b"LD_PRELOAD=/usr/lib/x.so\0", true),
        (b"PATH=/bin\0LD_PRELOAD=x.so", true),
        (b"LD_PRELOAD=\0", false),
        (b"LD_PRELOAD=/snap/docker/1/lib/x.so\0", false),
        (b"LD_PRELOAD=/snap/docker/1/lib/x.so /tmp/y.so\0", true),
        (b"LD_PRELOAD=/snap/../tmp/y.so\0", true),
        (b"LD_AUDIT=/tmp/x.so\0", true),
        (b"LD_LIBRARY_PATH=/opt/puppetlabs/lib:/usr/lib\0", false),
        (b"LD_LIBRARY_PATH=/usr/lib:\0", true),
        (b"PYTHONPATH=/home/u/lib\0", true),
        (b"PYTHONPATH=lib\0", true),
        (b"RUBYOPT=-r/tmp/x\0", true),
        (b"BASH_ENV=/tmp/x\0", true),
        (b"XLD_PRELOAD=/tmp/x.so\0", false),
        (b"LD_PRELOAD", false),
        (&long, true),
    ];
    for (environment, expected) in cases {
        let shown = String::from_utf8_lossy(&environment[..environment.len().min(60)]);
        assert_eq!(loads_foreign_code(environment), *expected, "{shown}");
    }
}

#[test]
fn a_unit_without_a_file_was_made_up() {
    let host = Host::new();
    host.put("usr/lib/systemd/system/docker.service", b"");
    host.put("etc/systemd/system/nftables.service", b"");
    host.put("run/systemd/transient/nftables.service", b"");
    for (path, expected) in [
        ("/system.slice/docker.service", Some(false)),
        ("/system.slice/nftables.service", Some(true)),
        ("/system.slice/iptables.service", Some(true)),
        ("/", None),
    ] {
        let mut dockerd = exec("/usr/bin/dockerd", None);
        dockerd.cgroup = Cgroup::parse(path.as_bytes()).map(Arc::new);
        host.complete(&mut dockerd, true);
        let provenance = dockerd.provenance.unwrap();
        assert_eq!(provenance.unit_is_transient, expected, "{path}");
    }
}

#[test]
fn one_that_ran_before_is_a_candidate_by_its_own_word() {
    let host = Host::new();
    host.put("usr/bin/fail2ban-server", b"");
    let mut server = exec("/usr/bin/python3.13", None);
    server.argv = Argv {
        // So is that of an exec whose command line the kernel program could not read to its end.
        source: ArgvSource::Procfs,
        ..Argv::from_arguments([
            &b"/usr/bin/python3"[..],
            b"/usr/bin/fail2ban-server",
            b"-xf",
        ])
    };
    let mut typed = server.clone();
    let provenances = Provenances::new(host.root(), Vec::new());
    let procfs = Procfs::new(host.root().join("proc"));
    provenances.complete_listed(&procfs, &mut server, || true);
    assert_eq!(server.script(), Some(&b"/usr/bin/fail2ban-server"[..]));
    assert!(server.provenance.unwrap().script.is_some());
    // Of one whose exec was seen, the kernel tells it, whoever has read the command line.
    host.complete(&mut typed, true);
    assert_eq!((typed.script(), &typed.provenance), (None, &None));
}

#[test]
fn what_proc_alone_tells_of_is_completed_alike() {
    let host = Host::new();
    host.put("proc/7/cgroup", b"0::/system.slice/fail2ban.service\n");
    host.put("usr/lib/systemd/system/fail2ban.service", b"");
    host.put("usr/bin/fail2ban-server", b"");
    host.put("usr/bin/python3", b"");
    symlink(
        host.root().join("usr/bin/python3"),
        host.root().join("proc/7/exe"),
    )
    .unwrap();
    let mut running = Running {
        process: ProcessKey {
            tgid: 7,
            start_ns: 0,
        },
        parent_tgid: 1,
        exe: ExePath::Known(b"/usr/bin/python3"[..].into()),
        file: None,
        script: None,
        argv: Argv::from_arguments([&b"python3"[..], b"/usr/bin/fail2ban-server"]),
        program: crate::pipeline::provenance::Program::default(),
    };
    let provenances = Provenances::new(host.root(), Vec::new());
    provenances.complete_running(&Procfs::new(host.root().join("proc")), &mut running);
    assert_eq!(
        running.script.as_deref(),
        Some(&b"/usr/bin/fail2ban-server"[..])
    );
    assert!(running.program.owner.is_some());
    let cgroup = running.program.cgroup.unwrap();
    assert_eq!(cgroup.unit.as_deref(), Some("fail2ban.service"));
    let provenance = running.program.provenance.unwrap();
    assert_eq!(provenance.unit_is_transient, Some(false));
    assert!(provenance.script.is_some());
}
