use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::pipeline::alert::Severity;
use crate::pipeline::exec::{ExePath, ProcessKey};
use crate::pipeline::firewall::finding::{FindingKind, Reason};
use crate::pipeline::firewall::origin::{Origin, OriginKind, origin};
use crate::pipeline::firewall::severity::{reasons_of_lineage, weigh};
use crate::pipeline::provenance::sample::{ROOTS, packaged, packaged_script};
use crate::pipeline::provenance::{Program, Provenance};

/// A process as a package runs it.
fn process(tgid: u32, exe: &str, cgroup: &str) -> Ancestor {
    Ancestor {
        process: ProcessKey {
            tgid,
            start_ns: u64::from(tgid),
        },
        exe: ExePath::Known(exe.as_bytes().into()),
        script: None,
        program: packaged(cgroup),
        claimed_script: None,
        command_line: Vec::new(),
        command_line_bytes_full: 0,
        exec_time: None,
        ended: false,
    }
}

fn script(tgid: u32, exe: &str, script: &str, cgroup: &str) -> Ancestor {
    let mut ancestor = process(tgid, exe, cgroup);
    ancestor.script = Some(script.as_bytes().into());
    ancestor.program = packaged_script(script, cgroup);
    ancestor
}

fn provenance(ancestor: &mut Ancestor) -> &mut Provenance {
    let provenance = ancestor.program.provenance.get_or_insert_default();
    Arc::make_mut(provenance)
}

fn first() -> Ancestor {
    process(1, "/usr/lib/systemd/systemd", "/init.scope")
}

const DOCKER: &str = "/system.slice/docker.service";
const FAIL2BAN: &str = "/system.slice/fail2ban.service";
const SESSION: &str = "/user.slice/user-0.slice/session-3.scope";

/// dockerd calls iptables.
fn docker() -> Vec<Ancestor> {
    vec![
        process(40, "/usr/sbin/xtables-nft-multi", DOCKER),
        process(30, "/usr/bin/dockerd", DOCKER),
        first(),
    ]
}

/// fail2ban bans somebody, by a shell.
fn fail2ban() -> Vec<Ancestor> {
    vec![
        process(50, "/usr/sbin/xtables-nft-multi", FAIL2BAN),
        process(40, "/usr/bin/dash", FAIL2BAN),
        script(
            30,
            "/usr/bin/python3.13",
            "/usr/bin/fail2ban-server",
            FAIL2BAN,
        ),
        first(),
    ]
}

fn of(lineage: &[Ancestor]) -> Origin {
    origin(lineage, None, &[]).unwrap()
}

/// No manager; and what is told of it, whoever is behind it, is not low.
fn check_pretends(what: &str, lineage: &[Ancestor], doubt: Doubt) {
    let origin = of(lineage);
    assert_ne!(origin.kind, OriginKind::Manager, "{what}");
    assert!(
        origin.doubts.contains(&doubt),
        "{what}: {:?}",
        origin.doubts
    );
    let mut reasons = reasons_of_lineage(lineage, Some(&origin));
    reasons.insert(Reason::Indirect);
    for kind in FindingKind::ALL {
        let (_, severity) = weigh(kind, &reasons);
        assert!(severity >= Severity::Medium, "{what}: {kind:?} {reasons:?}");
    }
}

fn check_other(what: &str, lineage: &[Ancestor], kind: OriginKind) {
    let origin = of(lineage);
    assert_eq!(origin.kind, kind, "{what}");
    assert!(origin.doubts.is_empty(), "{what}: {:?}", origin.doubts);
}

fn check_manager(what: &str, lineage: &[Ancestor], exe: &str) {
    let origin = of(lineage);
    assert_eq!(
        origin.kind,
        OriginKind::Manager,
        "{what}: {:?}",
        origin.doubts
    );
    assert_eq!(origin.exe.as_deref(), Some(exe.as_bytes()), "{what}");
    let reasons = reasons_of_lineage(lineage, Some(&origin));
    assert_eq!(reasons, [Reason::KnownManager].into(), "{what}");
    let (_, severity) = weigh(FindingKind::AcceptOpened, &reasons);
    assert!(severity <= Severity::Low, "{what}");
}

