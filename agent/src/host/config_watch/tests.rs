use std::fs;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::Command;

use tempfile::TempDir;

use super::folders::FOLDERS_MAX;
use super::*;

const NOW: Time = Time {
    boot_ns: 1,
    wall_ns: 2,
};

/// Both means: fanotify needs root, and without it is skipped aloud.
fn by_each_means(test: impl Fn(&dyn Fn(&Path) -> ConfigWatch)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _within = runtime.enter();
    test(&by_inotify);
    if nix::unistd::geteuid().is_root() {
        test(&|root| ConfigWatch::by_fanotify(root).unwrap());
    } else {
        eprintln!("SKIPPED fanotify: not root");
    }
}

fn by_inotify(root: &Path) -> ConfigWatch {
    let refused = ConfigWatchError::Open {
        means: "fanotify",
        error: io::ErrorKind::PermissionDenied.into(),
    };
    ConfigWatch::by_inotify(root, refused).unwrap()
}

/// A root with these folders.
fn root(folders: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in folders {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    root
}

/// What was done to which file, in order; all by this process where that is told.
fn edits(watch: &mut ConfigWatch) -> Vec<(EditKind, String)> {
    let expected = match watch.means() {
        Means::Fanotify => Some(std::process::id()),
        Means::Inotify(_) => None,
    };
    let edits = watch.read(NOW).unwrap();
    let edits = edits.into_iter().map(|edit| {
        assert_eq!((edit.tgid, edit.time), (expected, NOW));
        (edit.what, String::from_utf8(edit.path).unwrap())
    });
    edits.collect()
}

fn edit(what: EditKind, path: &str) -> (EditKind, String) {
    (what, path.to_owned())
}

use EditKind::{Created, Removed, Renamed, Written};

#[test]
fn each_way_to_edit_a_file_is_told() {
    by_each_means(|open| {
        let root = root(&["etc/ufw", "etc/default"]);
        let rules = root.path().join("etc/ufw/user.rules");
        let mut watch = open(root.path());
        fs::write(&rules, "x").unwrap();
        let path = "/etc/ufw/user.rules";
        assert_eq!(
            edits(&mut watch),
            [edit(Created, path), edit(Written, path)]
        );
        let other = root.path().join("etc/default/new");
        fs::write(&other, "y").unwrap();
        assert_eq!(edits(&mut watch), []);
        fs::rename(&other, root.path().join("etc/default/ufw")).unwrap();
        assert_eq!(edits(&mut watch), [edit(Renamed, "/etc/default/ufw")]);
        fs::remove_file(&rules).unwrap();
        assert_eq!(edits(&mut watch), [edit(Removed, path)]);
        assert_eq!(watch.counters(), ConfigWatchCounters::default());
    });
}

#[test]
fn who_only_reads_or_edits_a_neighbour_is_not_told() {
    by_each_means(|open| {
        let root = root(&["etc/ufw"]);
        fs::write(root.path().join("etc/nftables.conf"), "x").unwrap();
        let mut watch = open(root.path());
        fs::read(root.path().join("etc/nftables.conf")).unwrap();
        fs::read_dir(root.path().join("etc/ufw")).unwrap().count();
        fs::write(root.path().join("etc/passwd"), "x").unwrap();
        fs::create_dir(root.path().join("etc/systemd")).unwrap();
        assert_eq!(edits(&mut watch), []);
    });
}

#[test]
fn a_place_that_does_not_exist_yet_is_watched_when_it_appears() {
    by_each_means(|open| {
        let root = root(&[]);
        let mut watch = open(root.path());
        assert_eq!(watch.watched(), 1);
        fs::create_dir_all(root.path().join("etc/iptables")).unwrap();
        edits(&mut watch);
        assert_eq!(watch.watched(), 3);
        fs::write(root.path().join("etc/iptables/rules.v4"), "x").unwrap();
        let path = "/etc/iptables/rules.v4";
        assert_eq!(
            edits(&mut watch),
            [edit(Created, path), edit(Written, path)]
        );
    });
}

#[test]
fn files_that_come_with_a_folder_are_told() {
    by_each_means(|open| {
        let root = root(&["etc/firewalld", "staged/zones/mine"]);
        fs::write(root.path().join("staged/zones/mine/public.xml"), "x").unwrap();
        let mut watch = open(root.path());
        let target = root.path().join("etc/firewalld/zones");
        fs::rename(root.path().join("staged/zones"), target).unwrap();
        assert_eq!(
            edits(&mut watch),
            [
                edit(Renamed, "/etc/firewalld/zones"),
                edit(Created, "/etc/firewalld/zones/mine/public.xml")
            ]
        );
    });
}

#[test]
fn a_folder_in_the_place_of_another_is_watched_and_the_other_no_longer() {
    by_each_means(|open| {
        let root = root(&["etc/ufw"]);
        let mut watch = open(root.path());
        fs::rename(root.path().join("etc/ufw"), root.path().join("etc/old")).unwrap();
        fs::create_dir(root.path().join("etc/ufw")).unwrap();
        let mut moved = edits(&mut watch);
        moved.sort();
        // fanotify merges them, and leaves the order open.
        assert_eq!(
            moved,
            [edit(Created, "/etc/ufw"), edit(Renamed, "/etc/ufw")]
        );
        fs::write(root.path().join("etc/old/user.rules"), "x").unwrap();
        assert_eq!(edits(&mut watch), []);
        File::create(root.path().join("etc/ufw/user.rules")).unwrap();
        assert_eq!(edits(&mut watch).len(), 2);
        assert_eq!(watch.watched(), 3);
    });
}

#[test]
fn folders_beyond_the_bound_are_counted() {
    by_each_means(|open| {
        let root = root(&["etc/ufw"]);
        for number in 0..FOLDERS_MAX {
            fs::create_dir(root.path().join(format!("etc/ufw/{number}"))).unwrap();
        }
        let watch = open(root.path());
        assert_eq!(watch.watched(), FOLDERS_MAX);
        assert_eq!(watch.counters().unwatched, 3);
    });
}

#[test]
fn a_flood_of_folders_takes_no_watch_from_those_that_have_one() {
    by_each_means(|open| {
        let root = root(&["etc/firewalld/zones"]);
        let mut watch = open(root.path());
        for number in 0..2 * FOLDERS_MAX {
            fs::create_dir_all(root.path().join(format!("etc/firewalld/{number}"))).unwrap();
        }
        fs::create_dir_all(root.path().join("etc/ufw")).unwrap();
        edits(&mut watch);
        assert_eq!(watch.watched(), FOLDERS_MAX);
        assert!(watch.counters().unwatched > 0);
        for path in ["etc/firewalld/zones/public.xml", "etc/ufw/user.rules"] {
            File::create(root.path().join(path)).unwrap();
            assert_eq!(edits(&mut watch).len(), 2, "{path}");
        }
    });
}

#[test]
fn an_overflow_is_counted_and_the_watch_goes_on() {
    by_each_means(|open| {
        let root = root(&["etc/ufw"]);
        let mut watch = open(root.path());
        // More than any of the kernel's bounds (`fs.inotify.max_queued_events`, `fs.fanotify.max_queued_events`:
        // 16384), each with another name, for events of one name are merged.
        for number in 0..17_000 {
            symlink("x", root.path().join(format!("etc/{number}"))).unwrap();
        }
        while watch.counters().overflows == 0 {
            edits(&mut watch);
            let is_told = watch.more || watch.counters().overflows > 0;
            assert!(is_told, "the queue is empty, and no overflow was told");
        }
        while watch.more {
            edits(&mut watch);
        }
        File::create(root.path().join("etc/sysctl.conf")).unwrap();
        assert_eq!(edits(&mut watch).len(), 2);
    });
}

#[test]
fn another_process_is_named() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED another_process_is_named: not root");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _within = runtime.enter();
    let root = root(&["etc"]);
    let mut watch = ConfigWatch::open(root.path()).unwrap();
    assert!(matches!(watch.means(), Means::Fanotify));
    let mut touch = Command::new("touch")
        .arg(root.path().join("etc/nftables.conf"))
        .spawn()
        .unwrap();
    touch.wait().unwrap();
    let edits = watch.read(NOW).unwrap();
    let processes: Vec<Option<u32>> = edits.iter().map(|edit| edit.tgid).collect();
    assert_eq!(processes, [Some(touch.id()); 2]);
}
