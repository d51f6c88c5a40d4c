//! The smallest program worth an exec: an ELF file that exits at once, made without a compiler.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Machine code of `exit_group(0)`, and the ELF machine number it is for.
#[cfg(target_arch = "x86_64")]
const CODE: (&[u8], u16) = (&[0x31, 0xff, 0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05], 62);
#[cfg(target_arch = "aarch64")]
const CODE: (&[u8], u16) = (
    &[0, 0, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4],
    183,
);

/// Writes the program to `path`, executable.
pub(crate) fn write(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(path)?;
    file.write_all(&image())
}

/// Header, one program header, code (System V ABI, chapter 4 and 5), loaded at 4 MiB.
fn image() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let (code, machine) = CODE;
    let size = HEADERS + code.len() as u64;
    let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |image: &mut Vec<u8>, value: u16| image.extend_from_slice(&value.to_le_bytes());
    half(&mut image, 2);
    half(&mut image, machine);
    image.extend_from_slice(&1u32.to_le_bytes());
    for value in [BASE + HEADERS, 64, 0] {
        image.extend_from_slice(&value.to_le_bytes());
    }
    image.extend_from_slice(&0u32.to_le_bytes());
    for value in [64, 56, 1, 0, 0, 0] {
        half(&mut image, value);
    }
    image.extend_from_slice(&1u32.to_le_bytes());
    image.extend_from_slice(&5u32.to_le_bytes());
    for value in [0, BASE, BASE, size, size, 0x1000] {
        image.extend_from_slice(&value.to_le_bytes());
    }
    image.extend_from_slice(code);
    image
}