#[test]
fn managers_in_their_units_are_known() {
    check_manager("docker", &docker(), "/usr/bin/dockerd");
    let mut lineage = docker();
    lineage.insert(1, process(35, "/usr/bin/containerd", DOCKER));
    lineage.insert(1, process(34, "/opt/cni/bin/portmap", DOCKER));
    check_manager("its containerd", &lineage, "/usr/bin/containerd");
    check_manager("fail2ban", &fail2ban(), "/usr/bin/fail2ban-server");
    check_manager("dockerd itself", &docker()[1..], "/usr/bin/dockerd");
    let cases: &[(&str, &str, &str)] = &[
        (
            "/usr/sbin/firewalld",
            "firewalld.service",
            "/usr/bin/python3",
        ),
        ("/usr/lib/ufw/ufw-init", "ufw.service", "/usr/bin/dash"),
        (
            "/usr/bin/cloud-init",
            "cloud-final.service",
            "/usr/bin/python3",
        ),
        (
            "/opt/puppetlabs/puppet/bin/puppet",
            "puppet.service",
            "/opt/puppetlabs/puppet/bin/ruby",
        ),
        (
            "/opt/saltstack/salt/salt-minion",
            "salt-minion.service",
            "/opt/saltstack/salt/bin/python3.10",
        ),
        (
            "/usr/libexec/iptables/iptables.init",
            "iptables.service",
            "/usr/bin/bash",
        ),
    ];
    for (file, unit, interpreter) in cases {
        let cgroup = format!("/system.slice/{unit}");
        let lineage = [
            process(40, "/usr/sbin/nft", &cgroup),
            script(30, interpreter, file, &cgroup),
            first(),
        ];
        check_manager(file, &lineage, file);
    }
    let snap = "/system.slice/snap.docker.dockerd.service";
    let lineage = [process(30, "/snap/docker/2915/bin/dockerd", snap), first()];
    check_manager("snap", &lineage, "/snap/docker/2915/bin/dockerd");
}

#[test]
fn a_rule_set_is_loaded_at_boot_by_the_first_process() {
    let nftables = "/system.slice/nftables.service";
    let lineage = [process(40, "/usr/sbin/nft", nftables), first()];
    check_manager("nftables.service", &lineage, "/usr/sbin/nft");
    let persistent = "/system.slice/netfilter-persistent.service";
    let lineage = [
        process(60, "/usr/sbin/xtables-nft-multi", persistent),
        script(
            50,
            "/usr/bin/dash",
            "/usr/share/netfilter-persistent/plugins.d/15-ip4tables",
            persistent,
        ),
        process(40, "/usr/bin/run-parts", persistent),
        script(
            30,
            "/usr/bin/dash",
            "/usr/sbin/netfilter-persistent",
            persistent,
        ),
        first(),
    ];
    check_manager("persistent", &lineage, "/usr/sbin/netfilter-persistent");
    // The same tools by hand are tools, and nothing else.
    let by_hand = [
        process(40, "/usr/sbin/nft", SESSION),
        process(30, "/usr/bin/bash", SESSION),
        process(20, "/usr/sbin/sshd", "/system.slice/ssh.service"),
        first(),
    ];
    check_other("by hand", &by_hand, OriginKind::Login);
    let elsewhere = [
        process(40, "/usr/sbin/nft", "/system.slice/x.service"),
        first(),
    ];
    check_other("another unit", &elsewhere, OriginKind::Unit);
}

