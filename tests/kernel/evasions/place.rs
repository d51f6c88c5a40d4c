//! Where a program stands, however its path is written and whatever its namespaces look like: lines 18
//! and 20.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Told, canonical, check_hosts, check_told, exec_of, open_to_all, run, teller};
use crate::harness::{Agent, is_of, stub_in};
use crate::kernel::{can_run, stub};
use crate::tiny_elf;

/// Makes the folder `$1` a root like the machine's: its libraries, a shell and the stub at
/// `/usr/bin/cpd`.
const LOOK_ALIKE: &str = "stub=\"$1/cpd\" root=\"$1/root\"
    mkdir -p \"$root/usr/bin\" \"$root/out\" \"$root/proc\" \"$root/dev\"; mount --bind /dev \"$root/dev\"
    for name in bin lib lib64; do ln -s \"usr/$name\" \"$root/$name\"; done
    for name in lib lib64; do
        [ ! -d \"/usr/$name\" ] || { mkdir \"$root/usr/$name\"; mount --bind \"/usr/$name\" \"$root/usr/$name\"; }
    done
    cp \"$stub\" \"$root/usr/bin/cpd\"; cp /bin/sh \"$root/usr/bin/sh\"
    ";

/// Lays a writable layer, kept in the folder `$1`, over `/usr/bin`.
const OVERLAY: &str = "mkdir \"$1/layers\"; mount -t tmpfs none \"$1/layers\"
    mkdir \"$1/layers/upper\" \"$1/layers/work\"
    mount -t overlay overlay -o \"lowerdir=/usr/bin,upperdir=$1/layers/upper,workdir=$1/layers/work\" /usr/bin
    ";

/// Line 18: relative paths, `..` and symbolic links; owner and mode are the file's.
#[test]
fn however_a_path_is_written_the_file_is_told() {
    if !can_run("however_a_path_is_written_the_file_is_told") {
        return;
    }
    let (folder, stub) = stub();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("x/y")).unwrap();
    symlink(at("x/y"), at("short")).unwrap();
    symlink("short/../../cpd", at("soft")).unwrap();
    std::os::unix::fs::chown(&stub, Some(1234), Some(2345)).unwrap();
    fs::set_permissions(&stub, fs::Permissions::from_mode(0o1751)).unwrap();
    let recording = Agent::record();
    let script = "cd \"$1/x\"; number=0
        for path in ../cpd ./y/../../cpd ../soft \"$1/short/../../soft\" /proc/self/cwd/../cpd; do
            \"$path\" tell \"$1/told.$number\" \"$path\"; number=$((number + 1))
        done";
    run(script, &[folder.path()]);
    let stopped = recording.stop();
    for number in 0..5 {
        let file = at(&format!("told.{number}"));
        let exec = teller(&stopped, &file);
        check_told(exec, &Told::read(&file));
        assert_eq!(exec["filename"], exec["argv"][3], "as it was written");
        assert_eq!(exec["exe"].as_str(), stub.to_str());
        let stat = &exec["exe_stat"];
        assert_eq!(stat["uid"], 1234);
        assert_eq!(stat["gid"], 2345);
        assert_eq!(stat["mode"], 0o101_751);
        assert_eq!(stat["links"], 1);
    }
}

