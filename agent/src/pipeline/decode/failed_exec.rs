//! The record of an exec that failed → [`FailedExec`].

use std::mem::offset_of;

use wallwatch_common::{FailedExecFlags, FailedExecRecord};

use super::{DecodeError, Decoder, Fields, Sections, c_string, set_id};
use crate::pipeline::exec::{Argv, ArgvSource, ProcessKey, Time};
use crate::pipeline::failed_exec::FailedExec;

impl Decoder {
    pub(super) fn failed_exec(&self, bytes: &[u8], time: Time) -> Result<FailedExec, DecodeError> {
        let fields = Fields::check(bytes, size_of::<FailedExecRecord>())?;
        let mut sections = Sections {
            rest: &bytes[size_of::<FailedExecRecord>()..],
            said: bytes.len(),
        };
        let filename = sections.take(fields.u32(offset_of!(FailedExecRecord, filename_bytes)))?;
        let argv = sections.take(fields.u32(offset_of!(FailedExecRecord, argv_bytes)))?;
        sections.end()?;

        let flags = fields.u32(offset_of!(FailedExecRecord, flags));
        let flag = |bit| flags & bit != 0;
        Ok(FailedExec {
            time,
            process: ProcessKey {
                tgid: fields.u32(offset_of!(FailedExecRecord, tgid)),
                start_ns: fields.u64(offset_of!(FailedExecRecord, start_ns)),
            },
            tid: fields.u32(offset_of!(FailedExecRecord, tid)),
            parent: ProcessKey {
                tgid: fields.u32(offset_of!(FailedExecRecord, parent_tgid)),
                start_ns: fields.u64(offset_of!(FailedExecRecord, parent_start_ns)),
            },
            uid: fields.u32(offset_of!(FailedExecRecord, uid)),
            login_uid: set_id(fields.u32(offset_of!(FailedExecRecord, login_uid))),
            session_id: set_id(fields.u32(offset_of!(FailedExecRecord, session_id))),
            user: None,
            dest: self.dest.clone(),
            host_id: self.host_id.clone(),
            error: fields.u32(offset_of!(FailedExecRecord, error)),
            comm: c_string(fields.bytes(offset_of!(FailedExecRecord, comm), 16)).into(),
            filename: (!flag(FailedExecFlags::FILENAME_FAULT)).then(|| c_string(filename).into()),
            argv: Argv {
                bytes: argv.into(),
                bytes_full: argv.len() as u64,
                source: if flag(FailedExecFlags::ARGV_FAULT) {
                    ArgvSource::Unread
                } else {
                    ArgvSource::Kernel
                },
            },
            argv_cut: flag(FailedExecFlags::ARGV_CUT),
            cgroup_id: fields.u64(offset_of!(FailedExecRecord, cgroup_id)),
            cgroup: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;
    use wallwatch_common::{RECORD_VERSION, RecordHeader, RecordKind};

    use super::*;
    use crate::pipeline::decode::Decoded;
    use crate::pipeline::exec::Event;

    /// The record of a failed exec, built as the kernel program builds it.
    fn encode(time_ns: u64, error: u32, flags: u32, filename: &[u8], argv: &[u8]) -> Vec<u8> {
        let mut out = vec![0; size_of::<FailedExecRecord>()];
        let total = (out.len() + filename.len() + argv.len()) as u32;
        let mut put = |at: usize, value: &[u8]| out[at..at + value.len()].copy_from_slice(value);
        put(offset_of!(RecordHeader, time_ns), &time_ns.to_ne_bytes());
        put(
            offset_of!(RecordHeader, kind),
            &[RecordKind::FailedExec as u8],
        );
        put(offset_of!(RecordHeader, version), &[RECORD_VERSION]);
        put(offset_of!(FailedExecRecord, start_ns), &7u64.to_ne_bytes());
        put(
            offset_of!(FailedExecRecord, parent_start_ns),
            &6u64.to_ne_bytes(),
        );
        put(offset_of!(FailedExecRecord, cgroup_id), &9u64.to_ne_bytes());
        put(offset_of!(FailedExecRecord, comm), b"probe");
        for (at, value) in [
            (offset_of!(RecordHeader, bytes), total),
            (offset_of!(FailedExecRecord, tgid), 41),
            (offset_of!(FailedExecRecord, tid), 42),
            (offset_of!(FailedExecRecord, parent_tgid), 40),
            (offset_of!(FailedExecRecord, uid), 1000),
            (offset_of!(FailedExecRecord, login_uid), u32::MAX),
            (offset_of!(FailedExecRecord, session_id), 3),
            (offset_of!(FailedExecRecord, error), error),
            (offset_of!(FailedExecRecord, flags), flags),
            (
                offset_of!(FailedExecRecord, filename_bytes),
                filename.len() as u32,
            ),
            (offset_of!(FailedExecRecord, argv_bytes), argv.len() as u32),
        ] {
            put(at, &value.to_ne_bytes());
        }
        out.extend_from_slice(filename);
        out.extend_from_slice(argv);
        out
    }

    fn decode(bytes: &[u8]) -> Result<FailedExec, DecodeError> {
        let decoder = Decoder {
            boot_id: Uuid::from_u128(7),
            dest: Some("host".into()),
            host_id: None,
        };
        match decoder.decode(bytes, 5)? {
            Decoded::Event(Event::FailedExec(failed)) => Ok(*failed),
            other @ (Decoded::Event(_) | Decoded::ArgvPart(_) | Decoded::CgroupPath(_)) => {
                panic!("not a failed exec: {other:?}")
            }
        }
    }

    #[test]
    fn every_field_comes_back() {
        let bytes = encode(100, 13, 0, b"/usr/sbin/nft\0", b"nft\0list ruleset\0");
        let failed = decode(&bytes).unwrap();
        let argv = Argv::from_arguments([b"nft".as_slice(), b"list ruleset"]);
        assert_eq!(
            failed,
            FailedExec {
                time: Time {
                    boot_ns: 100,
                    wall_ns: 105,
                },
                process: ProcessKey {
                    tgid: 41,
                    start_ns: 7,
                },
                tid: 42,
                parent: ProcessKey {
                    tgid: 40,
                    start_ns: 6,
                },
                uid: 1000,
                login_uid: None,
                session_id: Some(3),
                user: None,
                dest: Some("host".into()),
                host_id: None,
                error: 13,
                comm: b"probe".as_slice().into(),
                filename: Some(b"/usr/sbin/nft".as_slice().into()),
                argv: Argv {
                    source: ArgvSource::Kernel,
                    ..argv
                },
                argv_cut: false,
                cgroup_id: 9,
                cgroup: None,
            }
        );
    }

    #[test]
    fn what_could_not_be_read_is_not_taken_for_empty() {
        let failed = decode(&encode(1, 2, 0, b"\0", b"")).unwrap();
        assert_eq!(failed.filename.as_deref(), Some(b"".as_slice()));
        assert_eq!(failed.argv.arguments().count(), 0);
        assert_eq!(failed.argv.source, ArgvSource::Kernel);

        let flags = FailedExecFlags::FILENAME_FAULT
            | FailedExecFlags::ARGV_FAULT
            | FailedExecFlags::ARGV_CUT;
        let failed = decode(&encode(1, 14, flags, b"", b"a\0")).unwrap();
        assert_eq!(failed.filename, None);
        assert_eq!(failed.argv.source, ArgvSource::Unread);
        assert!(failed.argv_cut);
    }

    proptest! {
        #[test]
        fn sections_that_do_not_fill_the_record_are_refused(
            filename in proptest::collection::vec(any::<u8>(), 0..40),
            argv in proptest::collection::vec(any::<u8>(), 0..40),
            field in prop::sample::select(vec![
                offset_of!(FailedExecRecord, filename_bytes),
                offset_of!(FailedExecRecord, argv_bytes),
            ]),
            by in 1..=u32::MAX,
            cut in 0..size_of::<FailedExecRecord>(),
        ) {
            let mut bytes = encode(1, 2, 0, &filename, &argv);
            let said = u32::from_ne_bytes(bytes[field..field + 4].try_into().unwrap());
            let other = said.wrapping_add(by);
            bytes[field..field + 4].copy_from_slice(&other.to_ne_bytes());
            let refused = decode(&bytes).unwrap_err();
            let is_length = matches!(refused, DecodeError::Length { .. });
            prop_assert!(is_length, "{refused}");

            let mut short = encode(1, 2, 0, b"", b"");
            short.truncate(cut.max(size_of::<RecordHeader>()));
            let length = (short.len() as u32).to_ne_bytes();
            let at = offset_of!(RecordHeader, bytes);
            short[at..at + 4].copy_from_slice(&length);
            let refused = decode(&short).unwrap_err();
            let is_short = matches!(refused, DecodeError::Short { .. });
            prop_assert!(is_short, "{refused}");
        }
    }
}