#[test]
fn where_any_unit_will_do_nobody_else_may_be_in_it() {
    let web = "/system.slice/web.service";
    let mut lineage = vec![
        process(50, "/usr/sbin/nft", web),
        process(40, "/usr/libexec/podman/netavark", web),
        process(30, "/usr/bin/podman", web),
        first(),
    ];
    check_manager("a container that is a service", &lineage, "/usr/bin/podman");
    lineage.insert(3, process(20, "/usr/bin/conmon", web));
    check_manager("its end", &lineage, "/usr/bin/podman");
    for stranger in ["/tmp/x", "/usr/bin/bash", "/usr/bin/curl"] {
        lineage[3] = process(20, stranger, web);
        check_other(stranger, &lineage, OriginKind::Unit);
    }
    lineage[3] = process(20, "/usr/sbin/nginx", web);
    check_other("a web server", &lineage, OriginKind::NetworkService);
}

#[test]
fn a_daemon_that_a_script_of_its_unit_has_started_is_in_its_unit() {
    let mut lineage = fail2ban();
    let init = script(20, "/usr/bin/dash", "/etc/init.d/fail2ban", FAIL2BAN);
    lineage.insert(3, init);
    check_manager("init script", &lineage, "/usr/bin/fail2ban-server");
}

#[test]
fn a_copy_pretends() {
    for exe in [
        "/tmp/dockerd",
        "/usr/local/bin/dockerd",
        "/usr/libexec/dockerd",
    ] {
        let mut lineage = docker();
        lineage[1].exe = ExePath::Known(exe.as_bytes().into());
        check_pretends(exe, &lineage, Doubt::File);
    }
    let mut lineage = docker();
    lineage[1].program.is_gone = true;
    check_pretends("removed", &lineage, Doubt::File);
}

/// As a bind mount puts it there (`mount(8)`): the path is right, and the file is somebody's.
#[test]
fn a_file_that_others_may_change_pretends() {
    for owner in [
        Owner { uid: 1000, ..ROOTS },
        Owner {
            mode: 0o100_775,
            ..ROOTS
        },
        Owner {
            mode: 0o100_757,
            ..ROOTS
        },
    ] {
        let mut lineage = docker();
        lineage[1].program.owner = Some(owner);
        check_pretends("executable", &lineage, Doubt::File);
        let mut lineage = fail2ban();
        lineage[2].program.owner = Some(owner);
        check_pretends("interpreter", &lineage, Doubt::File);
        let mut lineage = fail2ban();
        let file = provenance(&mut lineage[2]).script.as_mut().unwrap();
        file.owner = owner;
        check_pretends("script", &lineage, Doubt::File);
    }
}

#[test]
fn code_of_others_in_a_manager_pretends() {
    for (mut lineage, at) in [(docker(), 1), (fail2ban(), 2)] {
        provenance(&mut lineage[at]).loads_foreign_code = Some(true);
        check_pretends("preloaded", &lineage, Doubt::ForeignCode);
    }
}

/// Its file is the real one, and what it does there is what whoever typed it wanted.
#[test]
fn a_manager_that_a_login_starts_is_the_logins() {
    let mut lineage = docker();
    for ancestor in &mut lineage[..2] {
        ancestor.program.cgroup = Cgroup::parse(SESSION.as_bytes()).map(Arc::new);
    }
    lineage.insert(2, process(20, "/usr/bin/bash", SESSION));
    lineage.insert(
        3,
        process(10, "/usr/sbin/sshd", "/system.slice/ssh.service"),
    );
    check_pretends("by hand", &lineage, Doubt::Unit);
    assert_eq!(of(&lineage).kind, OriginKind::Login);
}

#[test]
fn a_process_that_is_moved_into_a_unit_was_in_another_one() {
    let mut lineage = docker();
    lineage.insert(2, process(20, "/usr/bin/bash", SESSION));
    check_pretends("moved", &lineage, Doubt::Unit);
    // So was the shell that a moved shell has started.
    lineage.insert(2, process(25, "/usr/bin/bash", DOCKER));
    check_pretends("moved and started anew", &lineage, Doubt::Unit);
}

