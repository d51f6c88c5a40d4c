//! Whether what stands on the disk is the agent's own word.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Whether nobody else owns it or may write it: what is read there is shown as evidence.
pub fn is_own(metadata: &Metadata) -> bool {
    metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & WRITABLE_BY_OTHERS == 0
}
