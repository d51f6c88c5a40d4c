use std::collections::BTreeMap;
use std::io::{IoSliceMut, Read};
use std::os::fd::RawFd;

use nix::sys::socket::{ControlMessageOwned, recvmsg};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::Format;
use crate::delivery::event::Event;
use crate::delivery::sink::Record;

/// A journal of the test's own.
struct Journal {
    folder: TempDir,
    socket: UnixDatagram,
}

type Fields = BTreeMap<String, Vec<Vec<u8>>>;

impl Journal {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("socket")).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { folder, socket }
    }

    fn sink(&self) -> Journald {
        Journald::new(&JournaldSettings {
            socket: self.folder.path().join("socket"),
        })
    }

    /// The next entry, and whether it came as a file.
    fn entry(&self) -> (Fields, bool) {
        let mut bytes = vec![0; 1 << 20];
        let mut space = nix::cmsg_space!(RawFd);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let (length, files) = {
            let socket = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let message =
                recvmsg::<UnixAddr>(socket, &mut slices, Some(&mut space), flags).unwrap();
            let files: Vec<_> = message
                .cmsgs()
                .unwrap()
                .flat_map(|control| {
                    let ControlMessageOwned::ScmRights(files) = control else {
                        panic!("{control:?}");
                    };
                    files
                })
                .collect();
            (message.bytes, files)
        };
        let [file] = files[..] else {
            return (parse(&bytes[..length]), false);
        };
        assert_eq!(length, 0, "a datagram with a file is empty");
        (parse(&read_sealed(file)), true)
    }
}

/// What a memfd holds that nobody can change.
fn read_sealed(descriptor: RawFd) -> Vec<u8> {
    let mut file = File::open(format!("/proc/self/fd/{descriptor}")).unwrap();
    nix::unistd::close(descriptor).unwrap();
    let seals = SealFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GET_SEALS).unwrap());
    let wanted = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    assert!(seals.contains(wanted | SealFlag::F_SEAL_SEAL), "{seals:?}");
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Reads an entry as the protocol's page describes it, and takes nothing else.
fn parse(mut entry: &[u8]) -> Fields {
    let mut fields = Fields::new();
    while !entry.is_empty() {
        let name_end = entry.iter().position(|byte| b"=\n".contains(byte)).unwrap();
        let (name, rest) = entry.split_at(name_end);
        let (value, rest) = if rest[0] == b'=' {
            let end = rest.iter().position(|&byte| byte == b'\n').unwrap();
            (&rest[1..end], &rest[end..])
        } else {
            let length = u64::from_le_bytes(rest[1..9].try_into().unwrap());
            rest[9..].split_at(usize::try_from(length).unwrap())
        };
        let name = String::from_utf8(name.to_vec()).unwrap();
        let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        assert!(
            name.bytes().all(is_plain) && !name.starts_with('_'),
            "{name}"
        );
        fields.entry(name).or_default().push(value.to_vec());
        entry = rest.strip_prefix(b"\n").unwrap();
    }
    fields
}

fn record(seq: u64, value: &serde_json::Value) -> Record {
    let json = serde_json::to_vec(value).unwrap();
    Record { seq, json }
}

fn send(sink: &mut Journald, records: &[Record]) -> Delivery {
    let events: Vec<_> = records
        .iter()
        .map(|record| Event::parse(record).unwrap())
        .collect();
    let messages: Vec<_> = events
        .into_iter()
        .map(|event| Message {
            event,
            format: Format::Native,
        })
        .collect();
    sink.send(&messages)
}

fn texts<'a>(fields: &'a Fields, name: &str) -> Vec<&'a str> {
    let values = fields.get(name).into_iter().flatten();
    values
        .map(|value| std::str::from_utf8(value).unwrap())
        .collect()
}

fn alert() -> Record {
    let value = json!({
        "kind": "alert", "id": "7b1c0d5e-9000-5000-8000-00000000beef", "revision": 2, "epoch": "e",
        "severity": "medium", "rule": {"id": "309d59dc", "name": "Linux Iptables Firewall Modification"},
        "dest": "gateway", "user": "www-data", "parent_process_path": "/tmp/.x/hook",
        "ports": ["3269", "636", "989"], "mitre_technique_id": ["T1562.004", "T1686"],
    });
    record(7, &value)
}