#[test]
fn a_users_own_unit_of_that_name_is_a_users() {
    for cgroup in [
        "/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service",
        "/user.slice/docker.service",
        "/user.slice/user-1000.slice/docker.service",
        "/system.slice/backup.service",
        "/machine.slice/machine-web.scope/system.slice/docker.service",
    ] {
        let mut lineage = docker();
        lineage[1].program.cgroup = Cgroup::parse(cgroup.as_bytes()).map(Arc::new);
        check_pretends(cgroup, &lineage, Doubt::Unit);
    }
    let mut lineage = docker();
    provenance(&mut lineage[1]).unit_is_transient = Some(true);
    check_pretends("made up", &lineage, Doubt::Unit);
}

#[test]
fn a_child_that_a_manager_does_not_start_by_itself_is_told() {
    for (what, child) in [
        ("a shell of dockerd's", process(35, "/usr/bin/bash", DOCKER)),
        ("a program from elsewhere", process(35, "/tmp/x", DOCKER)),
        ("curl", process(35, "/usr/bin/curl", DOCKER)),
    ] {
        let mut lineage = docker();
        lineage.insert(1, child);
        check_pretends(what, &lineage, Doubt::Child);
    }
    for (what, child) in [
        (
            "a script of fail2ban's",
            script(35, "/usr/bin/dash", "/tmp/x.sh", FAIL2BAN),
        ),
        ("a shell of somebody's", process(35, "/tmp/sh", FAIL2BAN)),
        ("perl", process(35, "/usr/bin/perl", FAIL2BAN)),
    ] {
        let mut lineage = fail2ban();
        lineage.insert(1, child);
        check_pretends(what, &lineage, Doubt::Child);
    }
}

#[test]
fn what_runs_in_a_container_is_the_containers() {
    let id = "0123456789abcdef".repeat(4);
    let mut lineage = docker();
    // By `docker exec`, with the runtime in its lineage.
    lineage[0].program.cgroup =
        Cgroup::parse(format!("/system.slice/docker-{id}.scope").as_bytes()).map(Arc::new);
    assert_eq!(of(&lineage).kind, OriginKind::Container);
    let inside = format!("/system.slice/docker-{id}.scope");
    let lineage = [process(30, "/usr/bin/cilium-agent", &inside), first()];
    assert_eq!(of(&lineage).kind, OriginKind::Container);
}

#[test]
fn an_interpreter_with_a_script_as_its_argument_is_an_interpreter() {
    let lineage = [
        process(40, "/usr/sbin/nft", FAIL2BAN),
        process(30, "/usr/bin/python3.13", FAIL2BAN),
        first(),
    ];
    // `exec -a` and `python3 /usr/bin/fail2ban-server` change the command line, and that is not looked at.
    let mut lineage = lineage;
    lineage[1].command_line = b"/usr/bin/fail2ban-server -xf start".to_vec();
    check_other("python3", &lineage, OriginKind::Unit);
}

#[test]
fn what_is_not_known_proves_nothing() {
    let forget: &[fn(&mut Vec<Ancestor>)] = &[
        |lineage| lineage[1].program.owner = None,
        |lineage| lineage[1].program.cgroup = None,
        |lineage| lineage[1].program.cgroup = Cgroup::parse(b"/").map(Arc::new),
        |lineage| lineage.truncate(2),
        |lineage| {
            let mut lost = process(20, "/usr/bin/x", DOCKER);
            lost.program.cgroup = None;
            lineage.insert(2, lost);
        },
    ];
    for (index, forget) in forget.iter().enumerate() {
        let mut lineage = docker();
        forget(&mut lineage);
        let origin = of(&lineage);
        assert_ne!(origin.kind, OriginKind::Manager, "{index}");
        assert!(origin.doubts.is_empty(), "{index}: {:?}", origin.doubts);
    }
    let mut lineage = fail2ban();
    provenance(&mut lineage[2]).script = None;
    check_other("a script that nobody looked at", &lineage, OriginKind::Unit);
}

