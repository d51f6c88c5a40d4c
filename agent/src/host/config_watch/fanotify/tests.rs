use proptest::prelude::*;

use super::*;

const PID: i32 = 42;

/// An event of one record that names a folder by `handle` and `name` in it.
fn event(mask: MaskFlags, kind: u8, handle: &[u8], name: &[u8]) -> Vec<u8> {
    let mut record = Vec::from([1u8; FSID_BYTES]);
    record.extend((handle.len() as u32).to_ne_bytes());
    record.extend(7i32.to_ne_bytes());
    record.extend(handle);
    record.extend(name);
    record.push(0);
    record.resize(record.len().next_multiple_of(4), 0);
    let mut bytes = Vec::new();
    bytes.extend((METADATA_BYTES as u32 + 4 + record.len() as u32).to_ne_bytes());
    bytes.extend([libc::FANOTIFY_METADATA_VERSION, 0]);
    bytes.extend((METADATA_BYTES as u16).to_ne_bytes());
    bytes.extend(mask.bits().to_ne_bytes());
    bytes.extend(libc::FAN_NOFD.to_ne_bytes());
    bytes.extend(PID.to_ne_bytes());
    bytes.extend([kind, 0]);
    bytes.extend((4 + record.len() as u16).to_ne_bytes());
    bytes.extend(record);
    bytes
}

#[test]
fn events_that_follow_each_other_are_read_with_folder_name_and_process() {
    let mut bytes = event(
        MaskFlags::FAN_CREATE,
        INFO_TYPE_DFID_NAME,
        b"12345678",
        b"a",
    );
    bytes.extend(event(
        MaskFlags::FAN_DELETE,
        INFO_TYPE_DFID_NAME,
        b"1234",
        b"user.rules",
    ));
    let read: Vec<Event> = events(&bytes).collect();
    let [first, second] = &read[..] else {
        panic!("{} events", read.len());
    };
    assert_eq!((first.mask, first.pid), (MaskFlags::FAN_CREATE, PID));
    let (handle, name) = second.place.as_ref().unwrap();
    assert_eq!(name, "user.rules");
    assert_eq!(handle.kind, 7);
    assert_eq!(handle.filesystem, [1; FSID_BYTES]);
    assert_eq!(*handle.bytes, *b"1234");
}

#[test]
fn an_event_without_a_name_has_no_place() {
    let bytes = event(MaskFlags::FAN_CREATE, 3, b"1234", b"");
    let read: Vec<Event> = events(&bytes).collect();
    assert_eq!(read.len(), 1);
    assert!(read[0].place.is_none());
}

#[test]
fn of_merged_events_each_is_told_once() {
    let mask = MaskFlags::FAN_DELETE | MaskFlags::FAN_CLOSE_WRITE | MaskFlags::FAN_CREATE;
    assert_eq!(
        kinds(mask),
        [EditKind::Created, EditKind::Written, EditKind::Removed]
    );
    assert_eq!(kinds(MaskFlags::FAN_MOVED_TO), [EditKind::Renamed]);
    assert_eq!(kinds(MaskFlags::FAN_ONDIR), []);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fail_or_go_on_for_ever(
        bytes in proptest::collection::vec(any::<u8>(), 0..256),
        cut in 0usize..80,
        at in 0usize..60,
        byte: u8,
    ) {
        prop_assert!(events(&bytes).count() <= bytes.len());
        let mut whole = event(MaskFlags::FAN_CREATE, INFO_TYPE_DFID_NAME, b"12345678", b"a");
        if let Some(changed) = whole.get_mut(at) {
            *changed = byte;
        }
        whole.truncate(cut);
        prop_assert!(events(&whole).count() <= 1);
    }
}
