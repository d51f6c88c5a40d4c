//! The few commands of `bpf(2)` that a measurement needs, and the smallest program there is.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Commands (`enum bpf_cmd`, `include/uapi/linux/bpf.h`).
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_ENABLE_STATS: libc::c_long = 32;

/// The only kind of statistics there is (`BPF_STATS_RUN_TIME`).
const BPF_STATS_RUN_TIME: u32 = 0;

/// `enum bpf_prog_type`, `include/uapi/linux/bpf.h`.
const BPF_PROG_TYPE_RAW_TRACEPOINT: u32 = 17;

/// `r0 = 0`, `exit`: code, registers, offset (two bytes), value (four).
const EMPTY: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// A program of two instructions that runs at every exec and does nothing, for as long as this lives:
/// the least that any sensor of this kind costs.
pub(crate) struct EmptyProgram {
    /// Detaches when it is closed.
    _attachment: OwnedFd,
}

impl EmptyProgram {
    pub(crate) fn attach() -> io::Result<Self> {
        let license = c"GPL";
        let [instructions_0, instructions_1] = words(EMPTY.as_ptr() as u64);
        let [license_0, license_1] = words(license.as_ptr() as u64);
        let program = descriptor(
            BPF_PROG_LOAD,
            &mut [
                BPF_PROG_TYPE_RAW_TRACEPOINT,
                EMPTY.len() as u32,
                instructions_0,
                instructions_1,
                license_0,
                license_1,
            ],
        )?;
        let [name_0, name_1] = words(c"sched_process_exec".as_ptr() as u64);
        let attachment = descriptor(
            BPF_RAW_TRACEPOINT_OPEN,
            &mut [name_0, name_1, program.as_raw_fd().cast_unsigned(), 0],
        )?;
        Ok(Self {
            _attachment: attachment,
        })
    }
}

/// Has the kernel take the time of each program's runs, for as long as the descriptor is open.
pub(crate) fn enable_statistics() -> io::Result<OwnedFd> {
    descriptor(BPF_ENABLE_STATS, &mut [BPF_STATS_RUN_TIME])
}

/// The name under which a program was loaded.
pub(crate) fn program_name(id: u32) -> io::Result<String> {
    let program = descriptor(BPF_PROG_GET_FD_BY_ID, &mut [id, 0, 0])?;
    // The first fields of `struct bpf_prog_info`, up to and with `name`.
    let mut info = [0_u8; 80];
    let [info_0, info_1] = words(info.as_mut_ptr() as u64);
    let number = program.as_raw_fd().cast_unsigned();
    let mut attribute = [number, info.len() as u32, info_0, info_1];
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attribute)?;
    let name = CStr::from_bytes_until_nul(&info[64..]).unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// An address as two words of an attribute.
fn words(address: u64) -> [u32; 2] {
    let [low, high] = [address as u32, (address >> 32) as u32];
    if cfg!(target_endian = "little") {
        [low, high]
    } else {
        [high, low]
    }
}

/// A command that makes a descriptor.
fn descriptor(command: libc::c_long, attribute: &mut [u32]) -> io::Result<OwnedFd> {
    let number = i32::try_from(bpf(command, attribute)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it for this process, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `bpf(2)`, for commands whose attributes begin with the words given and are 0 beyond.
fn bpf(command: libc::c_long, attribute: &mut [u32]) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are as long as is said, and outlive the call; what they point to does as
    // well and has room for what the caller says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attribute.as_mut_ptr(),
            size_of_val(attribute),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_two_words_in_the_order_of_this_machine() {
        let [first, second] = words(0x1122_3344_5566_7788);
        let mut bytes = first.to_ne_bytes().to_vec();
        bytes.extend(second.to_ne_bytes());
        assert_eq!(bytes, 0x1122_3344_5566_7788_u64.to_ne_bytes());
    }
}
