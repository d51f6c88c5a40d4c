//! What the parent was when its path was looked for. The verifier's own pointers cannot be kept from one
//! program to the next; these are numbers, good for nothing but to be compared.

use wallwatch_common::{Member, SCRATCH_BYTES};

use crate::task::load;

/// The parent of a task at one moment: the task, and its executable.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) task: u64,
    mm: u64,
    /// 0 where there is none.
    pub(crate) file: u64,
}

/// Words of the scratch, behind all that a record can fill: the parent that was identified, and the three of
/// [`Seen`].
#[derive(Clone, Copy)]
pub(crate) struct Parent(*mut u64);

const PARENT_AT: usize = SCRATCH_BYTES - 192;

impl Parent {
    #[inline(always)]
    pub(crate) fn of(scratch: *mut u8) -> Self {
        // SAFETY: the scratch is larger than `PARENT_AT`, which is a multiple of 8.
        Self(unsafe { scratch.add(PARENT_AT).cast() })
    }

    /// Reads it from the kernel.
    ///
    /// # Safety
    /// `task` is a task the verifier knows by type.
    #[inline(always)]
    pub(crate) unsafe fn load(task: *const u8) -> Seen {
        // SAFETY: every load is from the task, or from a pointer that a plain load gave and that is not
        // null.
        unsafe {
            let parent: *const u8 = load(task, Member::TaskRealParent);
            let mm: *const u8 = load(parent, Member::TaskMm);
            let mut file = 0;
            if !mm.is_null() {
                file = load::<u64>(mm, Member::MmExeFile);
            }
            Seen {
                task: parent as u64,
                mm: mm as u64,
                file,
            }
        }
    }

    /// The task whose ids the record has.
    #[inline(always)]
    pub(crate) fn identify(self, task: u64) {
        self.put(0, task);
    }

    #[inline(always)]
    pub(crate) fn identified(self) -> u64 {
        self.get(0)
    }

    #[inline(always)]
    pub(crate) fn keep(self, seen: Seen) {
        self.put(1, seen.task);
        self.put(2, seen.mm);
        self.put(3, seen.file);
    }

    /// Whether nothing has changed since [`keep`](Self::keep).
    #[inline(always)]
    pub(crate) fn is(self, now: Seen) -> bool {
        self.get(1) == now.task && self.get(2) == now.mm && self.get(3) == now.file
    }

    #[inline(always)]
    fn get(self, word: usize) -> u64 {
        // SAFETY: the memory has room for eight words.
        unsafe { self.0.add(word).read_volatile() }
    }

    #[inline(always)]
    fn put(self, word: usize, value: u64) {
        // SAFETY: as in `get`.
        unsafe { self.0.add(word).write_volatile(value) }
    }
}
