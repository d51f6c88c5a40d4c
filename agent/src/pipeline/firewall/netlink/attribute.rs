//! Netlink attributes: length, type, value, padded to four bytes (`struct nlattr`,
//! `include/uapi/linux/netlink.h`).

use netlink_packet_core::{NlaBuffer, NlasIterator};

/// Most attributes that are looked at in one nest. The kernel puts at most 65,535 bytes into a nest, of four
/// or more bytes each; this bounds the work for bytes that are not the kernel's.
const ATTRIBUTES_MAX: usize = 16_384;

/// The attributes of one message or of one nest.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Type and value of each, in their order. It ends at the first that does not fit into the bytes.
    pub(super) fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        NlasIterator::new(self.0)
            .map_while(Result::ok)
            .take(ATTRIBUTES_MAX)
            .filter_map(|attribute| Some((attribute.kind(), value(attribute)?)))
    }

    /// The value of the first of that type.
    pub(super) fn bytes(self, kind: u16) -> Option<&'a [u8]> {
        let mut all = self.iter();
        all.find_map(|(found, value)| (found == kind).then_some(value))
    }

    pub(super) fn nested(self, kind: u16) -> Option<Self> {
        self.bytes(kind).map(Self)
    }

    /// Numbers of nf_tables are big-endian.
    pub(super) fn u32(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(kind)?.try_into().ok()?))
    }

    pub(super) fn u64(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.bytes(kind)?.try_into().ok()?))
    }

    /// A name, without the NUL that ends it and whatever follows that.
    pub(super) fn name(self, kind: u16) -> Option<Vec<u8>> {
        self.bytes(kind).map(until_nul)
    }
}

/// The value with the lifetime of the bytes; the buffer's own accessor has that of the buffer.
fn value(attribute: NlaBuffer<&[u8]>) -> Option<&[u8]> {
    let length = usize::from(attribute.length());
    attribute.into_inner().get(4..length)
}

/// What stands before the first NUL.
pub(in crate::pipeline::firewall) fn until_nul(bytes: &[u8]) -> Vec<u8> {
    let mut parts = bytes.split(|&byte| byte == 0);
    parts.next().unwrap_or_default().to_vec()
}
