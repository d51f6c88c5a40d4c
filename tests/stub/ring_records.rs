//! Ring buffer records, laid out as the kernel programs lay them out. For those who feed the decoder
//! without a kernel.

use std::mem::offset_of;

use wallwatch_common::{
    ExecRecord, ExitRecord, ForkRecord, PathState, RECORD_VERSION, RecordHeader, RecordKind,
};

/// Where all files are: 8:1.
const DEVICE: u32 = 8 << 20 | 1;

/// A process for the whole of its life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) tgid: u32,
    pub(crate) start_ns: u64,
}

/// What varies between the records of execs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exec<'a> {
    pub(crate) process: Process,
    pub(crate) parent: Process,
    pub(crate) filename: &'a str,
    pub(crate) exe: &'a str,
    pub(crate) parent_exe: &'a str,
    pub(crate) argv: &'a [&'a str],
}

/// The record of an exec at `time_ns` of boot time.
pub(crate) fn exec(time_ns: u64, exec: &Exec<'_>) -> Vec<u8> {
    let argv: Vec<u8> = exec.argv.iter().flat_map(|text| c_string(text)).collect();
    let sections = [
        c_string(exec.filename),
        Vec::new(),
        leaf_first(exec.exe),
        leaf_first(exec.parent_exe),
        argv,
    ];
    let mut record = vec![0; size_of::<ExecRecord>()];
    let mut put = |at: usize, value: &[u8]| record[at..at + value.len()].copy_from_slice(value);
    put(
        offset_of!(ExecRecord, start_ns),
        &exec.process.start_ns.to_ne_bytes(),
    );
    put(
        offset_of!(ExecRecord, parent_start_ns),
        &exec.parent.start_ns.to_ne_bytes(),
    );
    put(
        offset_of!(ExecRecord, exe_inode),
        &inode(exec.exe).to_ne_bytes(),
    );
    put(
        offset_of!(ExecRecord, parent_inode),
        &inode(exec.parent_exe).to_ne_bytes(),
    );
    for (at, value) in [
        (offset_of!(ExecRecord, exe_device), DEVICE),
        (offset_of!(ExecRecord, parent_device), DEVICE),
        (offset_of!(ExecRecord, tgid), exec.process.tgid),
        (offset_of!(ExecRecord, tid), exec.process.tgid),
        (offset_of!(ExecRecord, parent_tgid), exec.parent.tgid),
        (offset_of!(ExecRecord, login_uid), u32::MAX),
        (offset_of!(ExecRecord, session_id), u32::MAX),
    ] {
        put(at, &value.to_ne_bytes());
    }
    let lengths = [
        offset_of!(ExecRecord, filename_bytes),
        offset_of!(ExecRecord, interp_bytes),
        offset_of!(ExecRecord, exe_path_bytes),
        offset_of!(ExecRecord, parent_path_bytes),
        offset_of!(ExecRecord, argv_bytes),
    ];
    for (at, section) in lengths.into_iter().zip(&sections) {
        put(at, &(section.len() as u32).to_ne_bytes());
    }
    put(
        offset_of!(ExecRecord, argv_bytes_full),
        &(sections[4].len() as u64).to_ne_bytes(),
    );
    put(offset_of!(ExecRecord, exe_state), &[PathState::Known as u8]);
    put(
        offset_of!(ExecRecord, parent_state),
        &[PathState::Known as u8],
    );
    let comm = exec.exe.rsplit('/').next().unwrap_or_default();
    let comm = &comm.as_bytes()[..comm.len().min(15)];
    put(offset_of!(ExecRecord, comm), comm);
    record.extend(sections.into_iter().flatten());
    with_header(record, RecordKind::Exec, time_ns)
}

/// The record of a new process.
pub(crate) fn fork(time_ns: u64, process: Process, creator: Process) -> Vec<u8> {
    let mut record = vec![0; size_of::<ForkRecord>()];
    let mut put = |at: usize, value: &[u8]| record[at..at + value.len()].copy_from_slice(value);
    put(
        offset_of!(ForkRecord, start_ns),
        &process.start_ns.to_ne_bytes(),
    );
    put(
        offset_of!(ForkRecord, creator_start_ns),
        &creator.start_ns.to_ne_bytes(),
    );
    put(offset_of!(ForkRecord, tgid), &process.tgid.to_ne_bytes());
    put(
        offset_of!(ForkRecord, creator_tgid),
        &creator.tgid.to_ne_bytes(),
    );
    with_header(record, RecordKind::Fork, time_ns)
}

/// The record of the end of a process.
pub(crate) fn exit(time_ns: u64, process: Process) -> Vec<u8> {
    let mut record = vec![0; size_of::<ExitRecord>()];
    let mut put = |at: usize, value: &[u8]| record[at..at + value.len()].copy_from_slice(value);
    put(
        offset_of!(ExitRecord, start_ns),
        &process.start_ns.to_ne_bytes(),
    );
    put(offset_of!(ExitRecord, tgid), &process.tgid.to_ne_bytes());
    with_header(record, RecordKind::Exit, time_ns)
}

fn with_header(mut record: Vec<u8>, kind: RecordKind, time_ns: u64) -> Vec<u8> {
    let bytes = record.len() as u32;
    let mut put = |at: usize, value: &[u8]| record[at..at + value.len()].copy_from_slice(value);
    put(offset_of!(RecordHeader, time_ns), &time_ns.to_ne_bytes());
    put(offset_of!(RecordHeader, bytes), &bytes.to_ne_bytes());
    put(offset_of!(RecordHeader, kind), &[kind as u8]);
    put(offset_of!(RecordHeader, version), &[RECORD_VERSION]);
    record
}

/// The same for the same path, and hardly for another.
fn inode(path: &str) -> u64 {
    path.bytes()
        .fold(1, |sum, byte| sum * 31 % 1_000_003 + u64::from(byte))
}

fn c_string(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// `/usr/bin/dash` as a walk from the leaf finds it.
fn leaf_first(path: &str) -> Vec<u8> {
    let components = path.split('/').filter(|name| !name.is_empty());
    components.rev().flat_map(c_string).collect()
}
