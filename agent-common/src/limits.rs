//! Bounds of what one record can carry, each with the reason for its number.

/// Most bytes of argv that an exec record carries, NULs included: 32 KiB. The rest follows in chunks.
pub const ARGV_BYTES_MAX: usize = 32 * 1024;

/// Bytes of argv in one chunk.
pub const ARGV_CHUNK_BYTES: usize = 16 * 1024;

/// Chunks that one run of a program sends before it calls itself again. With 32 tail calls
/// (`MAX_TAIL_CALL_CNT`, `include/linux/bpf.h`) that is 6 MiB, the most that a command line can have
/// whatever the limit of its stack; with the usual 8 MiB of stack it is 2 MiB (`bprm_stack_limits`,
/// `fs/exec.c`).
pub const ARGV_CHUNKS_PER_RUN: usize = 12;

/// Most bytes of the file name handed to `execve`, NUL included: `PATH_MAX`, the kernel's own bound
/// (`getname_flags`, `fs/namei.c`).
pub const FILENAME_BYTES_MAX: usize = 4096;

/// Most bytes of a `#!` interpreter's name, NUL included: `BINPRM_BUF_SIZE`
/// (`include/uapi/linux/binfmts.h`).
pub const INTERP_BYTES_MAX: usize = 256;

/// Most bytes of a path: `PATH_MAX`. One may be longer when it was built by relative steps; then its state
/// is [`Unfinished`](crate::PathState::Unfinished).
pub const PATH_BYTES_MAX: usize = 4096;

/// Most bytes of one path component, NUL included: `NAME_MAX` and one more
/// (`include/uapi/linux/limits.h`).
pub const COMPONENT_BYTES_MAX: usize = 256;

/// Steps of a path walk in one run of a program; a component is a step and a mount crossed is a step. Nearly
/// every path is done by then; for a deeper one the program calls itself, at most 32 times in all
/// (`MAX_TAIL_CALL_CNT`, `include/linux/bpf.h`). A path of `PATH_MAX` with names of one letter has 2048.
pub const PATH_STEPS: usize = 128;

/// Where argv begins at the latest: all that stands before it, rounded up to a power of two so that
/// the verifier can bound it with a mask.
pub const SECTIONS_BYTES_MAX: usize = 16 * 1024;

/// Bytes of the buffer in which a processor assembles an exec record.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// Bytes of a key in the map of urgent names: the leading ASCII letters of an executable's
/// basename, zero padded. `python3.11` and `ld-linux-x86-64.so.2` become `python` and `ld`.
pub const NAME_KEY_BYTES: usize = 16;

/// Shares among which the room in a ring is divided; none may hold more than half of it. A share is that of
/// the cgroup and audit session in which an exec happens, by a hash: two of them may have the same.
pub const SHARES: usize = 1024;

/// Cgroups whose path the kernel programs remember to have sent; of another one it is sent again.
pub const CGROUPS_MAX: u32 = 4096;

/// Components of a cgroup's path that are followed. systemd and the container runtimes stay below ten.
pub const CGROUP_STEPS: usize = 32;

/// Most bytes of argv, NULs included, that the record of a failed exec carries. It tells what was tried;
/// no rule is applied to it.
pub const FAILED_ARGV_BYTES_MAX: usize = 4096;

/// Most arguments that the record of a failed exec carries.
pub const FAILED_ARGUMENTS_MAX: usize = 64;

/// Bytes of the buffer in which a processor assembles the record of a failed exec: head, file name, argv,
/// and as much again as one argument can be, for the last is read before it is cut.
pub const FAILED_SCRATCH_BYTES: usize = 20 * 1024;

const _: () = assert!(
    size_of::<crate::FailedExecRecord>() + 2 * FILENAME_BYTES_MAX + 2 * FAILED_ARGV_BYTES_MAX
        <= FAILED_SCRATCH_BYTES
);
const _: () = assert!(FAILED_ARGV_BYTES_MAX.is_power_of_two());

const _: () = assert!(
    size_of::<crate::ExecRecord>()
        + FILENAME_BYTES_MAX
        + INTERP_BYTES_MAX
        + 2 * (PATH_BYTES_MAX + COMPONENT_BYTES_MAX)
        <= SECTIONS_BYTES_MAX
);
const _: () = assert!(SECTIONS_BYTES_MAX + ARGV_BYTES_MAX <= SCRATCH_BYTES);
const _: () = assert!(SECTIONS_BYTES_MAX.is_power_of_two());