/// Line 18: content may be dated back, its change may not. Since Linux 6.13 the kernel keeps in a bit of the
/// nanoseconds whether somebody has asked for the time (`I_CTIME_QUERIED`, `include/linux/fs.h`), as
/// `stat(2)` does; that bit is not part of the time.
#[test]
fn the_change_time_is_the_files_whoever_has_asked_for_it() {
    if !can_run("the_change_time_is_the_files_whoever_has_asked_for_it") {
        return;
    }
    let (folder, stub) = stub();
    let file = fs::File::open(&stub).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    // Whatever looked at the file before, the second exec comes after this test did.
    let (before, after) = (folder.path().join("before"), folder.path().join("after"));
    let recording = Agent::record();
    run("\"$1\" tell \"$2\"", &[&stub, &before]);
    let metadata = file.metadata().unwrap();
    run("\"$1\" tell \"$2\"", &[&stub, &after]);
    let stopped = recording.stop();
    assert_eq!(metadata.mtime(), 0);
    let changed = metadata.ctime() as f64 + metadata.ctime_nsec() as f64 / 1e9;
    for told in [before, after] {
        let stat = &teller(&stopped, &told)["exe_stat"];
        let late = stat["change_time"].as_f64().unwrap() - changed;
        assert!(
            late.abs() < 1e-6,
            "{} is {late} s late",
            stat["change_time"]
        );
    }
}

/// Line 18: neither a path through `/usr/bin` nor a link there puts the parent there.
#[test]
fn a_parent_that_only_seems_to_stand_in_usr_bin_alerts() {
    if !can_run("a_parent_that_only_seems_to_stand_in_usr_bin_alerts") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let through = stub_in(folder.path(), "through");
    let linked = stub_in(folder.path(), "linked");
    let mut agent = Agent::run("");
    let script = format!(
        "{OVERLAY} ln -s \"$1/linked\" /usr/bin/innocent
        \"/usr/bin/../..$1/through\" ports exec sh /bin/sh -c %
        /usr/bin/innocent ports exec sh /bin/sh -c %"
    );
    run(&script, &[folder.path()]);
    for path in [through, linked] {
        agent.wait_for_alert(|alert| is_of(alert, &path) && alert["count"] == 3);
    }
    agent.stop();
}

/// Line 18: the analytic excludes what stands in `/usr/bin`. The record has the file behind the path, and
/// that the mount namespace is not the host's.
#[test]
fn a_file_bound_over_one_of_usr_bin_is_told_by_its_inode() {
    if !can_run("a_file_bound_over_one_of_usr_bin_is_told_by_its_inode") {
        return;
    }
    let (folder, stub) = stub();
    fs::set_permissions(&stub, fs::Permissions::from_mode(0o757)).unwrap();
    let (file, tiny) = (folder.path().join("told"), folder.path().join("tiny"));
    tiny_elf::write(&tiny).unwrap();
    let innocent = canonical("/usr/bin/true");
    let recording = Agent::record();
    let script = "mount --bind \"$1\" \"$2\"; \"$2\" tell \"$3\"; \"$2\" system \"$4 bound\"";
    run(script, &[&stub, &innocent, &file, &tiny]);
    let stopped = recording.stop();
    let exec = teller(&stopped, &file);
    check_told(exec, &Told::read(&file));
    assert_eq!(exec["exe"].as_str(), innocent.to_str());
    assert_eq!(
        exec["exe_file"]["inode"],
        fs::metadata(&stub).unwrap().ino()
    );
    assert_ne!(
        exec["exe_file"]["inode"],
        fs::metadata(&innocent).unwrap().ino()
    );
    assert_eq!(exec["exe_stat"]["mode"], 0o100_757);
    check_hosts(exec, &["mount", "net"]);
    let shell = parent_of(&stopped.recording, exec_of(&stopped, &tiny, "bound"));
    assert_eq!(shell["parent_exe"].as_str(), innocent.to_str());
    assert_eq!(shell["parent_file"], exec["exe_file"]);
}

/// The exec of the process that is the parent of `exec`'s, or `exec` itself when that process is a shell
/// that has become the program.
fn parent_of<'a>(recording: &'a [Value], exec: &'a Value) -> &'a Value {
    let is_shell = |other: &&Value| other["pid"] == exec["pid"] || other["pid"] == exec["ppid"];
    let mut shells = recording.iter().filter(is_shell);
    shells
        .find(|other| other["argv"][0] == "sh")
        .unwrap_or(exec)
}

