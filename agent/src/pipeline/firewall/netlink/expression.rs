//! The expressions of a rule, as the kernel lists them: each loads a register, compares one, or decides.
//!
//! Numbers of attributes: `include/uapi/linux/netfilter/nf_tables.h` and `nf_tables_compat.h`.

use super::attribute::Attributes;

/// Most expressions of one rule that are kept (`NFT_RULE_MAXEXPRS`, `net/netfilter/nf_tables_api.c`, which
/// is the kernel's own bound).
const EXPRESSIONS_MAX: usize = 128;

/// A register: 0 for the verdict, or one of sixteen of four bytes each, from 8 on. The four older registers
/// of sixteen bytes lie over those (`nft_parse_register`, `net/netfilter/nf_tables_api.c`).
pub type Register = u32;

/// `NFT_REG_VERDICT`
pub(super) const VERDICT: Register = 0;

/// `NFT_REG32_00`
pub(super) const FIRST: Register = 8;

/// `NFT_REG32_15`
pub(super) const LAST: Register = 23;

/// What ends the way of a packet through a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Queue,
    /// The next rule is asked.
    Continue,
    Return,
    Jump(Vec<u8>),
    Goto(Vec<u8>),
    Other(i32),
}

impl Verdict {
    fn decode(attributes: Attributes<'_>) -> Option<Self> {
        const CODE: u16 = 1;
        const CHAIN: u16 = 2;
        let chain = || attributes.name(CHAIN);
        let verdict = match attributes.u32(CODE)?.cast_signed() {
            0 => Self::Drop,
            1 => Self::Accept,
            -1 | -2 => Self::Continue,
            -3 => Self::Jump(chain()?),
            -4 => Self::Goto(chain()?),
            -5 => Self::Return,
            // The upper half is the queue's number (`NF_VERDICT_QMASK`).
            code if code & 0xFF == 3 => Self::Queue,
            code => Self::Other(code),
        };
        Some(verdict)
    }
}

/// What a register or a map's element holds. Bytes are in the order of the packet, or in that of the host
/// where the value is not a packet's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Value(Vec<u8>),
    Verdict(Verdict),
}

impl Data {
    pub(super) fn decode(attributes: Attributes<'_>) -> Option<Self> {
        const VALUE: u16 = 1;
        const VERDICT: u16 = 2;
        if let Some(value) = attributes.bytes(VALUE) {
            return Some(Self::Value(value.to_vec()));
        }
        Verdict::decode(attributes.nested(VERDICT)?).map(Self::Verdict)
    }
}

impl Data {
    pub(super) fn rename_chain(&mut self, before: &[u8], after: &[u8]) {
        if let Self::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) = self
            && chain == before
        {
            *chain = after.to_vec();
        }
    }
}

/// `enum nft_cmp_ops`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A match or a target of x_tables inside a rule of nf_tables (`net/netfilter/nft_compat.c`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    pub name: Vec<u8>,
    /// Which layout `info` has.
    pub revision: u32,
    pub info: Vec<u8>,
}

/// One expression. Those that only count are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Bytes of the packet into a register.
    Payload {
        register: Register,
        /// `enum nft_payload_bases`
        base: u32,
        offset_bytes: u32,
        length_bytes: u32,
    },
    /// `enum nft_meta_keys`
    Meta {
        register: Register,
        key: u32,
    },
    SetMeta {
        key: u32,
    },
    /// `enum nft_ct_keys`
    Ct {
        register: Register,
        key: u32,
    },
    SetCt {
        key: u32,
    },
    /// Anything else into a register; `what` is the expression's name.
    Load {
        register: Register,
        what: Vec<u8>,
    },
    Immediate {
        register: Register,
        data: Data,
    },
    /// `(source & mask) ^ xor`
    Bitwise {
        source: Register,
        register: Register,
        mask: Vec<u8>,
        xor: Vec<u8>,
    },
    Compare {
        register: Register,
        comparison: Comparison,
        value: Vec<u8>,
    },
    Range {
        register: Register,
        negated: bool,
        first: Vec<u8>,
        last: Vec<u8>,
    },
    /// Whether a register is in a set; what a map has for it goes into another.
    Lookup {
        register: Register,
        set: Vec<u8>,
        into: Option<Register>,
        negated: bool,
    },
    Reject,
    Nat {
        /// The destination is changed, not the source.
        is_destination: bool,
        /// The first and the last, each in a register.
        addresses: [Option<Register>; 2],
        ports: [Option<Register>; 2],
    },
    Redirect {
        ports: [Option<Register>; 2],
    },
    Masquerade,
    Tproxy {
        address: Option<Register>,
        port: Option<Register>,
    },
    Notrack,
    Log,
    Queue,
    Match(Extension),
    Target(Extension),
    /// By its name.
    Other(Vec<u8>),
}

