//! Ways past a sensor, each walked by a real process. The sensor tells the truth whatever a process does to
//! be taken for something else; where the analytic does not alert all the same, the truth is in the record.
//! The numbers are those of the list of evasions that the sensor is held against.

mod blinding;
mod command_line;
mod identity;
mod lineage;
mod origin;
mod place;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Stopped, in_namespaces};

/// What the stub's mode `tell` saw of itself.
struct Told {
    fields: BTreeMap<String, String>,
    command_line: Vec<u8>,
}

impl Told {
    fn read(file: &Path) -> Self {
        let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let text = String::from_utf8(bytes[..end].to_vec()).unwrap();
        Self {
            fields: text
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            command_line: bytes[end + 2..].to_vec(),
        }
    }

    fn get(&self, key: &str) -> &str {
        &self.fields[key]
    }
}

/// The exec of `tell FILE`.
fn teller<'a>(stopped: &'a Stopped, file: &Path) -> &'a Value {
    let tells =
        |exec: &&Value| exec["argv"][1] == "tell" && exec["argv"][2].as_str() == file.to_str();
    let mut found = stopped.recording.iter().filter(tells);
    let exec = found
        .next()
        .unwrap_or_else(|| panic!("no exec with {}", file.display()));
    assert!(found.next().is_none(), "one exec with {}", file.display());
    exec
}

/// The record is what the program saw of itself at its start; the numbers of processes and users are
/// left out, for each namespace has its own.
fn check_told(exec: &Value, told: &Told) {
    assert_eq!(command_line(exec), told.command_line, "{exec:#}");
    assert_eq!(exec["comm"], told.get("comm"), "{exec:#}");
    let exe = told.get("exe");
    let exe = match exe.strip_suffix(" (deleted)") {
        Some(removed) => {
            assert!(exec["exe_deleted"] == true || exec["exe_memfd"] == true);
            removed
        }
        None => exe,
    };
    assert_eq!(exec["exe"], exe, "{exec:#}");
    assert_eq!(exec["exe_file"]["inode"].to_string(), told.get("inode"));
    let capabilities = u64::from_str_radix(told.get("cap_effective"), 16).unwrap();
    assert_eq!(exec["cap_effective"], capabilities);
    assert_eq!(exec["tty"], told.get("tty"), "{exec:#}");
    for (kind, key, name) in [
        ("mnt", "mount", "mount"),
        ("pid", "pid_namespace", "pid"),
        ("net", "net", "net"),
        ("user", "user", "user"),
    ] {
        let link = format!("{kind}:[{}]", exec["namespaces"][name]["inum"]);
        assert_eq!(link, told.get(key), "{exec:#}");
    }
}

/// The arguments of a recorded exec, each with its NUL.
fn command_line(exec: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for argument in exec["argv"].as_array().unwrap() {
        bytes.extend_from_slice(argument.as_str().unwrap().as_bytes());
        bytes.push(0);
    }
    bytes
}

/// The only exec of the program at `exe` with this as its last argument.
fn exec_of<'a>(stopped: &'a Stopped, exe: &Path, last: &str) -> &'a Value {
    let fits = |exec: &&Value| {
        let argv = exec["argv"].as_array().unwrap();
        exec["exe"].as_str() == exe.to_str() && argv.last().is_some_and(|text| text == last)
    };
    let found: Vec<&Value> = stopped.recording.iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{} {last}: {found:#?}", exe.display());
    found[0]
}

/// Runs a script in namespaces of its own; `$1…` are the paths.
fn run(script: &str, paths: &[&Path]) {
    let arguments: Vec<_> = paths.iter().map(|path| path.as_os_str()).collect();
    in_namespaces(script, &arguments);
}

fn canonical(path: &str) -> PathBuf {
    fs::canonicalize(path).unwrap()
}

/// Whether the host's first process is in that namespace, as far as that can be known: some hosts show the
/// links of that process to nobody. Then the numbers tell that are fixed: two always
/// (`include/linux/proc_ns.h`), two on kernels that give the test's own namespace such a number
/// (`include/uapi/linux/nsfs.h`).
fn is_host(kind: &str, inum: &Value) -> Option<bool> {
    let link = fs::read_link(format!("/proc/1/ns/{kind}"));
    let own = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    let fixed = [
        ("mnt", format!("mnt:[{}]", 0xEFFF_FFF8_u32)),
        ("net", format!("net:[{}]", 0xEFFF_FFF9_u32)),
    ];
    let is_fixed = fixed.contains(&(kind, own.to_str().unwrap().to_owned()));
    let host = match link {
        Ok(link) => link.to_str().unwrap().to_owned(),
        Err(_) if is_fixed => own.to_str().unwrap().to_owned(),
        Err(_) if kind == "pid" => format!("pid:[{}]", 0xEFFF_FFFC_u32),
        Err(_) if kind == "user" => format!("user:[{}]", 0xEFFF_FFFD_u32),
        Err(error) => {
            eprintln!("LEFT OUT: which {kind} namespace is the host's: {error}");
            return None;
        }
    };
    Some(host == format!("{kind}:[{inum}]"))
}

/// Checks which namespaces a record calls the host's; `apart` are those that are not.
fn check_hosts(exec: &Value, apart: &[&str]) {
    for (name, kind) in [
        ("mount", "mnt"),
        ("pid", "pid"),
        ("net", "net"),
        ("user", "user"),
    ] {
        let namespace = &exec["namespaces"][name];
        let expect = is_host(kind, &namespace["inum"]);
        assert_eq!(namespace["host"].as_bool(), expect, "{name}: {namespace}");
        let own = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        let is_own = own.to_str().unwrap() == format!("{kind}:[{}]", namespace["inum"]);
        assert_eq!(is_own, !apart.contains(&name), "{name}: {namespace}");
    }
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

/// The executables of an alert's ancestry, the parent's first.
fn ancestors(alert: &Value) -> Vec<Option<&str>> {
    let ancestry = alert["parent"]["ancestry"].as_array().unwrap();
    let executables = ancestry.iter().map(|step| step["executable"].as_str());
    executables.collect()
}
