//! The path of a file: a walk over dentries and mounts, up to the root of the mount namespace.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use wallwatch_common::{
    COMPONENT_BYTES_MAX, Member, PATH_BYTES_MAX, PathState, SCRATCH_BYTES, SECTIONS_BYTES_MAX,
};

use crate::task::{has, load, offset, read};

/// Where a walk stands, and what it found. It is kept in the scratch's own memory and not in registers, for
/// two reasons. The verifier forgets what it knew of a value that went through a map, so that the many ends
/// of a walk look the same to it and what follows is checked once, not once for each end. And a walk that is
/// out of steps goes on in another program.
#[derive(Clone, Copy)]
pub(crate) struct Walk(*mut u64);

/// Steps that a walk takes while the dentries are known by type. More would be one more check of the verifier
/// each; a path that is deeper, or crosses a mount, goes on by helpers.
const NEAR_STEPS: usize = 12;

/// The memory of a walk lies at the end of the scratch, behind all that a record can fill.
const WALK_MEMORY_AT: usize = SCRATCH_BYTES - 128;

/// Words of that memory. Where the section begins, and where the next component goes.
const BEGIN: usize = 0;
const END: usize = 1;
/// A [`PathState`], or [`OUT_OF_STEPS`].
const STATE: usize = 2;
/// Whether the file has been removed from its directory; whether it stands in none.
const DELETED: usize = 3;
const PSEUDO: usize = 4;
/// Where the walk stands.
const DENTRY: usize = 5;
const MOUNT: usize = 6;
const MOUNT_ROOT: usize = 7;

const OUT_OF_STEPS: u64 = u64::MAX;

impl Walk {
    /// The walk of this scratch, wherever it stands.
    #[inline(always)]
    pub(crate) fn of(scratch: *mut u8) -> Self {
        // SAFETY: the scratch is larger than `WALK_MEMORY_AT`, which is a multiple of 8.
        Self(unsafe { scratch.add(WALK_MEMORY_AT).cast() })
    }

    /// A walk that finds nothing, for `state`'s reason.
    #[inline(always)]
    pub(crate) fn none(scratch: *mut u8, at: usize, state: PathState) -> Self {
        let walk = Self::of(scratch);
        walk.put(BEGIN, at as u64);
        walk.put(END, at as u64);
        walk.put(STATE, state as u64);
        walk.put(DELETED, 0);
        walk.put(PSEUDO, 0);
        walk
    }

    /// A walk that puts the components of the path of `file` to `at`. It takes its first steps at once, up
    /// to the root of the mount if that is near: while the verifier knows each dentry by type, a step costs
    /// one helper instead of three.
    ///
    /// # Safety
    /// `file` is a `file` the verifier knows by type.
    #[inline(always)]
    pub(crate) unsafe fn begin(scratch: *mut u8, at: usize, file: *const u8) -> Self {
        let walk = Self::none(scratch, at, PathState::Fault);
        // SAFETY: every load is from the file, or from a pointer that a plain load gave.
        let (vfsmount, mut dentry, mount_root) = unsafe {
            let path = offset(Member::FilePath) as usize;
            let vfsmount: *const u8 = load(file.add(path), Member::PathMnt);
            let dentry: *const u8 = load(file.add(path), Member::PathDentry);
            let mount_root: u64 = load(vfsmount, Member::VfsmountRoot);
            (vfsmount as u64, dentry, mount_root)
        };
        walk.put(MOUNT, vfsmount - offset(Member::MountMnt));
        walk.put(MOUNT_ROOT, mount_root);
        walk.put(STATE, OUT_OF_STEPS);
        if dentry as u64 != mount_root && has([Member::DentryHash]) {
            // SAFETY: a plain load gave the dentry.
            let chained: u64 = unsafe { load(dentry, Member::DentryHash) };
            walk.put(DELETED, (chained == 0) as u64);
        }
        let mut step = 0;
        while step < NEAR_STEPS {
            step += 1;
            if dentry as u64 == mount_root {
                break;
            }
            // SAFETY: a plain load gave the dentry.
            let Some(parent) = (unsafe { near_step(walk, scratch, dentry) }) else {
                break;
            };
            dentry = parent;
        }
        walk.put(DENTRY, dentry as u64);
        walk
    }

