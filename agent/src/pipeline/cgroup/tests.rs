use proptest::prelude::*;

use super::ContainerRuntime::{
    Containerd, CriO, Docker, Lxc, Podman, SystemdNspawn, Unknown as NoName,
};
use super::*;

/// Two identifiers.
const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

fn parse(path: &str) -> Cgroup {
    Cgroup::parse(path.as_bytes()).unwrap()
}

fn with_ids(template: &str) -> String {
    template.replace('A', A).replace('B', B)
}

/// `A` and `B` stand for identifiers, in the path and in what is expected.
fn check(path: &str, container: Option<(ContainerRuntime, &str)>, unit: Option<&str>) {
    let cgroup = parse(&with_ids(path));
    let found = cgroup.container.map(|found| (found.runtime, found.id));
    let expected = container.map(|(runtime, id)| (runtime, with_ids(id).into()));
    assert_eq!(found, expected, "{path}");
    assert_eq!(cgroup.unit.as_deref(), unit, "{path}");
}

#[test]
fn containers_are_found_as_their_runtimes_spell_them() {
    let burstable = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod7_2.slice";
    let besteffort = "/kubepods/besteffort/pod0f6c1e3c-8b1c-4d6a-9f57-6a2d8c1c0001";
    let user = "/user.slice/user-1000.slice/user@1000.service";
    for (path, runtime, id, unit) in [
        ("/system.slice/docker-A.scope", Docker, "A", None),
        ("/docker/A", Docker, "A", None),
        ("/docker/A/init", Docker, "A", None),
        (
            &format!("{burstable}/cri-containerd-A.scope"),
            Containerd,
            "A",
            None,
        ),
        (&format!("{burstable}/crio-A.scope"), CriO, "A", None),
        (
            &format!("{burstable}/crio-A.scope/container"),
            CriO,
            "A",
            None,
        ),
        (&format!("{burstable}/docker-A.scope"), Docker, "A", None),
        (&format!("{besteffort}/A"), NoName, "A", None),
        (&format!("{besteffort}/crio-A"), CriO, "A", None),
        (
            "/system.slice/containerd.service/kubepods-pod7.slice:cri-containerd:A",
            Containerd,
            "A",
            Some("containerd.service"),
        ),
        ("/system.slice:docker:A", Docker, "A", None),
        ("/k8s.io/A", Containerd, "A", None),
        ("/system.slice/nerdctl-A.scope", Containerd, "A", None),
        ("/machine.slice/libpod-A.scope/container", Podman, "A", None),
        (
            "/machine.slice/machine-libpod_pod_B.slice/libpod-A.scope",
            Podman,
            "A",
            None,
        ),
        ("/libpod_parent/libpod-A", Podman, "A", None),
        (
            "/system.slice/web.service/libpod-payload-A",
            Podman,
            "A",
            Some("web.service"),
        ),
        (
            &format!("{user}/user.slice/libpod-A.scope/container"),
            Podman,
            "A",
            Some("user@1000.service"),
        ),
        (
            &format!("{user}/app.slice/web.service/libpod-payload-A"),
            Podman,
            "A",
            Some("web.service"),
        ),
        (
            "/machine.slice/machine-web.scope/payload",
            SystemdNspawn,
            "web",
            None,
        ),
        (
            r"/machine.slice/machine-web\x2d1.scope",
            SystemdNspawn,
            "web-1",
            None,
        ),
        (
            "/machine.slice/systemd-nspawn@web-1.service/payload/init.scope",
            SystemdNspawn,
            "web-1",
            Some("systemd-nspawn@web-1.service"),
        ),
        (
            r"/machine.slice/systemd-nspawn@web\x2d1.service",
            SystemdNspawn,
            "web-1",
            Some(r"systemd-nspawn@web\x2d1.service"),
        ),
        (
            r"/machine.slice/machine-lxc\x2d7\x2dweb.scope",
            Lxc,
            "lxc-7-web",
            None,
        ),
        ("/lxc.payload.web/init.scope", Lxc, "web", None),
        ("/lxc.payload/web", Lxc, "web", None),
        ("/lxc/101/ns/init.scope", Lxc, "101", None),
        ("/../../system.slice/docker-A.scope", Docker, "A", None),
        ("/../docker-A.scope", Docker, "A", None),
    ] {
        check(path, Some((runtime, id)), unit);
    }
}

