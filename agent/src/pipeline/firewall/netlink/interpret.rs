//! From the expressions of a rule to what the rule means: the registers are run through with what they would
//! hold instead of the bytes of a packet.

use std::collections::BTreeMap;

use super::compat;
use super::element;
use super::expression::{Comparison, Data, Expression, FIRST, Register, VERDICT};
use super::field::{Field, Headers, Part, Subject};
use super::record::RuleRecord;
use super::ruleset::SetContent;
use crate::pipeline::firewall::change::{Backend, Rule, Target};

mod conditions;
mod targets;
mod test;
#[cfg(test)]
mod tests;

pub(in crate::pipeline::firewall) use conditions::{Condition, Conditions, Values};
pub(super) use targets::endpoint;
use test::Test;

/// Most values of an anonymous set that are written into a rule; a larger set is named instead.
pub(super) const VALUES_MAX: usize = 1024;

/// What a register would hold.
#[derive(Clone, Debug)]
enum Held {
    Field {
        field: Field,
        /// Bits of it that were kept, and those that were turned.
        mask: Option<(Vec<u8>, Vec<u8>)>,
    },
    Value(Vec<u8>),
    /// What a map gives.
    Mapped(Vec<u8>),
}

impl Held {
    fn field(field: Field) -> Self {
        Self::Field { field, mask: None }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Field { field, .. } => field.bytes(),
            Self::Value(bytes) => bytes.len(),
            Self::Mapped(_) => 4,
        }
    }
}

/// The rule in the words of a change. `set` finds a set of the rule's table by its name.
pub(super) fn interpret<'a>(
    record: &RuleRecord,
    backend: Backend,
    set: &dyn Fn(&[u8]) -> Option<&'a SetContent>,
) -> Rule {
    let mut reading = Reading {
        set,
        registers: BTreeMap::new(),
        headers: Headers::of_family(record.family),
        conditions: Conditions::new(backend),
        target: None,
        comment: record.comment.clone(),
    };
    for expression in &record.expressions {
        reading.take(expression);
    }
    let mut rule = reading.conditions.into_rule();
    rule.target = reading.target;
    rule.comment = reading.comment;
    rule
}

struct Reading<'a, 'b> {
    set: &'b dyn Fn(&[u8]) -> Option<&'a SetContent>,
    registers: BTreeMap<Register, Held>,
    headers: Headers,
    conditions: Conditions,
    target: Option<Target>,
    comment: Option<Vec<u8>>,
}

impl Reading<'_, '_> {
    fn take(&mut self, expression: &Expression) {
        match expression {
            Expression::Payload {
                register,
                base,
                offset_bytes,
                length_bytes,
            } => {
                let field = Field::Payload {
                    base: *base,
                    offset: usize::try_from(*offset_bytes).unwrap_or(usize::MAX),
                    bytes: usize::try_from(*length_bytes).unwrap_or(usize::MAX),
                };
                self.put(*register, Held::field(field));
            }
            Expression::Meta { register, key } => {
                self.put(*register, Held::field(Field::meta(*key)));
            }
            Expression::Ct { register, key } => self.put(*register, Held::field(Field::ct(*key))),
            Expression::Load { register, what } => {
                self.put(*register, Held::field(Field::Named(what.clone())));
            }
            Expression::Bitwise {
                source,
                register,
                mask,
                xor,
            } => self.mask(*source, *register, mask, xor),
            Expression::Compare {
                register,
                comparison,
                value,
            } => self.compare(*register, *comparison, value),
            Expression::Range {
                register,
                negated,
                first,
                last,
            } => self.test(*register, Test::range(first, last, *negated)),
            Expression::Lookup {
                register,
                set,
                into,
                negated,
            } => self.look_up(*register, set, *into, *negated),
            Expression::Immediate { register, data } => self.put_data(*register, data),
            Expression::Match(extension) => {
                let known = compat::condition(extension, &mut self.conditions, &mut self.comment);
                if !known {
                    self.conditions.other(extension.name.clone());
                }
            }
            Expression::Other(name) => self.other(name),
            Expression::SetMeta { .. }
            | Expression::SetCt { .. }
            | Expression::Reject
            | Expression::Nat { .. }
            | Expression::Redirect { .. }
            | Expression::Masquerade
            | Expression::Tproxy { .. }
            | Expression::Notrack
            | Expression::Log
            | Expression::Queue
            | Expression::Target(_) => self.act(expression),
        }
    }

    /// What the register held before is gone, and what only partly was in it, too.
    fn put(&mut self, register: Register, held: Held) {
        let end = register.saturating_add(registers_of(&held));
        self.registers.retain(|&other, there| {
            other >= end || other.saturating_add(registers_of(there)) <= register
        });
        self.registers.insert(register, held);
    }

    fn put_data(&mut self, register: Register, data: &Data) {
        match data {
            Data::Value(bytes) => self.put(register, Held::Value(bytes.clone())),
            Data::Verdict(verdict) => {
                if let Some(target) = element::target(verdict) {
                    self.target = Some(target);
                }
            }
        }
    }

