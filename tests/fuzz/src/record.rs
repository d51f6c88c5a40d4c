//! Records of the ring buffers, through the decoder, the assembler and the pipeline.

use std::mem::offset_of;

use uuid::Uuid;
use wallwatch::pipeline::Pipeline;
use wallwatch::pipeline::assemble::{Assembler, AssemblerLimits};
use wallwatch::pipeline::decode::{Decoded, Decoder};
use wallwatch::pipeline::exec::{Event, ExePath, Exec, Time};
use wallwatch::pipeline::failed_exec::FailedExec;
use wallwatch::recording;
use wallwatch_common::{ArgvChunk, RecordHeader, RecordKind};

use crate::alerts;

/// How often the records come, each time a second later: a group that grows, and alerts that are
/// updated, cost the fuzzer no input.
const PASSES: u64 = 3;
const PASS_NS: u64 = 1_000_000_000;

const WALL_MINUS_BOOT_NS: i64 = 1_700_000_000_000_000_000;

/// `data` is records, one after the other.
pub fn check(data: &[u8]) {
    alerts_of(data);
}

/// How many alert lines `data` leads to.
pub(crate) fn alerts_of(data: &[u8]) -> usize {
    let decoder = Decoder {
        boot_id: Uuid::from_u128(7),
        dest: Some("host".into()),
        host_id: None,
    };
    let mut way = Way::new();
    let mut n = 0;
    for pass in 0..PASSES {
        for record in records(data) {
            let record = later(record, pass * PASS_NS);
            if let Ok(decoded) = decoder.decode(&record, WALL_MINUS_BOOT_NS) {
                n += way.handle(decoded, time(&record));
            }
        }
    }
    n + way.end()
}

/// The way of a record, as the agent has it.
struct Way {
    assembler: Assembler,
    pipeline: Pipeline,
    now: Time,
}

impl Way {
    fn new() -> Self {
        Self {
            assembler: Assembler::new(AssemblerLimits::default()),
            pipeline: alerts::pipeline(),
            now: Time::default(),
        }
    }

    fn handle(&mut self, decoded: Decoded, time: Time) -> usize {
        self.now = self.now.max(time);
        match decoded {
            Decoded::Event(event) => self.assembler.handle_event(event, self.now),
            Decoded::ArgvPart(part) => self.assembler.handle_part(part, self.now),
            Decoded::CgroupPath(_) => {}
        }
        self.assembler.handle_timeout(self.now);
        self.pipeline.handle_timeout(self.now);
        self.hand_out()
    }

    fn end(&mut self) -> usize {
        let forever = Time {
            boot_ns: u64::MAX,
            wall_ns: u64::MAX,
        };
        self.assembler.handle_timeout(forever);
        assert_eq!(self.assembler.poll_timeout(forever), None);
        let mut n = self.hand_out();
        self.pipeline.flush(self.now);
        n += alerts::check_next(&mut self.pipeline);
        self.pipeline.handle_end(self.now);
        n += alerts::check_next(&mut self.pipeline);
        assert_eq!(self.pipeline.detector().levels().groups, 0);
        n
    }

    fn hand_out(&mut self) -> usize {
        let mut n = 0;
        while let Some(event) = self.assembler.next_event() {
            match &event {
                Event::Exec(exec) => check_exec(exec),
                Event::FailedExec(failed) => check_failed(failed),
                Event::Fork(_) | Event::Exit(_) | Event::Running(_) | Event::XtablesReplace(_) => {}
            }
            self.pipeline.handle_event(&event, self.now);
            n += alerts::check_next(&mut self.pipeline);
        }
        // Once what is due has been seen to, nothing is.
        let wait = self.pipeline.poll_timeout(self.now);
        assert!(wait.is_none_or(|wait| !wait.is_zero()));
        n
    }
}

/// Cuts `data` by the length that each record says it has; a record that says nonsense is the last.
fn records(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let at = offset_of!(RecordHeader, bytes);
        let said = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        let length = said.map_or(0, u32::from_ne_bytes) as usize;
        let length = if length < size_of::<RecordHeader>() {
            data.len()
        } else {
            length.min(data.len())
        };
        let (record, rest) = data.split_at(length);
        data = rest;
        Some(record)
    })
}

/// The same record at a later time. A piece of a command line is filled up to the length that all of
/// them have, so that the fuzzer need not find thousands of bytes.
fn later(record: &[u8], by_ns: u64) -> Vec<u8> {
    let mut record = record.to_vec();
    if let Some(time) = record.first_chunk_mut::<8>() {
        *time = u64::from_ne_bytes(*time).wrapping_add(by_ns).to_ne_bytes();
    }
    let at = offset_of!(RecordHeader, kind);
    let chunk = [RecordKind::ArgvChunk as u8];
    if record.len() < size_of::<ArgvChunk>() && record.get(at..at + 2) == Some(&chunk) {
        record.resize(size_of::<ArgvChunk>(), 0);
        let bytes = (record.len() as u32).to_ne_bytes();
        let at = offset_of!(RecordHeader, bytes);
        record[at..at + 4].copy_from_slice(&bytes);
    }
    record
}

/// Of a record that was decoded.
fn time(record: &[u8]) -> Time {
    let boot_ns = record
        .first_chunk()
        .map_or(0, |time| u64::from_ne_bytes(*time));
    Time {
        boot_ns,
        wall_ns: boot_ns.saturating_add_signed(WALL_MINUS_BOOT_NS),
    }
}

fn check_exec(exec: &Exec) {
    assert!(exec.comm.len() <= 16);
    for text in [Some(&exec.comm), Some(&exec.filename), exec.interp.as_ref()] {
        assert!(text.is_none_or(|text| !text.contains(&0)));
    }
    for path in [&exec.exe, &exec.parent_exe] {
        if let ExePath::Known(path) = path {
            assert!(path.starts_with(b"/") && !path.contains(&0));
        }
    }
    assert!(exec.argv.bytes_full >= exec.argv.bytes.len() as u64);
    assert!(exec.argv.arguments().count() <= exec.argv.bytes.len());
    check_recorded(exec);
}

/// What `record` writes of it, `replay` passes over.
fn check_failed(failed: &FailedExec) {
    let line = recording::write_failed_line(failed).expect("every failed exec can be written");
    let read = recording::read_line(&line).expect("what was written is read");
    assert!(read.is_none());
}

/// What `record` writes of it, `replay` reads.
fn check_recorded(exec: &Exec) {
    let line = recording::write_line(exec).expect("every exec can be written");
    let read = recording::parse_line(&line).expect("what was written is read");
    assert_eq!(read.time.wall_ns, exec.time.wall_ns);
    assert_eq!(read.guid(), exec.guid());
    assert_eq!((read.process, read.parent), (exec.process, exec.parent));
    assert_eq!((&read.exe, &read.parent_exe), (&exec.exe, &exec.parent_exe));
    assert!(read.argv.arguments().eq(exec.argv.arguments()));
}