/// Line 18: what an overlay's upper layer holds was put there, or changed, after the image was made.
#[test]
fn the_upper_layer_of_an_overlay_is_told_from_the_lower() {
    if !can_run("the_upper_layer_of_an_overlay_is_told_from_the_lower") {
        return;
    }
    let (folder, _stub) = stub();
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let innocent = canonical("/usr/bin/true");
    let recording = Agent::record();
    let script = format!(
        "{OVERLAY} cp \"$1/cpd\" /usr/bin/cpd
        /usr/bin/cpd exec true /usr/bin/true \"new-$2\"; /usr/bin/true \"lower-$2\"
        touch /usr/bin/true; /usr/bin/true \"touched-$2\""
    );
    run(&script, &[folder.path(), Path::new(name)]);
    let stopped = recording.stop();
    let is_new = |exec: &&Value| exec["exe"] == "/usr/bin/cpd" && exec["argv"][1] == "exec";
    let new = stopped.recording.iter().find(is_new).expect("the new file");
    assert_eq!(new["exe_stat"]["overlay_upper"], true);
    for (mark, upper) in [("new", None), ("lower", None), ("touched", Some(true))] {
        let exec = exec_of(&stopped, &innocent, &format!("{mark}-{name}"));
        assert_eq!(
            exec["exe_stat"]["overlay_upper"].as_bool(),
            upper,
            "{mark}: {exec:#}"
        );
    }
}

/// Line 20: a path is told up to the root of the mount namespace, so that a folder made to look like a
/// root does not shorten it.
#[test]
fn a_chroot_that_looks_like_the_host_does_not_shorten_the_path() {
    if !can_run("a_chroot_that_looks_like_the_host_does_not_shorten_the_path") {
        return;
    }
    let (folder, _stub) = stub();
    let mut agent = Agent::run("");
    let script =
        format!("{LOOK_ALIKE} chroot \"$root\" /usr/bin/cpd ports exec sh /usr/bin/sh -c %");
    run(&script, &[folder.path()]);
    let path = folder.path().join("root/usr/bin/cpd");
    let alert = agent.wait_for_alert(|alert| is_of(alert, &path) && alert["count"] == 3);
    let shell = folder.path().join("root/usr/bin/sh");
    assert_eq!(alert["process_path"].as_str(), shell.to_str());
    agent.stop();
}

/// Line 20: in a container the path is the container's own. The record says that none of its namespaces is
/// the host's.
#[test]
fn a_container_with_the_hosts_paths_is_told_by_its_namespaces() {
    if !can_run("a_container_with_the_hosts_paths_is_told_by_its_namespaces") {
        return;
    }
    let (folder, _stub) = stub();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let recording = Agent::record();
    let script = format!(
        "mkdir \"$1/root\"; mount -t tmpfs none \"$1/root\"; {LOOK_ALIKE}
        mount --bind \"$1/out\" \"$root/out\"; mkdir \"$root/old\"; cd \"$root\"
        unshare --pid --fork --mount --propagation private bash -ec '
            mount -t proc none proc; pivot_root . old; exec /usr/bin/cpd tell /out/told'"
    );
    run(&script, &[folder.path()]);
    let stopped = recording.stop();
    let told = Told::read(&out.join("told"));
    let inum = inum(told.get("pid_namespace"));
    let is_it = |exec: &&Value| {
        exec["argv"][1] == "tell" && exec["namespaces"]["pid"]["inum"].as_u64() == inum.parse().ok()
    };
    let exec = stopped.recording.iter().find(is_it).expect("the container");
    check_told(exec, &told);
    assert_eq!(exec["exe"], "/usr/bin/cpd");
    assert_eq!(told.get("pid"), "1", "in there");
    assert_ne!(exec["pid"], 1, "out here");
    check_hosts(exec, &["mount", "pid", "net"]);
}

/// `NUMBER` of `KIND:[NUMBER]`.
fn inum(link: &str) -> &str {
    link.split(['[', ']']).nth(1).unwrap()
}