#[test]
fn an_alert_is_an_entry_with_a_line_for_people_and_fields_for_queries() {
    let journal = Journal::new();
    let mut sink = journal.sink();
    let alert = alert();
    assert_eq!(send(&mut sink, std::slice::from_ref(&alert)).delivered, 1);
    let (fields, is_file) = journal.entry();
    assert!(!is_file);
    let mut shown = String::new();
    for (name, values) in &fields {
        if name == "WALLWATCH_EVENT" {
            assert_eq!(*values, std::slice::from_ref(&alert.json));
            continue;
        }
        for value in values {
            let value = std::str::from_utf8(value).unwrap();
            shown.push_str(&format!("{name}={value}\n"));
        }
    }
    expect_test::expect![[r#"
        MESSAGE=Linux Iptables Firewall Modification on gateway, user www-data, by /tmp/.x/hook: ports 3269, 636, 989
        MESSAGE_ID=8483ef0eae4b4353ac12499b5dbbdcb2
        PRIORITY=4
        SYSLOG_IDENTIFIER=wallwatch
        WALLWATCH_ALERT_ID=7b1c0d5e-9000-5000-8000-00000000beef
        WALLWATCH_EPOCH=e
        WALLWATCH_KIND=alert
        WALLWATCH_PORTS=3269
        WALLWATCH_PORTS=636
        WALLWATCH_PORTS=989
        WALLWATCH_REVISION=2
        WALLWATCH_RULE=Linux Iptables Firewall Modification
        WALLWATCH_RULE_ID=309d59dc
        WALLWATCH_SEQ=7
        WALLWATCH_SEVERITY=medium
        WALLWATCH_TECHNIQUE=T1562.004
        WALLWATCH_TECHNIQUE=T1686
        WALLWATCH_USER=www-data
    "#]].assert_eq(&shown);
    let answer = sink.answer().unwrap();
    assert!(answer.ends_with("/socket took everything"), "{answer}");
}

#[test]
fn an_entry_that_is_too_long_for_a_datagram_goes_as_a_sealed_file() {
    let journal = Journal::new();
    let mut sink = journal.sink();
    let long = "x".repeat(400_000);
    let long = record(
        1,
        &json!({"kind": "self", "text": long, "user": "two\nlines"}),
    );
    let delivery = send(&mut sink, &[long.clone(), alert()]);
    assert_eq!((delivery.delivered, delivery.trouble), (2, None));
    let (fields, is_file) = journal.entry();
    assert!(is_file);
    assert!(fields["WALLWATCH_EVENT"] == [long.json]);
    assert_eq!(texts(&fields, "WALLWATCH_USER"), ["two\nlines"]);
    assert!(fields["MESSAGE"][0].len() <= 1024);
    let (fields, is_file) = journal.entry();
    assert!(!is_file);
    assert_eq!(texts(&fields, "WALLWATCH_SEQ"), ["7"]);
}

#[test]
fn a_journal_that_is_not_there_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let mut sink = Journald::new(&JournaldSettings {
        socket: socket.clone(),
    });
    let missing = send(&mut sink, &[alert()]);
    assert_eq!(missing.delivered, 0);
    let Some(Trouble::Retry { after: None, why }) = missing.trouble else {
        panic!("{missing:?}");
    };
    assert!(why.contains("socket: No such file"), "{why}");
    assert_eq!(sink.answer(), None);
    let first = UnixDatagram::bind(&socket).unwrap();
    assert_eq!(send(&mut sink, &[alert()]).delivered, 1);
    // Started anew.
    drop(first);
    std::fs::remove_file(&socket).unwrap();
    let second = UnixDatagram::bind(&socket).unwrap();
    assert_eq!(send(&mut sink, &[alert()]).delivered, 1);
    assert!(second.recv(&mut [0; 10_000]).unwrap() > 100);
}

proptest! {
    #[test]
    fn no_text_of_an_event_makes_another_field(
        texts in prop::collection::vec(any::<String>(), 6),
        ports in prop::collection::vec(any::<String>(), 0..80),
    ) {
        let [user, id, title, host, path, rule] = &texts[..] else { unreachable!() };
        let record = record(1, &json!({
            "kind": "finding", "id": id, "title": title, "dest": host, "user": user, "finding": rule,
            "parent_process_path": path, "ports": ports,
        }));
        let message = Message { event: Event::parse(&record).unwrap(), format: Format::Native };
        let fields = parse(&entry::encode(&message));
        prop_assert_eq!(self::texts(&fields, "WALLWATCH_USER"), [user]);
        prop_assert_eq!(self::texts(&fields, "WALLWATCH_ALERT_ID"), [id]);
        prop_assert_eq!(self::texts(&fields, "WALLWATCH_RULE"), [rule]);
        let kept = ports.len().min(64);
        prop_assert_eq!(self::texts(&fields, "WALLWATCH_PORTS"), &ports[..kept]);
        let line = self::texts(&fields, "MESSAGE");
        prop_assert_eq!(line.len(), 1);
        prop_assert!(line[0].len() <= 1024 && !line[0].contains(crate::delivery::encode::is_active));
        prop_assert_eq!(&fields["WALLWATCH_EVENT"], &[message.body()]);
    }
}
