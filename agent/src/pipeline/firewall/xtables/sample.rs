//! Tables to begin with, for tests: laid out as `iptc_commit` does (iptables, `libiptc/libiptc.c`).

use super::blob::{EXTENSION_BYTES, Layout};
use super::{INFO_BYTES, Listing};
use crate::pipeline::firewall::change::Family;

/// One rule of IPv4 for TCP, from anywhere to anywhere.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) dport: u16,
    pub(crate) does: Does,
}

#[derive(Clone)]
pub(crate) enum Does {
    Verdict(i32),
    Jump(&'static str),
    Goto(&'static str),
    Nothing,
    Target(&'static str, Vec<u8>),
}

pub(crate) const DROP: Does = Does::Verdict(-1);
pub(crate) const ACCEPT: Does = Does::Verdict(-2);

pub(crate) fn rule(dport: u16, does: Does) -> Rule {
    Rule { dport, does }
}

/// The table `filter` with the rules of its hook `INPUT`, that one's policy, and chains of users.
pub(crate) fn filter(input: &[Rule], policy: Does, users: &[(&'static str, Vec<Rule>)]) -> Listing {
    let (info, entries) = raw(input, policy, users);
    let mut listing = Listing::default();
    listing.add(false, &info, &entries);
    listing
}

/// The head and the entries of that table.
pub(crate) fn raw(
    input: &[Rule],
    policy: Does,
    users: &[(&'static str, Vec<Rule>)],
) -> ([u8; INFO_BYTES], Vec<u8>) {
    let mut rows: Vec<(Option<&str>, Rule)> = Vec::new();
    rows.extend(input.iter().map(|rule| (None, rule.clone())));
    rows.push((None, rule(0, policy)));
    rows.extend([(None, rule(0, ACCEPT)), (None, rule(0, ACCEPT))]);
    for (name, rules) in users {
        rows.push((Some(name), rule(0, Does::Nothing)));
        rows.extend(rules.iter().map(|rule| (None, rule.clone())));
        rows.push((None, rule(0, Does::Verdict(-5))));
    }
    rows.push((Some("ERROR"), rule(0, Does::Nothing)));
    let offsets: Vec<usize> = rows
        .iter()
        .scan(0, |offset, row| {
            let here = *offset;
            *offset += entry(row, 0, 0).len();
            Some(here)
        })
        .collect();
    let to = |name: &str| {
        let head = rows.iter().position(|(head, _)| *head == Some(name));
        offsets[head.unwrap() + 1]
    };
    let mut entries = Vec::new();
    for row in &rows {
        let next = entries.len() + entry(row, 0, 0).len();
        let target = match &row.1.does {
            Does::Jump(name) | Does::Goto(name) => to(name),
            Does::Verdict(_) | Does::Nothing | Does::Target(..) => next,
        };
        entries.extend(entry(row, target, 7));
    }
    let policies = input.len();
    let [input_end, forward, output] = [0, 1, 2].map(|at| offsets[policies + at]);
    let info = info(
        &[0, forward, output],
        &[input_end, forward, output],
        entries.len(),
    );
    (info, entries)
}

/// Of a table with the hooks `INPUT`, `FORWARD`, `OUTPUT`.
fn info(begins: &[usize; 3], ends: &[usize; 3], size: usize) -> [u8; INFO_BYTES] {
    let mut info = vec![0; 32];
    info[..6].copy_from_slice(b"filter");
    let [b0, b1, b2] = *begins;
    let [e0, e1, e2] = *ends;
    for number in [0b1110, 0, b0, b1, b2, 0, 0, e0, e1, e2, 0, 4, size] {
        info.extend(u32::try_from(number).unwrap().to_ne_bytes());
    }
    info.try_into().unwrap()
}

fn entry((head, rule): &(Option<&str>, Rule), target: usize, packets: u64) -> Vec<u8> {
    let layout = Layout::of(Family::Ipv4);
    let mut bytes = vec![0; layout.entry_bytes];
    bytes[layout.entry_bytes - 16..layout.entry_bytes - 8].copy_from_slice(&packets.to_ne_bytes());
    if rule.dport != 0 {
        bytes[80] = 6;
        let mut ports = [0u16, u16::MAX, rule.dport, rule.dport]
            .map(u16::to_ne_bytes)
            .concat();
        ports.resize(16, 0);
        bytes.extend(extension("tcp", &ports));
    }
    if let Does::Goto(_) = rule.does {
        bytes[82] = 2;
    }
    let target_offset = bytes.len();
    bytes.extend(match (head, &rule.does) {
        (Some(name), _) => extension("ERROR", &padded(name, 32)),
        (None, Does::Target(name, info)) => extension(name, info),
        (None, Does::Verdict(verdict)) => standard(*verdict),
        (None, Does::Jump(_) | Does::Goto(_) | Does::Nothing) => {
            standard(i32::try_from(target).unwrap())
        }
    });
    let length = bytes.len();
    for (offset, number) in [(88, target_offset), (90, length)] {
        let number = u16::try_from(number).unwrap();
        bytes[offset..offset + 2].copy_from_slice(&number.to_ne_bytes());
    }
    bytes
}

fn standard(verdict: i32) -> Vec<u8> {
    let mut info = verdict.to_ne_bytes().to_vec();
    info.resize(8, 0);
    extension("", &info)
}

fn padded(text: &str, bytes: usize) -> Vec<u8> {
    let mut padded = text.as_bytes().to_vec();
    padded.resize(bytes, 0);
    padded
}

fn extension(name: &str, info: &[u8]) -> Vec<u8> {
    let bytes = u16::try_from(EXTENSION_BYTES + info.len()).unwrap();
    let mut extension = bytes.to_ne_bytes().to_vec();
    extension.extend(padded(name, EXTENSION_BYTES - 2));
    extension.extend(info);
    extension
}