#[test]
fn what_is_no_container_is_none() {
    for (path, unit) in [
        ("", None),
        ("/", None),
        ("/..", None),
        ("/../..", None),
        ("/init.scope", Some("init.scope")),
        ("/system.slice", None),
        ("/system.slice/ssh.service", Some("ssh.service")),
        ("/system.slice/docker.service", Some("docker.service")),
        ("/system.slice/docker.socket", Some("docker.socket")),
        (
            "/system.slice/system-getty.slice/getty@tty1.service",
            Some("getty@tty1.service"),
        ),
        // A unit's own cgroups belong to the unit, whatever their names.
        (
            "/system.slice/ssh.service/other.service",
            Some("ssh.service"),
        ),
        // The mark of a name that the kernel might take for a file.
        (
            "/system.slice/_cpu.weight.service",
            Some("cpu.weight.service"),
        ),
        (
            "/user.slice/user-1000.slice/session-3.scope",
            Some("session-3.scope"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service",
            Some("user@1000.service"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            Some("init.scope"),
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.slice/mail.service",
            Some("mail.service"),
        ),
        // Monitors.
        (
            "/kubepods.slice/crio-conmon-A.scope",
            Some(&*with_ids("crio-conmon-A.scope")),
        ),
        (
            "/machine.slice/libpod-conmon-A.scope",
            Some(&*with_ids("libpod-conmon-A.scope")),
        ),
        ("/libpod_parent/conmon", None),
        ("/kubepods/pod7/crio-conmon-A", None),
        ("/lxc.monitor.web", None),
        ("/lxc.monitor/web", None),
        (
            "/machine.slice/systemd-nspawn@web.service/supervisor",
            Some("systemd-nspawn@web.service"),
        ),
        // A virtual machine.
        (
            r"/machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt/emulator",
            Some(r"machine-qemu\x2d1\x2dweb.scope"),
        ),
        // No machine: another slice, a name that is no host name.
        ("/system.slice/machine-web.scope", Some("machine-web.scope")),
        (
            r"/machine.slice/machine-\x2fetc.scope",
            Some(r"machine-\x2fetc.scope"),
        ),
        (
            r"/machine.slice/machine-a\x.scope",
            Some(r"machine-a\x.scope"),
        ),
        (
            r"/machine.slice/machine-a\x+1.scope",
            None, // `+` is in no unit's name.
        ),
        ("/machine.slice/machine-.scope", Some("machine-.scope")),
        ("/system.slice/getty@.service", None),
        ("/system.slice/.service", None),
        ("/system.slice/@x.service", None),
        ("/kubepods/besteffort/pod7", None),
        ("/lxc/bad name", None),
        ("/elsewhere/lxc/web", None),
    ] {
        check(path, None, unit);
    }
}

#[test]
fn an_identifier_has_64_lower_case_hexadecimal_digits() {
    let longer = format!("{A}0");
    for wrong in [
        &A[1..],
        &longer,
        &A.replace('0', "g"),
        &A.replace('a', "A"),
        &A.replace('0', "-"),
        "",
    ] {
        for (before, after) in [
            ("/docker/", ""),
            ("/system.slice/docker-", ".scope"),
            ("/x.slice/cri-containerd-", ".scope"),
            ("/x.slice/crio-", ".scope"),
            ("/x.slice/libpod-", ".scope"),
            ("/libpod_parent/libpod-", ""),
            ("/x.slice:cri-containerd:", ""),
        ] {
            let path = format!("{before}{wrong}{after}");
            assert_eq!(parse(&path).container, None, "{path}");
        }
    }
    for path in [
        "/docker-A",
        "/dockerA.scope",
        "/evil-docker-A.scope",
        "/docker-A.scope.x",
        "/x:cri-containerd:A",
        "/x.slice:evil:A",
        "/x.slice:docker:A:A",
        "/x.slice::A",
    ] {
        assert_eq!(parse(&with_ids(path)).container, None, "{path}");
    }
}

#[test]
fn of_nested_containers_the_innermost_counts_and_the_outermost_is_told() {
    let cgroup = parse(&with_ids(
        "/system.slice/docker-A.scope/docker/B/system.slice/nginx.service",
    ));
    let id = |container: Option<Container>| container.unwrap().id;
    assert_eq!(&*id(cgroup.container), B);
    assert_eq!(&*id(cgroup.outer), A);
    assert_eq!(cgroup.unit, None);
    assert_eq!(cgroup.inner_unit.as_deref(), Some("nginx.service"));
    let cgroup = parse(&with_ids(
        "/machine.slice/systemd-nspawn@web.service/payload/system.slice/docker-A.scope",
    ));
    assert_eq!(&*id(cgroup.container), A);
    assert_eq!(&*id(cgroup.outer), "web");
    assert_eq!(cgroup.unit.as_deref(), Some("systemd-nspawn@web.service"));
}

#[test]
fn a_systemd_in_the_container_has_units_too() {
    for path in [
        "/system.slice/docker-A.scope/system.slice/nginx.service",
        "/machine.slice/libpod-A.scope/container/system.slice/nginx.service",
        "/machine.slice/machine-web.scope/payload/system.slice/nginx.service",
        "/lxc/101/ns/system.slice/nginx.service",
        "/lxc.payload.web/system.slice/nginx.service/worker",
    ] {
        let cgroup = parse(&with_ids(path));
        assert_eq!(
            cgroup.inner_unit.as_deref(),
            Some("nginx.service"),
            "{path}"
        );
        assert_eq!((cgroup.unit, cgroup.outer), (None, None), "{path}");
    }
}

#[test]
fn the_owner_is_the_user_of_the_slice() {
    let owner = |path| parse(path).owner_uid;
    assert_eq!(
        owner("/user.slice/user-1000.slice/session-3.scope"),
        Some(1000)
    );
    assert_eq!(owner("/user.slice/user-1000.slice"), Some(1000));
    for path in [
        "/user.slice",
        "/user.slice/user-.slice",
        "/user.slice/user-+1.slice",
        "/user.slice/user-99999999999.slice",
        "/system.slice/user-1000.slice",
    ] {
        assert_eq!(owner(path), None, "{path}");
    }
}

#[test]
fn the_v2_line_of_proc_is_read() {
    let unit = |text: &str| Cgroup::parse_proc(text.as_bytes())?.unit;
    let hybrid = "12:cpu:/\n1:name=systemd:/x\n0::/system.slice/cron.service\n";
    assert_eq!(unit(hybrid).as_deref(), Some("cron.service"));
    let removed = "0::/system.slice/cron.service (deleted)\n";
    assert_eq!(unit(removed).as_deref(), Some("cron.service"));
    assert_eq!(unit("1:name=systemd:/system.slice/cron.service\n"), None);
    assert_eq!(unit("10::/system.slice/cron.service\n"), None);
    assert_eq!(Cgroup::parse_proc(b""), None);
}

#[test]
fn what_is_overlong_or_no_text_is_not_judged() {
    let whole = vec![b'/'; PATH_BYTES_MAX];
    assert!(Cgroup::parse(&whole).is_some());
    let whole = vec![b'/'; PATH_BYTES_MAX + 1];
    assert_eq!(Cgroup::parse(&whole), None);
    let long = format!("/system.slice/{}.service", "a".repeat(247));
    assert!(parse(&long).unit.is_some());
    let long = format!("/system.slice/{}.service", "a".repeat(248));
    assert_eq!(parse(&long).unit, None);
    let long = format!("/machine.slice/machine-{}.scope", "a".repeat(65));
    assert_eq!(parse(&long).container, None);
    for bytes in [
        &b"/system.slice/a\xff.service"[..],
        b"/machine.slice/machine-a\\xff.scope",
        b"/lxc.payload.\xff",
    ] {
        let cgroup = Cgroup::parse(bytes).unwrap();
        assert_eq!(cgroup.container, None);
        assert_eq!(&*cgroup.path, bytes);
    }
}

/// Parts of names, so that something that is nearly right comes often.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&str] = &[
        "/",
        "/",
        "/",
        ".slice",
        ".scope",
        ".service",
        "docker-",
        "crio-",
        "libpod-",
        "libpod-payload-",
        "cri-containerd-",
        "machine.slice",
        "machine-",
        "systemd-nspawn@",
        "lxc.payload.",
        "lxc",
        "user.slice",
        "user-1000",
        "user@1000",
        ":docker:",
        "kubepods",
        "payload",
        "supervisor",
        "..",
        r"\x2d",
        A,
        B,
        "web",
        "_",
    ];
    prop_oneof![
        8 => proptest::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #[test]
    fn nothing_panics_and_an_identifier_is_always_of_the_path(
        pieces in proptest::collection::vec(piece(), 0..24)
    ) {
        let path = pieces.concat();
        let cgroup = Cgroup::parse(&path).unwrap();
        for container in cgroup.container.iter().chain(&cgroup.outer) {
            let id = container.id.as_bytes();
            let escaped = container.id.replace('-', r"\x2d");
            let holds = |part: &[u8]| path.windows(part.len()).any(|window| window == part);
            prop_assert!(!id.is_empty() && (holds(id) || holds(escaped.as_bytes())), "{cgroup:?}");
            if !matches!(container.runtime, SystemdNspawn | Lxc) {
                prop_assert_eq!(id.len(), ID_DIGITS);
            }
        }
        for unit in cgroup.unit.iter().chain(&cgroup.inner_unit) {
            let is_of_path = path.split(|&byte| byte == b'/').any(|name| without_underscore(name) == unit.as_bytes());
            prop_assert!(is_of_path, "{cgroup:?}");
        }
    }
}
