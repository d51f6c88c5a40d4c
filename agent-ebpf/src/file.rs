//! What is known of an open file besides its path. By plain loads: a dozen of those cost less than one
//! helper.

use wallwatch_common::{ExecFlags, ExecRecord, Member};

use crate::task::{has, load, offset, read};

/// Inode number and device of an open file; zeros where the kernel lacks a member.
///
/// # Safety
/// `file` is a `file` the verifier knows by type.
#[inline(always)]
pub(crate) unsafe fn identity(file: *const u8) -> (u64, u32) {
    if !has([
        Member::FileInode,
        Member::InodeIno,
        Member::InodeSb,
        Member::SuperBlockDev,
    ]) {
        return (0, 0);
    }
    // SAFETY: every load is from the file, or from a pointer that a plain load gave.
    unsafe {
        let inode: *const u8 = load(file, Member::FileInode);
        let super_block: *const u8 = load(inode, Member::InodeSb);
        (
            load(inode, Member::InodeIno),
            load(super_block, Member::SuperBlockDev),
        )
    }
}

/// Enters that nothing is known of the new program's file.
#[inline(always)]
pub(crate) fn forget(record: &mut ExecRecord) {
    record.exe_inode = 0;
    record.exe_device = 0;
    record.exe_uid = u32::MAX;
    record.exe_gid = u32::MAX;
    record.exe_mode = 0;
    record.exe_links = 0;
    record.exe_change_s = 0;
    record.exe_change_ns = 0;
}

/// Enters identity, owner, mode, links, change time and layer of the new program's file.
///
/// # Safety
/// `file` is a `file` the verifier knows by type.
#[inline(always)]
pub(crate) unsafe fn describe(record: &mut ExecRecord, file: *const u8) {
    forget(record);
    // SAFETY: by the caller's promise.
    (record.exe_inode, record.exe_device) = unsafe { identity(file) };
    if !has([
        Member::FileInode,
        Member::InodeUid,
        Member::InodeGid,
        Member::InodeMode,
        Member::InodeNlink,
        Member::InodeCtimeSec,
        Member::InodeCtimeNsec,
    ]) {
        return;
    }
    // SAFETY: every load is from the file, or from a pointer that a plain load gave.
    unsafe {
        let inode: *const u8 = load(file, Member::FileInode);
        record.exe_uid = load(inode, Member::InodeUid);
        record.exe_gid = load(inode, Member::InodeGid);
        record.exe_mode = load(inode, Member::InodeMode);
        record.exe_links = load(inode, Member::InodeNlink);
        record.exe_change_s = load(inode, Member::InodeCtimeSec);
        // `tv_nsec` is a long, of which this is the lower half: both targets are little-endian.
        record.exe_change_ns = load(inode, Member::InodeCtimeNsec);
        if is_upper(inode) {
            record.flags |= ExecFlags::EXE_UPPER;
        }
    }
}

/// Whether an inode of an overlay has a file in the upper layer: `__upperdentry` stands behind the
/// `vfs_inode` of a `struct ovl_inode` (`fs/overlayfs/ovl_entry.h`), whose type is in a module's BTF.
///
/// # Safety
/// `inode` is an `inode` the verifier knows by type.
#[inline(always)]
unsafe fn is_upper(inode: *const u8) -> bool {
    /// `OVERLAYFS_SUPER_MAGIC`, `include/uapi/linux/magic.h`.
    const OVERLAY: u64 = 0x794c_7630;
    if !has([Member::InodeSb, Member::SuperBlockMagic, Member::InodeBytes]) {
        return false;
    }
    // SAFETY: by the caller's promise, and a plain load gave the pointer.
    let magic: u64 = unsafe {
        let super_block: *const u8 = load(inode, Member::InodeSb);
        load(super_block, Member::SuperBlockMagic)
    };
    magic == OVERLAY
        && read::<u64>(inode as u64 + offset(Member::InodeBytes)).is_some_and(|dentry| dentry != 0)
}
