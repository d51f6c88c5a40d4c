use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::pipeline::exec::{ExePath, Unknown};

const BOOT: Uuid = Uuid::from_u128(7);

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(1..=255u8, 0..40),
        "[ -~]{0,40}".prop_map(String::into_bytes),
    ]
}

fn exe() -> impl Strategy<Value = ExePath> {
    prop_oneof![
        bytes().prop_map(|path| ExePath::Known(path.into())),
        proptest::sample::select(&Unknown::ALL[..]).prop_map(ExePath::Unknown),
    ]
}

fn remembered() -> impl Strategy<Value = Remembered> {
    let key =
        || (any::<u32>(), any::<u64>()).prop_map(|(tgid, start_ns)| ProcessKey { tgid, start_ns });
    let file = (any::<u64>(), any::<u32>()).prop_map(|(inode, device)| FileId { inode, device });
    let time =
        (any::<u64>(), any::<u64>()).prop_map(|(boot_ns, wall_ns)| Time { boot_ns, wall_ns });
    (
        (key(), proptest::option::of(key()), exe()),
        (
            proptest::option::of(file),
            proptest::option::of(bytes()),
            proptest::option::of(bytes()),
            bytes(),
            any::<u64>(),
        ),
        (proptest::option::of(time), any::<bool>()),
    )
        .prop_map(
            |(
                (process, creator, exe),
                (file, script, claimed, command_line, bytes_full),
                (exec_time, ended),
            )| {
                Remembered {
                    process,
                    creator,
                    exe,
                    file,
                    script: script.map(Arc::from),
                    claimed_script: claimed.map(Arc::from),
                    command_line: command_line.into(),
                    command_line_bytes_full: bytes_full,
                    exec_time,
                    cgroup: None,
                    ended,
                }
            },
        )
}

fn written(processes: &[Remembered]) -> Vec<u8> {
    let mut file = Vec::new();
    write(&mut file, BOOT, processes).unwrap();
    file
}

fn load(file: &[u8]) -> Loaded {
    match read(file, BOOT, usize::MAX).unwrap() {
        Content::Processes(loaded) => loaded,
        other @ (Content::OtherBoot | Content::Unusable) => panic!("{other:?}"),
    }
}

fn one(tgid: u32) -> Remembered {
    Remembered {
        process: ProcessKey { tgid, start_ns: 1 },
        creator: None,
        exe: ExePath::Known(b"/bin/x"[..].into()),
        file: None,
        script: None,
        claimed_script: None,
        command_line: Arc::from(*b"x"),
        command_line_bytes_full: 1,
        exec_time: None,
        cgroup: None,
        ended: false,
    }
}

#[test]
fn the_format_stays_as_it_is() {
    let mut process = one(4);
    process.creator = Some(ProcessKey {
        tgid: 3,
        start_ns: u64::MAX,
    });
    process.exe = ExePath::Unknown(Unknown::Changed);
    process.command_line = Arc::from(*b"a\xffb");
    process.script = Some(Arc::from(*b"/x.sh"));
    process.file = Some(FileId {
        inode: 5,
        device: 6,
    });
    process.exec_time = Some(Time {
        boot_ns: 8,
        wall_ns: 9,
    });
    let mut claims = one(5);
    claims.claimed_script = Some(Arc::from(*b"y.sh"));
    let text = String::from_utf8(written(&[process, claims])).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    expect_test::expect![[r#"
        {"schema":"wallwatch.processes/1","boot_id":"00000000-0000-0000-0000-000000000007","agent_version":"VERSION","processes":2}
        {"pid":4,"start_ns":1,"creator":{"pid":3,"start_ns":18446744073709551615},"exe":null,"exe_unknown":"changed","exe_file":{"inode":5,"device":6},"script":"/x.sh","command_line":{"base64":"Yf9i"},"command_line_bytes":1,"exec_time":{"boot_ns":8,"wall_ns":9},"ended":false}
        {"pid":5,"start_ns":1,"exe":"/bin/x","claimed_script":"y.sh","command_line":"x","command_line_bytes":1,"ended":false}
    "#]]
    .assert_eq(&text.replace(version, "VERSION"));
}

#[test]
fn another_boot_or_another_format_is_not_used() {
    let file = written(&[one(1)]);
    assert_eq!(
        read(&*file, Uuid::from_u128(8), 10).unwrap(),
        Content::OtherBoot
    );
    let text = String::from_utf8(file).unwrap();
    for head in [
        text.replace("processes/1", "processes/2"),
        text.replace("schema", "scheme"),
        text.replace("00000000-", "x"),
        String::new(),
        "\n".to_owned(),
        "\0".repeat(200_000),
    ] {
        assert_eq!(
            read(head.as_bytes(), BOOT, 10).unwrap(),
            Content::Unusable,
            "{head:.80}"
        );
    }
}

#[test]
fn damaged_lines_are_counted_and_named_without_what_they_hold() {
    let mut lines: Vec<String> = String::from_utf8(written(&[one(1), one(2), one(3), one(4)]))
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    lines[2] = lines[2].replace("\"pid\":2", "\"pid\":\"secret\"");
    lines[3] = "x".repeat(LINE_BYTES_MAX as usize + 10);
    let loaded = load((lines.join("\n") + "\n").as_bytes());
    let tgids: Vec<u32> = loaded
        .processes
        .iter()
        .map(|one| one.process.tgid)
        .collect();
    assert_eq!(tgids, [1, 4]);
    assert_eq!(loaded.lines_damaged, 2);
    let (line, what) = loaded.first_damage.unwrap();
    assert_eq!(line, 3);
    assert_eq!(what, "Data error in column 15");
}

#[test]
fn lines_that_are_missing_are_noticed() {
    let file = written(&[one(1), one(2), one(3)]);
    let text = String::from_utf8(file).unwrap();
    let cut: String = text.split_inclusive('\n').take(2).collect();
    let loaded = load(cut.as_bytes());
    assert_eq!((loaded.processes.len(), loaded.lines_damaged), (1, 2));
    let (line, what) = loaded.first_damage.unwrap();
    assert_eq!((line, &*what), (3, "2 of 3 processes are missing"));
}

#[test]
fn no_more_is_read_than_was_asked_for() {
    let many: Vec<Remembered> = (0..100).map(one).collect();
    let Content::Processes(loaded) = read(&*written(&many), BOOT, 10).unwrap() else {
        panic!("unusable");
    };
    assert_eq!((loaded.processes.len(), loaded.lines_damaged), (10, 90));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(processes in proptest::collection::vec(remembered(), 0..20)) {
        let loaded = load(&written(&processes));
        prop_assert_eq!(loaded, Loaded { processes, ..Loaded::default() });
    }

    #[test]
    fn damage_of_any_kind_spoils_only_what_it_hits(
        processes in proptest::collection::vec(remembered(), 1..10),
        cut in any::<proptest::sample::Index>(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let whole = written(&processes);
        let mut file = whole[..cut.index(whole.len() + 1)].to_vec();
        for (at, byte) in flips {
            if !file.is_empty() {
                let at = at.index(file.len());
                file[at] ^= byte;
            }
        }
        match read(&*file, BOOT, 1000).unwrap() {
            Content::OtherBoot | Content::Unusable => {}
            Content::Processes(loaded) => {
                // A flip can make one line of two, or two of one.
                prop_assert!(loaded.processes.len() <= processes.len() + 4);
                prop_assert_eq!(loaded.first_damage.is_some(), loaded.lines_damaged > 0);
            }
        }
    }
}