    /// Whether it would go on if it were given more steps.
    #[inline(always)]
    pub(crate) fn is_out_of_steps(self) -> bool {
        self.get(STATE) == OUT_OF_STEPS
    }

    /// Where the section begins.
    #[inline(always)]
    pub(crate) fn at(self) -> usize {
        self.get(BEGIN) as usize & (SECTIONS_BYTES_MAX - 1)
    }

    /// Where it ends.
    #[inline(always)]
    pub(crate) fn end(self) -> usize {
        self.get(END) as usize & (SECTIONS_BYTES_MAX - 1)
    }

    /// A [`PathState`]. A walk that was not brought to its end has not finished.
    #[inline(always)]
    pub(crate) fn state(self) -> u8 {
        if self.is_out_of_steps() {
            return PathState::Unfinished as u8;
        }
        self.get(STATE) as u8
    }

    #[inline(always)]
    pub(crate) fn set_state(self, state: PathState) {
        self.put(STATE, state as u64);
    }

    #[inline(always)]
    pub(crate) fn deleted(self) -> bool {
        self.get(DELETED) != 0
    }

    #[inline(always)]
    pub(crate) fn pseudo(self) -> bool {
        self.get(PSEUDO) != 0
    }

    #[inline(always)]
    fn get(self, word: usize) -> u64 {
        // SAFETY: the memory has room for eight words. Volatile, or the value would stay in a register.
        unsafe { self.0.add(word).read_volatile() }
    }

    #[inline(always)]
    fn put(self, word: usize, value: u64) {
        // SAFETY: as in `get`.
        unsafe { self.0.add(word).write_volatile(value) }
    }
}

/// Enters the name of a dentry that the verifier knows by type; its parent. `None` when that is for
/// [`go_on`] to judge, which stands at the same dentry again, or when the walk is over.
///
/// # Safety
/// A plain load gave the dentry.
#[inline(always)]
unsafe fn near_step(walk: Walk, scratch: *mut u8, dentry: *const u8) -> Option<*const u8> {
    if !has([Member::DentrySeq]) {
        return None;
    }
    // SAFETY: by the caller's promise.
    let (before, parent, name): (u32, *const u8, u64) = unsafe {
        (
            load(dentry, Member::DentrySeq),
            load(dentry, Member::DentryParent),
            load(dentry, Member::DentryName),
        )
    };
    if parent == dentry {
        return None;
    }
    let Some(end) = append_name(scratch, walk.end(), name) else {
        walk.set_state(PathState::Fault);
        return None;
    };
    // SAFETY: by the caller's promise.
    let after: u32 = unsafe { load(dentry, Member::DentrySeq) };
    if before % 2 == 1 || before != after {
        walk.set_state(PathState::Changed);
        return None;
    }
    walk.put(END, end as u64);
    Some(parent)
}

/// What the walk reads of a `dentry`.
#[derive(Clone, Copy)]
struct Links {
    /// Odd while the dentry is renamed or moved, and another one afterwards (`d_seq`).
    sequence: u32,
    parent: u64,
    name: u64,
}

/// Takes at most `STEPS` steps, if the walk is not at its end yet.
///
/// The state is `Known` only when the walk came to the root of a mount namespace; whatever else
/// happens, the section must not be taken for a path.
#[inline(always)]
pub(crate) fn go_on<const STEPS: usize>(walk: Walk, scratch: *mut u8) {
    if !walk.is_out_of_steps() {
        return;
    }
    match try_steps::<STEPS>(walk, scratch) {
        Some(Outcome::End(state)) => walk.set_state(state),
        Some(Outcome::OutOfSteps) => {}
        None => walk.set_state(PathState::Fault),
    }
}

enum Outcome {
    End(PathState),
    OutOfSteps,
}

