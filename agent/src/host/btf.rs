//! Member offsets from the kernel's own type information, `/sys/kernel/btf/vmlinux`.
//!
//! The format is that of `Documentation/bpf/btf.rst`: a header, a section of types, a section of
//! strings. This reader keeps one `u32` for each type and borrows the rest, where aya's keeps 29 MB
//! of heap alive; it is dropped as soon as the offsets are known.

use wallwatch_common::{ABSENT, MEMBERS, Member, MemberSpec};

/// Offsets of the members that the kernel programs read, in the order of [`Member`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets {
    values: [u32; Member::COUNT],
}

impl Offsets {
    /// Resolves every member from raw BTF.
    pub fn resolve(btf: &[u8]) -> Result<Self, BtfError> {
        let btf = Btf::parse(btf)?;
        let mut values = [ABSENT; Member::COUNT];
        for spec in MEMBERS {
            let found = btf.find(spec);
            if found.is_none() && spec.required {
                return Err(BtfError::MemberMissing {
                    structure: spec.structure,
                    path: spec.path,
                });
            }
            values[spec.member as usize] = found.unwrap_or(ABSENT);
        }
        Ok(Self { values })
    }

    /// As the kernel programs take them: the global `OFFSETS`.
    pub fn as_slice(&self) -> &[u32] {
        &self.values
    }

    /// `structure.member` of everything that this kernel lacks.
    pub fn missing(&self) -> impl Iterator<Item = String> {
        MEMBERS
            .iter()
            .filter(|spec| self.values[spec.member as usize] == ABSENT)
            .map(|spec| format!("{}.{}", spec.structure, spec.path))
    }
}

/// Every member that a kernel lacks, those without which nothing works among them.
pub fn lacking(btf: &[u8]) -> Result<Vec<&'static MemberSpec>, BtfError> {
    let btf = Btf::parse(btf)?;
    let is_lacking = |spec: &&MemberSpec| btf.find(spec).is_none();
    Ok(MEMBERS.iter().filter(is_lacking).collect())
}

/// What is wrong with a kernel's type information.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    #[error("not BTF: magic {found:#06x}, expected 0xeb9f in this machine's byte order")]
    Magic { found: u16 },
    #[error("BTF ends within {what} at byte {at}")]
    Truncated { what: &'static str, at: usize },
    #[error("BTF type {id} is of kind {kind}, which this version does not know")]
    Kind { id: u32, kind: u32 },
    #[error("this kernel has no {structure}.{path}, without which execs cannot be read")]
    MemberMissing {
        structure: &'static str,
        path: &'static str,
    },
}

const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;

/// Longest chain of typedefs and qualifiers that is followed; the kernel's own are below ten.
const CHAIN_MAX: u32 = 32;

/// Most structures that are looked through for one member; in the kernel it is some dozens. Both are bounds,
/// so that damaged data cannot keep the reader busy.
const VISITS_MAX: u32 = 1000;

/// A checked view: every type's position is known and lies within the data.
struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; the index is the type's id less one.
    positions: Vec<u32>,
}

/// The fixed part of one type.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    member_count: u32,
    kind_flag: bool,
    size_or_type: u32,
    /// Where what follows the fixed part begins.
    body: usize,
}