impl Expression {
    /// `None`: it only counts.
    fn decode(attributes: Attributes<'_>) -> Option<Self> {
        const NAME: u16 = 1;
        const DATA: u16 = 2;
        let name = attributes.name(NAME).unwrap_or_default();
        if name == b"counter" || is_reference_to_counter(&name, attributes.nested(DATA)) {
            return None;
        }
        let data = attributes.nested(DATA).unwrap_or(Attributes::new(&[]));
        Some(named(&name, data).unwrap_or(Self::Other(name)))
    }

    /// Bytes that it occupies beyond its own size.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Load { what: bytes, .. }
            | Self::Compare { value: bytes, .. }
            | Self::Lookup { set: bytes, .. }
            | Self::Other(bytes) => bytes.len(),
            Self::Bitwise {
                mask: a, xor: b, ..
            }
            | Self::Range {
                first: a, last: b, ..
            } => a.len() + b.len(),
            Self::Match(extension) | Self::Target(extension) => {
                extension.name.len() + extension.info.len()
            }
            Self::Immediate { data, .. } => match data {
                Data::Value(bytes) | Data::Verdict(Verdict::Jump(bytes) | Verdict::Goto(bytes)) => {
                    bytes.len()
                }
                Data::Verdict(_) => 0,
            },
            Self::Payload { .. }
            | Self::Meta { .. }
            | Self::SetMeta { .. }
            | Self::Ct { .. }
            | Self::SetCt { .. }
            | Self::Reject
            | Self::Nat { .. }
            | Self::Redirect { .. }
            | Self::Masquerade
            | Self::Tproxy { .. }
            | Self::Notrack
            | Self::Log
            | Self::Queue => 0,
        }
    }
}

/// The expressions of a rule, at most [`EXPRESSIONS_MAX`].
pub(super) fn decode_all(list: Attributes<'_>) -> Vec<Expression> {
    list.iter()
        .take(EXPRESSIONS_MAX)
        .filter_map(|(_, value)| Expression::decode(Attributes::new(value)))
        .collect()
}

/// `NFT_OBJECT_COUNTER` behind `objref`.
fn is_reference_to_counter(name: &[u8], data: Option<Attributes<'_>>) -> bool {
    const TYPE: u16 = 1;
    name == b"objref" && data.and_then(|data| data.u32(TYPE)) == Some(1)
}

/// `None`: an expression that is not known, or an attribute is missing.
fn named(name: &[u8], data: Attributes<'_>) -> Option<Expression> {
    match name {
        b"payload" => payload(data),
        b"meta" => meta(data),
        b"ct" => ct(data),
        b"cmp" => compare(data),
        b"range" => range(data),
        b"bitwise" => bitwise(data),
        b"lookup" => lookup(data),
        b"immediate" => immediate(data),
        b"nat" => nat(data),
        b"redir" => Some(Expression::Redirect {
            ports: [register(data, 1), register(data, 2)],
        }),
        b"tproxy" => Some(Expression::Tproxy {
            address: register(data, 2),
            port: register(data, 3),
        }),
        b"reject" => Some(Expression::Reject),
        b"masq" => Some(Expression::Masquerade),
        b"notrack" => Some(Expression::Notrack),
        b"log" => Some(Expression::Log),
        b"queue" => Some(Expression::Queue),
        b"match" => extension(data).map(Expression::Match),
        b"target" => extension(data).map(Expression::Target),
        b"fib" | b"rt" | b"exthdr" | b"osf" | b"numgen" | b"xfrm" => load(name, data, 1),
        b"socket" | b"tunnel" | b"hash" | b"byteorder" => load(name, data, 2),
        _ => None,
    }
}

/// The register whose number is in that attribute; `None` when there is none, or no such register.
fn register(data: Attributes<'_>, kind: u16) -> Option<Register> {
    match data.u32(kind)? {
        VERDICT => Some(VERDICT),
        old @ 1..=4 => Some(FIRST + (old - 1) * 4),
        new @ FIRST..=LAST => Some(new),
        _ => None,
    }
}

fn load(name: &[u8], data: Attributes<'_>, kind: u16) -> Option<Expression> {
    Some(Expression::Load {
        register: register(data, kind)?,
        what: name.to_vec(),
    })
}

