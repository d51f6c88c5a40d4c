//! The wire between the kernel programs and the agent: record layout, limits, counters and the
//! kernel members whose offsets the agent resolves. `no_std`, no logic, no dependencies.
//!
//! One record in a ring buffer:
//!
//! ```text
//! ┌──────────────┬───────────────────────┬──────────┬────────┬──────────┬─────────────┬──────┐
//! │ RecordHeader │ rest of ExecRecord    │ filename │ interp │ exe path │ parent path │ argv │
//! └──────────────┴───────────────────────┴──────────┴────────┴──────────┴─────────────┴──────┘
//! └ other records end here or after their own fixed part ┘
//! ```
//!
//! The five sections follow each other without gaps; `ExecRecord` holds the length of each.
//! Integers are in the byte order of the machine, for the record never leaves it.
//!
//! * `filename` and `interp` are C strings, with their NUL.
//! * A path section holds the components of a path **leaf first**, each with its NUL, as a walk
//!   from the dentry to the root finds them.
//! * `argv` is the memory between `mm->arg_start` and `mm->arg_end`: arguments with their NULs.

#![no_std]

mod counter;
mod limits;
mod member;
mod record;

pub use counter::Counter;
pub use limits::{
    ARGV_BYTES_MAX, ARGV_CHUNK_BYTES, ARGV_CHUNKS_PER_RUN, CGROUP_STEPS, CGROUPS_MAX,
    COMPONENT_BYTES_MAX, FAILED_ARGUMENTS_MAX, FAILED_ARGV_BYTES_MAX, FAILED_SCRATCH_BYTES,
    FILENAME_BYTES_MAX, INTERP_BYTES_MAX, NAME_KEY_BYTES, PATH_BYTES_MAX, PATH_STEPS,
    SCRATCH_BYTES, SECTIONS_BYTES_MAX, SHARES,
};
pub use member::{ABSENT, MEMBERS, Member, MemberSpec};
pub use record::{
    ArgvChunk, CgroupRecord, ExecFlags, ExecRecord, ExitRecord, FailedExecFlags, FailedExecRecord,
    ForkRecord, LostExecs, PathState, RECORD_VERSION, RecordHeader, RecordKind, XTABLES_NAME_BYTES,
    XtablesReplaceRecord,
};