impl<'a> Btf<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        const HEADER: &str = "the header";
        let magic = u16_at(data, 0, HEADER)?;
        if magic != 0xeb9f {
            return Err(BtfError::Magic { found: magic });
        }
        let header_bytes = u32_at(data, 4, HEADER)?;
        let section = |offset_at, length_at, what| {
            let begin = header_bytes as usize + u32_at(data, offset_at, HEADER)? as usize;
            let end = begin + u32_at(data, length_at, HEADER)? as usize;
            data.get(begin..end).ok_or(BtfError::Truncated {
                what,
                at: data.len(),
            })
        };
        let mut btf = Self {
            types: section(8, 12, "the types")?,
            strings: section(16, 20, "the strings")?,
            positions: Vec::new(),
        };
        btf.index()?;
        Ok(btf)
    }

    fn index(&mut self) -> Result<(), BtfError> {
        let mut at = 0;
        while at < self.types.len() {
            let id = self.positions.len() as u32 + 1;
            let r#type = self.type_at(at)?;
            let end = r#type.body + body_bytes(id, r#type.kind, r#type.member_count)?;
            if end > self.types.len() {
                return Err(BtfError::Truncated { what: "a type", at });
            }
            self.positions.push(at as u32);
            at = end;
        }
        Ok(())
    }

    fn type_at(&self, at: usize) -> Result<Type, BtfError> {
        const WHAT: &str = "a type";
        let info = u32_at(self.types, at + 4, WHAT)?;
        Ok(Type {
            name: u32_at(self.types, at, WHAT)?,
            kind: info >> 24 & 0x1f,
            member_count: info & 0xffff,
            kind_flag: info >> 31 == 1,
            size_or_type: u32_at(self.types, at + 8, WHAT)?,
            body: at + 12,
        })
    }

    /// Type 0 is `void` and has no entry.
    fn type_by_id(&self, id: u32) -> Option<Type> {
        let position = self.positions.get(id.checked_sub(1)? as usize)?;
        self.type_at(*position as usize).ok()
    }

    fn name(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or(&[]);
        let end = rest.iter().position(|&byte| byte == 0).unwrap_or(0);
        &rest[..end]
    }

    /// Offset of a member, under whichever of its names the kernel has it.
    fn find(&self, spec: &MemberSpec) -> Option<u32> {
        let mut names = spec.path.split('|');
        names.find_map(|path| self.offset(spec.structure, path))
    }

    /// Bytes from the begin of `structure` to the member at `path`, or the structure's size when
    /// `path` is empty.
    fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        let mut r#type = self.structure(structure)?;
        if path.is_empty() {
            return Some(r#type.size_or_type);
        }
        let mut bits = 0;
        let mut visits = VISITS_MAX;
        for (index, name) in path.split('.').enumerate() {
            if index > 0 {
                // The type of the member before, now to be looked into.
                r#type = self.aggregate(r#type.size_or_type)?;
            }
            let (member_bits, member_type) = self.member(r#type, name.as_bytes(), &mut visits)?;
            bits = u32::checked_add(bits, member_bits)?;
            r#type.size_or_type = member_type;
        }
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// The structure of that name. A kernel may declare it without members elsewhere.
    fn structure(&self, name: &str) -> Option<Type> {
        self.positions
            .iter()
            .filter_map(|&at| self.type_at(at as usize).ok())
            .find(|r#type| {
                r#type.kind == KIND_STRUCT
                    && r#type.member_count > 0
                    && self.name(r#type.name) == name.as_bytes()
            })
    }

    /// Bit offset and type of a member, in the structure itself or in its anonymous members.
    fn member(&self, outer: Type, name: &[u8], visits: &mut u32) -> Option<(u32, u32)> {
        *visits = visits.checked_sub(1)?;
        let members = (0..outer.member_count as usize).filter_map(|index| {
            let at = outer.body + index * 12;
            let name = u32_at(self.types, at, "").ok()?;
            let r#type = u32_at(self.types, at + 4, "").ok()?;
            let offset = u32_at(self.types, at + 8, "").ok()?;
            Some((name, r#type, offset))
        });
        for (member_name, r#type, offset) in members {
            let bits = if outer.kind_flag {
                offset & 0xff_ffff
            } else {
                offset
            };
            if member_name != 0 && self.name(member_name) == name {
                let is_bitfield = outer.kind_flag && offset >> 24 != 0;
                return (!is_bitfield).then_some((bits, r#type));
            }
            if member_name == 0
                && let Some(inner) = self.aggregate(r#type)
                && let Some((inner_bits, r#type)) = self.member(inner, name, visits)
            {
                return Some((bits.checked_add(inner_bits)?, r#type));
            }
        }
        None
    }

    /// The structure or union behind typedefs and qualifiers.
    fn aggregate(&self, mut id: u32) -> Option<Type> {
        for _ in 0..CHAIN_MAX {
            let r#type = self.type_by_id(id)?;
            match r#type.kind {
                KIND_STRUCT | KIND_UNION => return Some(r#type),
                // typedef, volatile, const, restrict, type_tag
                8..=11 | 18 => id = r#type.size_or_type,
                _ => return None,
            }
        }
        None
    }
}

/// Bytes that follow the fixed part of a type (`include/uapi/linux/btf.h`).
fn body_bytes(id: u32, kind: u32, member_count: u32) -> Result<usize, BtfError> {
    let members = member_count as usize;
    match kind {
        // int, var, decl_tag
        1 | 14 | 17 => Ok(4),
        // ptr, fwd, typedef, volatile, const, restrict, func, float, type_tag
        2 | 7..=12 | 16 | 18 => Ok(0),
        // array
        3 => Ok(12),
        // struct, union, datasec, enum64
        KIND_STRUCT | KIND_UNION | 15 | 19 => Ok(members * 12),
        // enum, func_proto
        6 | 13 => Ok(members * 8),
        _ => Err(BtfError::Kind { id, kind }),
    }
}

fn u16_at(data: &[u8], at: usize, what: &'static str) -> Result<u16, BtfError> {
    let bytes = data.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(u16::from_ne_bytes)
        .ok_or(BtfError::Truncated { what, at })
}

fn u32_at(data: &[u8], at: usize, what: &'static str) -> Result<u32, BtfError> {
    let bytes = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(u32::from_ne_bytes)
        .ok_or(BtfError::Truncated { what, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds BTF by hand: names are appended to the strings, types to the types.
    #[derive(Default)]
    struct Builder {
        types: Vec<u8>,
        strings: Vec<u8>,
        count: u32,
    }

    impl Builder {
        fn name(&mut self, name: &str) -> u32 {
            if self.strings.is_empty() {
                self.strings.push(0);
            }
            if name.is_empty() {
                return 0;
            }
            let at = self.strings.len() as u32;
            self.strings.extend_from_slice(name.as_bytes());
            self.strings.push(0);
            at
        }

        fn words(&mut self, words: &[u32]) {
            for word in words {
                self.types.extend_from_slice(&word.to_ne_bytes());
            }
        }

        fn int(&mut self) -> u32 {
            let name = self.name("int");
            self.words(&[name, 1 << 24, 4, 32]);
            self.count += 1;
            self.count
        }

        fn alias(&mut self, kind: u32, target: u32) -> u32 {
            self.words(&[0, kind << 24, target]);
            self.count += 1;
            self.count
        }

        /// Members: name, type, byte offset.
        fn aggregate(&mut self, kind: u32, name: &str, members: &[(&str, u32, u32)]) -> u32 {
            let name = self.name(name);
            self.words(&[name, kind << 24 | members.len() as u32, 64]);
            for (member, r#type, bytes) in members {
                let member = self.name(member);
                self.words(&[member, *r#type, bytes * 8]);
            }
            self.count += 1;
            self.count
        }

        fn build(&self) -> Vec<u8> {
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            let mut out = vec![0x9f, 0xeb, 1, 0];
            for word in [24, 0, types, types, strings] {
                out.extend_from_slice(&word.to_ne_bytes());
            }
            out.extend_from_slice(&self.types);
            out.extend_from_slice(&self.strings);
            out
        }
    }

    fn sample() -> Vec<u8> {
        let mut builder = Builder::default();
        let int = builder.int();
        let value = builder.aggregate(KIND_STRUCT, "", &[("val", int, 0)]);
        let value_t = builder.alias(8, value);
        let inner = builder.aggregate(KIND_STRUCT, "", &[("deep", int, 8), ("id", value_t, 12)]);
        let union = builder.aggregate(KIND_UNION, "", &[("", inner, 0), ("other", int, 0)]);
        let constant = builder.alias(10, union);
        builder.aggregate(
            KIND_STRUCT,
            "task",
            &[("first", int, 0), ("", constant, 16)],
        );
        builder.build()
    }

    #[test]
    fn members_are_found_through_anonymous_parts_typedefs_and_qualifiers() {
        let data = sample();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(btf.offset("task", "first"), Some(0));
        assert_eq!(btf.offset("task", "other"), Some(16));
        assert_eq!(btf.offset("task", "deep"), Some(24));
        assert_eq!(btf.offset("task", "id.val"), Some(28));
        assert_eq!(btf.offset("task", ""), Some(64));
        assert_eq!(btf.offset("task", "id.none"), None);
        assert_eq!(btf.offset("task", "first.val"), None);
        assert_eq!(btf.offset("nothing", "first"), None);
    }

    #[test]
    fn a_kernel_without_a_required_member_is_named() {
        let error = Offsets::resolve(&sample()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this kernel has no task_struct.mm, without which execs cannot be read"
        );
        let lacking = lacking(&sample()).unwrap();
        assert_eq!(lacking.len(), MEMBERS.len());
        assert!(lacking.iter().any(|spec| !spec.required));
    }

    #[test]
    fn damaged_data_gives_an_error_and_never_a_panic() {
        let data = sample();
        for end in 0..data.len() {
            assert!(Offsets::resolve(&data[..end]).is_err());
        }
        for at in 0..data.len() {
            for bit in 0..8 {
                let mut damaged = data.clone();
                damaged[at] ^= 1 << bit;
                if let Ok(btf) = Btf::parse(&damaged) {
                    let _ = btf.offset("task", "id.val");
                }
            }
        }
    }
}