/// Line 20: whoever enters the host's network namespace works on the host's firewall, from wherever.
#[test]
fn entering_the_hosts_network_namespace_is_told() {
    if !can_run("entering_the_hosts_network_namespace_is_told") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tiny = folder.path().join("tiny");
    tiny_elf::write(&tiny).unwrap();
    let recording = Agent::record();
    let script = "\"$1\" outside; unshare --user --map-root-user \"$1\" apart
        nsenter --net=\"$2\" \"$1\" entered";
    let own = format!("/proc/{}/ns/net", std::process::id());
    run(script, &[&tiny, Path::new(&own)]);
    let stopped = recording.stop();
    check_hosts(exec_of(&stopped, &tiny, "outside"), &["mount", "net"]);
    check_hosts(exec_of(&stopped, &tiny, "apart"), &["mount", "net", "user"]);
    check_hosts(exec_of(&stopped, &tiny, "entered"), &["mount"]);
}

/// Line 20: in a user namespace of its own anybody is root and has every capability. The record has the
/// user that the host knows, and that the user namespace is not the host's.
#[test]
fn root_in_a_user_namespace_is_told_from_the_hosts() {
    if !can_run("root_in_a_user_namespace_is_told_from_the_hosts") {
        return;
    }
    let (folder, stub) = stub();
    open_to_all(folder.path());
    let file = folder.path().join("told");
    let mut agent = Agent::run("");
    let recording = Agent::record();
    let script = "anybody() { setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"; }
        anybody unshare --user --map-root-user --net \"$1\" tell \"$2\"
        anybody unshare --user --map-root-user --net \"$1\" ports exec sh /bin/sh -c %";
    run(script, &[&stub, &file]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 3);
    assert_eq!(alert["user"], "nobody");
    let exec = &alert["execs"][0];
    assert_eq!(exec["uid"], 65534);
    check_hosts(exec, &["mount", "net", "user"]);
    agent.stop();

    let stopped = recording.stop();
    let told = Told::read(&file);
    let record = teller(&stopped, &file);
    check_told(record, &told);
    assert_eq!(told.get("uid"), "0", "in there");
    assert_eq!(record["uid"], 65534, "out here");
    assert_ne!(record["cap_effective"], 0);
    let capabilities = record["cap_effective"].as_u64().unwrap();
    assert_eq!(exec["cap_effective"], format!("{capabilities:016x}"));
}

/// Line 20: the container is told by the cgroup's path.
#[test]
fn a_containers_cgroup_is_told_with_runtime_and_id() {
    if !can_run("a_containers_cgroup_is_told_with_runtime_and_id") {
        return;
    }
    let (folder, stub) = stub();
    let id = format!("{:064x}", std::process::id());
    let scope = format!("docker-{id}.scope");
    let mut agent = Agent::run("");
    let script = "mkdir \"$1/cgroup\"; mount -t cgroup2 none \"$1/cgroup\"; mkdir \"$1/cgroup/$2\"
        sh -c 'echo $$ >\"$1/cgroup.procs\"; \"$2\" ports exec sh /bin/sh -c %' sh \"$1/cgroup/$2\" \"$1/cpd\"
        while [ -n \"$(cat \"$1/cgroup/$2/cgroup.procs\")\" ]; do sleep 0.01; done
        rmdir \"$1/cgroup/$2\"";
    run(script, &[folder.path(), Path::new(&scope)]);
    let alert = agent.wait_for_alert(|alert| is_of(alert, &stub) && alert["count"] == 3);
    for exec in alert["execs"].as_array().unwrap() {
        let cgroup = &exec["cgroup"];
        let path = cgroup["path"].as_str().map(PathBuf::from).unwrap();
        assert_eq!(path.file_name().unwrap(), scope.as_str());
        assert_eq!(cgroup["container"], json!({"runtime": "docker", "id": id}));
    }
    agent.stop();
}