#[test]
fn the_operators_word_is_enough_while_nothing_speaks_against_it() {
    let named: &[Box<[u8]>] = &[b"/opt/fw/fwd"[..].into()];
    let mut lineage = vec![
        process(30, "/opt/fw/fwd", "/system.slice/fw.service"),
        first(),
    ];
    let kind = |lineage: &[Ancestor]| origin(lineage, None, named).unwrap().kind;
    assert_eq!(kind(&lineage), OriginKind::Manager);
    lineage[0].program = Program::default();
    assert_eq!(kind(&lineage), OriginKind::Manager);
    lineage[0].program.owner = Some(Owner { uid: 1000, ..ROOTS });
    assert_ne!(kind(&lineage), OriginKind::Manager);
}

#[test]
fn places_are_compared_part_by_part() {
    for (path, place, expected) in [
        (
            "/snap/docker/1/bin/dockerd",
            "/snap/docker/*/bin/dockerd",
            true,
        ),
        (
            "/snap/docker//bin/dockerd",
            "/snap/docker/*/bin/dockerd",
            false,
        ),
        (
            "/snap/docker/../bin/dockerd",
            "/snap/docker/*/bin/dockerd",
            false,
        ),
        (
            "/snap/docker/1/2/bin/dockerd",
            "/snap/docker/*/bin/dockerd",
            false,
        ),
        ("/usr/bin/dockerd", "/usr/bin/dockerd", true),
        ("/usr/bin/dockerd/x", "/usr/bin/dockerd", false),
        ("/usr/bin", "/usr/bin/dockerd", false),
        ("", "/usr/bin/dockerd", false),
    ] {
        assert_eq!(is_at(path.as_bytes(), place), expected, "{path} {place}");
    }
    assert!(!is_or_is_below(
        b"/usr/lib/cni/../../tmp/x",
        "/usr/lib/cni/"
    ));
    assert!(!is_or_is_below(
        b"/usr/bin/run-parts-x",
        "/usr/bin/run-parts"
    ));
}

/// Another executable, cgroup, owner or environment for one process.
fn damage() -> impl Strategy<Value = (usize, fn(&mut Ancestor))> {
    let damages: Vec<fn(&mut Ancestor)> = vec![
        |one| one.exe = ExePath::Known(b"/tmp/x"[..].into()),
        |one| one.program.owner = Some(Owner { uid: 7, ..ROOTS }),
        |one| one.program.is_gone = true,
        |one| provenance(one).loads_foreign_code = Some(true),
        |one| one.program.cgroup = Cgroup::parse(SESSION.as_bytes()).map(Arc::new),
        |one| one.script = Some(b"/tmp/x.sh"[..].into()),
    ];
    (any::<prop::sample::Index>(), prop::sample::select(damages))
        .prop_map(|(index, damage)| (index.index(2), damage))
}

proptest! {
    /// Whatever is wrong with the manager, or with what acts for it, it is not quiet. Where a child runs is its own
    /// affair: a manager may put it elsewhere.
    #[test]
    fn nothing_that_is_damaged_is_a_manager((at, damage) in damage()) {
        let mut lineage = docker();
        let before = lineage.clone();
        damage(&mut lineage[at]);
        let moved = lineage[0].program.cgroup != before[0].program.cgroup;
        prop_assert_ne!(&lineage, &before);
        prop_assert_eq!(of(&lineage).kind == OriginKind::Manager, moved);
    }

    /// Paths of any bytes do no harm, and none but the known ones is known.
    #[test]
    fn no_other_path_is_known(path in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut lineage = docker();
        lineage[1].exe = ExePath::Known(path.into());
        prop_assert_ne!(of(&lineage).kind, OriginKind::Manager);
    }
}