fn value(data: Attributes<'_>, kind: u16) -> Option<Vec<u8>> {
    match Data::decode(data.nested(kind)?)? {
        Data::Value(value) => Some(value),
        Data::Verdict(_) => None,
    }
}

fn payload(data: Attributes<'_>) -> Option<Expression> {
    const DESTINATION: u16 = 1;
    const BASE: u16 = 2;
    const OFFSET: u16 = 3;
    const LENGTH: u16 = 4;
    const SOURCE: u16 = 5;
    if data.bytes(SOURCE).is_some() {
        return Some(Expression::Other(b"payload set".to_vec()));
    }
    Some(Expression::Payload {
        register: register(data, DESTINATION)?,
        base: data.u32(BASE)?,
        offset_bytes: data.u32(OFFSET)?,
        length_bytes: data.u32(LENGTH)?,
    })
}

fn meta(data: Attributes<'_>) -> Option<Expression> {
    const DESTINATION: u16 = 1;
    const KEY: u16 = 2;
    let key = data.u32(KEY)?;
    Some(match register(data, DESTINATION) {
        Some(register) => Expression::Meta { register, key },
        None => Expression::SetMeta { key },
    })
}

fn ct(data: Attributes<'_>) -> Option<Expression> {
    const DESTINATION: u16 = 1;
    const KEY: u16 = 2;
    let key = data.u32(KEY)?;
    Some(match register(data, DESTINATION) {
        Some(register) => Expression::Ct { register, key },
        None => Expression::SetCt { key },
    })
}

fn compare(data: Attributes<'_>) -> Option<Expression> {
    const SOURCE: u16 = 1;
    const OPERATION: u16 = 2;
    const DATA: u16 = 3;
    let comparison = match data.u32(OPERATION)? {
        0 => Comparison::Equal,
        1 => Comparison::NotEqual,
        2 => Comparison::Less,
        3 => Comparison::LessOrEqual,
        4 => Comparison::Greater,
        5 => Comparison::GreaterOrEqual,
        _ => return None,
    };
    Some(Expression::Compare {
        register: register(data, SOURCE)?,
        comparison,
        value: value(data, DATA)?,
    })
}

fn range(data: Attributes<'_>) -> Option<Expression> {
    const SOURCE: u16 = 1;
    const OPERATION: u16 = 2;
    const FROM: u16 = 3;
    const TO: u16 = 4;
    Some(Expression::Range {
        register: register(data, SOURCE)?,
        negated: data.u32(OPERATION)? == 1,
        first: value(data, FROM)?,
        last: value(data, TO)?,
    })
}

fn bitwise(data: Attributes<'_>) -> Option<Expression> {
    const SOURCE: u16 = 1;
    const DESTINATION: u16 = 2;
    const MASK: u16 = 4;
    const XOR: u16 = 5;
    const OPERATION: u16 = 6;
    let into = register(data, DESTINATION)?;
    if data.u32(OPERATION).unwrap_or(0) != 0 {
        return load(b"bitwise", data, DESTINATION);
    }
    Some(Expression::Bitwise {
        source: register(data, SOURCE)?,
        register: into,
        mask: value(data, MASK)?,
        xor: value(data, XOR)?,
    })
}

fn lookup(data: Attributes<'_>) -> Option<Expression> {
    const SET: u16 = 1;
    const SOURCE: u16 = 2;
    const DESTINATION: u16 = 3;
    const FLAGS: u16 = 5;
    Some(Expression::Lookup {
        register: register(data, SOURCE)?,
        set: data.name(SET)?,
        into: register(data, DESTINATION),
        negated: data.u32(FLAGS).unwrap_or(0) & 1 != 0,
    })
}

fn immediate(data: Attributes<'_>) -> Option<Expression> {
    const DESTINATION: u16 = 1;
    const DATA: u16 = 2;
    Some(Expression::Immediate {
        register: register(data, DESTINATION)?,
        data: Data::decode(data.nested(DATA)?)?,
    })
}

fn nat(data: Attributes<'_>) -> Option<Expression> {
    const TYPE: u16 = 1;
    Some(Expression::Nat {
        is_destination: data.u32(TYPE)? == 1,
        addresses: [register(data, 3), register(data, 4)],
        ports: [register(data, 5), register(data, 6)],
    })
}

fn extension(data: Attributes<'_>) -> Option<Extension> {
    const NAME: u16 = 1;
    const REVISION: u16 = 2;
    const INFO: u16 = 3;
    Some(Extension {
        name: data.name(NAME)?,
        revision: data.u32(REVISION)?,
        info: data.bytes(INFO)?.to_vec(),
    })
}