    fn mask(&mut self, source: Register, register: Register, mask: &[u8], xor: &[u8]) {
        let held = match self.registers.get(&source) {
            Some(Held::Field { field, mask: None }) => Held::Field {
                field: field.clone(),
                mask: Some((mask.to_vec(), xor.to_vec())),
            },
            Some(other) => Held::field(Field::Named(name_of(other))),
            None => Held::field(Field::Named(b"bitwise".to_vec())),
        };
        self.put(register, held);
    }

    fn compare(&mut self, register: Register, comparison: Comparison, value: &[u8]) {
        self.test(register, Test::compare(comparison, value));
    }

    fn test(&mut self, register: Register, test: Test) {
        let Some(held) = self.registers.get(&register) else {
            self.conditions.other(b"cmp".to_vec());
            return;
        };
        let Held::Field { field, mask } = held.clone() else {
            let name = name_of(held);
            self.conditions.other(name);
            return;
        };
        if let Some(test) = test.unmasked(&field, mask.as_ref()) {
            self.hold(&field, &test);
        } else {
            self.conditions.other(field.name());
        }
    }

    /// The rule asks for it.
    fn hold(&mut self, field: &Field, test: &Test) {
        if !self.learn_headers(field, test) {
            let parts = self.parts(field, test.bytes());
            if !self.conditions.hold(&parts, test) {
                self.conditions.other(field.name());
            }
        }
        self.headers.protocol = self.conditions.protocol();
    }

    /// Whether the test only says which headers follow.
    fn learn_headers(&mut self, field: &Field, test: &Test) -> bool {
        use super::field::Version::{V4, V6};
        let Some(value) = test.single() else {
            return false;
        };
        let version = match (field, value) {
            // `NFPROTO_IPV4`, `NFPROTO_IPV6`
            (Field::NfProto, 2) => V4,
            (Field::NfProto, 10) => V6,
            // `ETH_P_IP`, `ETH_P_IPV6`
            (Field::EtherType, 0x0800) => V4,
            (Field::EtherType, 0x86DD) => V6,
            _ => return false,
        };
        self.headers.version = Some(version);
        self.conditions.set_version(version);
        true
    }

    fn parts(&self, field: &Field, bytes: usize) -> Vec<Part> {
        let whole = |subject, bytes| {
            vec![Part {
                subject,
                skip: 0,
                bytes,
            }]
        };
        match field {
            Field::Payload { base, offset, .. } => self.headers.parts(*base, *offset, bytes),
            Field::Whole(subject) => whole(*subject, subject.bytes()),
            Field::InIndex => whole(Subject::InInterface, field.bytes()),
            Field::OutIndex => whole(Subject::OutInterface, field.bytes()),
            Field::NfProto | Field::EtherType | Field::Named(_) => Vec::new(),
        }
    }

    fn look_up(&mut self, register: Register, name: &[u8], into: Option<Register>, negated: bool) {
        let content = (self.set)(name);
        let parts = self.key_parts(register, content);
        let has_catchall = content.is_some_and(SetContent::has_catchall);
        match parts {
            // The element that stands for all others takes every packet.
            _ if has_catchall => {}
            Some(parts) => self.conditions.member(&parts, name, content, negated),
            None => self.conditions.other([b"@", name].concat()),
        }
        self.headers.protocol = self.conditions.protocol();
        match into {
            Some(VERDICT) => self.target = Some(Target::Map(name.to_vec())),
            Some(register) => self.put(register, Held::Mapped(name.to_vec())),
            None => {}
        }
    }

    /// Which subjects the key of a set is made of; `None` when one of them is not known.
    fn key_parts(&self, first: Register, content: Option<&SetContent>) -> Option<Vec<Part>> {
        let key_bytes = content.map_or(1, |content| content.key_bytes());
        let mut all = Vec::new();
        let mut skip = 0;
        while skip < key_bytes {
            let register = first + u32::try_from(skip / 4).ok()?;
            let Held::Field { field, mask: None } = self.registers.get(&register)? else {
                return None;
            };
            let bytes = field.bytes();
            let parts = self.parts(field, bytes);
            if parts.is_empty() || bytes == 0 {
                return None;
            }
            all.extend(parts.into_iter().map(|part| Part {
                skip: skip + part.skip,
                ..part
            }));
            skip += bytes.next_multiple_of(4);
        }
        Some(all)
    }

    fn other(&mut self, name: &[u8]) {
        match name {
            // They change the packet or hand out a copy, and decide nothing.
            b"dup" | b"payload set" | b"last" => {}
            b"fwd" | b"synproxy" | b"flow_offload" => {
                self.target = Some(Target::Other(name.to_vec()));
            }
            // Also an expression that may have filled any register.
            _ => {
                self.registers.clear();
                self.conditions.other(name.to_vec());
            }
        }
    }
}

/// Four bytes each; never none, never beyond the last.
fn registers_of(held: &Held) -> u32 {
    let count = held.bytes().div_ceil(4).clamp(1, 16);
    u32::try_from(count).unwrap_or(super::expression::LAST - FIRST + 1)
}

fn name_of(held: &Held) -> Vec<u8> {
    match held {
        Held::Field { field, .. } => field.name(),
        Held::Value(_) => b"immediate".to_vec(),
        Held::Mapped(name) => [b"@", name.as_slice()].concat(),
    }
}