/// `None` when a read failed.
#[inline(always)]
fn try_steps<const STEPS: usize>(walk: Walk, scratch: *mut u8) -> Option<Outcome> {
    let at = walk.at();
    let mut dentry = walk.get(DENTRY);
    let mut mount = walk.get(MOUNT);
    let mut mount_root = walk.get(MOUNT_ROOT);
    let mut step = 0;
    while step < STEPS {
        step += 1;
        if dentry == mount_root {
            let parent = read::<u64>(mount + offset(Member::MountParent))?;
            if parent == mount {
                return root_state(mount).map(Outcome::End);
            }
            dentry = read::<u64>(mount + offset(Member::MountMountpoint))?;
            mount_root =
                read::<u64>(parent + offset(Member::MountMnt) + offset(Member::VfsmountRoot))?;
            mount = parent;
            continue;
        }
        let links = links(dentry)?;
        let end = walk.end();
        if end - at > PATH_BYTES_MAX {
            return Some(Outcome::End(PathState::Unfinished));
        }
        walk.put(END, append_name(scratch, end, links.name)? as u64);
        if links.sequence % 2 == 1 || links.sequence != sequence(dentry)? {
            return Some(Outcome::End(PathState::Changed));
        }
        if links.parent == dentry {
            // A root that is not its mount's: at the first component the file has no directory (a memfd),
            // later the directory was moved out of the mount.
            if end != at {
                return Some(Outcome::End(PathState::Detached));
            }
            walk.put(PSEUDO, 1);
            walk.put(DELETED, 0);
            return Some(Outcome::End(PathState::Known));
        }
        dentry = links.parent;
    }
    walk.put(DENTRY, dentry);
    walk.put(MOUNT, mount);
    walk.put(MOUNT_ROOT, mount_root);
    Some(Outcome::OutOfSteps)
}

/// Copies one component, with its NUL; returns where it ends.
#[inline(always)]
fn append_name(scratch: *mut u8, at: usize, name: u64) -> Option<usize> {
    let at = at & (SECTIONS_BYTES_MAX - 1);
    // SAFETY: `at` is below `SECTIONS_BYTES_MAX`, and the scratch goes on for longer than a component
    // after that.
    let target = unsafe { scratch.add(at) };
    // SAFETY: the helper writes at most `COMPONENT_BYTES_MAX` bytes, or fails.
    let length = unsafe {
        bpf_probe_read_kernel_str(target.cast(), COMPONENT_BYTES_MAX as u32, name as *const _)
    };
    if length <= 0 {
        return None;
    }
    Some(at + (length as usize & (2 * COMPONENT_BYTES_MAX - 1)))
}

/// One read where the members stand as they have since Linux 5.10 at the latest: flags and sequence, two
/// words of the hash chain, the parent, hash and length of the name, the name.
#[inline(always)]
fn links(dentry: u64) -> Option<Links> {
    if offset(Member::DentrySeq) == 4
        && offset(Member::DentryParent) == 24
        && offset(Member::DentryName) == 40
    {
        let words = read::<[u64; 6]>(dentry)?;
        return Some(Links {
            sequence: upper_half(words[0]),
            parent: words[3],
            name: words[5],
        });
    }
    Some(Links {
        sequence: sequence(dentry)?,
        parent: read(dentry + offset(Member::DentryParent))?,
        name: read(dentry + offset(Member::DentryName))?,
    })
}

/// The four bytes behind the first four.
#[inline(always)]
fn upper_half(word: u64) -> u32 {
    let [_, _, _, _, a, b, c, d] = word.to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

/// `d_seq`; without it a rename during the walk goes unnoticed.
#[inline(always)]
fn sequence(dentry: u64) -> Option<u32> {
    if !has([Member::DentrySeq]) {
        return Some(0);
    }
    read(dentry + offset(Member::DentrySeq))
}

/// The walk stands at a mount which is its own parent: the root of a namespace, or of a tree that hangs in
/// no namespace. `umount -l` takes the namespace away (`umount_tree`, `fs/namespace.c`); `fsmount` and
/// `open_tree` give an anonymous one, whose inode number is 0 or, lately, `MNT_NS_ANON_INO`
/// (`include/uapi/linux/nsfs.h`).
#[inline(always)]
fn root_state(mount: u64) -> Option<PathState> {
    const MNT_NS_ANON_INO: u32 = 0xefff_fff7;
    if !has([Member::MountNs, Member::MntNsInum]) {
        return Some(PathState::Known);
    }
    let namespace = read::<u64>(mount + offset(Member::MountNs))?;
    if namespace == 0 {
        return Some(PathState::Detached);
    }
    match read::<u32>(namespace + offset(Member::MntNsInum)) {
        Some(0 | MNT_NS_ANON_INO) => Some(PathState::Detached),
        Some(_) => Some(PathState::Known),
        // The kernel's own mounts have an error in the place of a namespace.
        None => Some(PathState::Detached),
    }
}
