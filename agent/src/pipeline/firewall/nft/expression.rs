//! What stands on the left of a comparison: a field of the packet, or what the kernel knows of it.

use crate::pipeline::firewall::change::Protocol;

use super::cursor::Cursor;
use super::field_names::{
    CHUNK_FIELDS, CT_KEYS, CT_KEYS_DIRECTED, HEADERS, META_KEYS, META_KEYS_QUALIFIED,
    OPTION_FIELDS, OPTION_KINDS, OTHERS, TUNNELS,
};
use super::stop::{Result, Stop};
use super::token::Kind;

/// What an expression reads, as far as a [`Rule`](crate::pipeline::firewall::change::Rule) has a place for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The transport protocol.
    Protocol,
    SourceIpv4,
    SourceIpv6,
    DestinationIpv4,
    DestinationIpv6,
    /// The port of one protocol, or of any that has ports.
    SourcePort(Option<Protocol>),
    DestinationPort(Option<Protocol>),
    InInterface,
    OutInterface,
    State,
    /// Another field of that protocol's header.
    Header(Protocol),
    Other,
}

impl Field {
    /// The protocol in which alone the field is looked for.
    pub(super) fn implied_protocol(self) -> Option<Protocol> {
        match self {
            Self::SourcePort(protocol) | Self::DestinationPort(protocol) => protocol,
            Self::Header(protocol) => Some(protocol),
            Self::Protocol
            | Self::SourceIpv4
            | Self::SourceIpv6
            | Self::DestinationIpv4
            | Self::DestinationIpv6
            | Self::InInterface
            | Self::OutInterface
            | Self::State
            | Self::Other => None,
        }
    }

    /// What is left of the field when it is no longer plain.
    fn not_plain(self) -> Self {
        self.implied_protocol().map_or(Self::Other, Self::Header)
    }
}

/// Protocol number of UDP-Lite and DCCP. <https://www.iana.org/assignments/protocol-numbers>
const UDPLITE: Protocol = Protocol(136);
const DCCP: Protocol = Protocol(33);
const IGMP: Protocol = Protocol(2);

/// Whether the next token can begin an expression.
pub(super) fn is_at_expression(cursor: &Cursor<'_>) -> bool {
    let is_header = HEADERS.iter().any(|(header, _)| cursor.is_at(header));
    is_header
        || cursor.is_at_any(TUNNELS)
        || cursor.is_at_any(META_KEYS)
        || cursor.is_at_any(OTHERS)
}

/// An expression with its dots and its arithmetic. Only a plain field is told.
pub(super) fn expression(cursor: &mut Cursor<'_>) -> Result<Field> {
    let mut field = computed(cursor)?;
    while cursor.eat(".") {
        let next = computed(cursor)?;
        let implied = field.implied_protocol().or(next.implied_protocol());
        field = implied.map_or(Field::Other, Field::Header);
    }
    Ok(field)
}

fn computed(cursor: &mut Cursor<'_>) -> Result<Field> {
    let mut field = primary(cursor)?;
    while cursor.eat_any(&["&", "|", "^", "<<", ">>"]).is_some() {
        super::value::mask(cursor)?;
        field = field.not_plain();
    }
    Ok(field)
}

/// One expression.
pub(super) fn primary(cursor: &mut Cursor<'_>) -> Result<Field> {
    if cursor.eat("(") {
        return cursor.nested(|cursor| {
            expression(cursor)?;
            cursor.expect(")")?;
            Ok(Field::Other)
        });
    }
    if let Some(key) = cursor.eat_any(META_KEYS) {
        if key == "ipsec" && !cursor.is_at_any(&["in", "out"]) {
            return Ok(Field::Other);
        }
        if key == "ipsec" {
            return ipsec(cursor);
        }
        return Ok(meta_field(key));
    }
    let Some(word) = cursor.eat_any(OTHERS) else {
        return header(cursor);
    };
    match word {
        "meta" => meta(cursor),
        "ct" => ct(cursor),
        "@" => raw_payload(cursor),
        "jhash" | "symhash" | "numgen" => generator(cursor, word),
        "exthdr" => words(cursor, 1),
        "osf" => osf(cursor),
        "socket" => socket(cursor),
        "tunnel" => words(cursor, 1),
        _ => fib(cursor),
    }
}

fn header(cursor: &mut Cursor<'_>) -> Result<Field> {
    if let Some(tunnel) = TUNNELS.iter().find(|tunnel| cursor.is_at(tunnel)) {
        let inner = cursor.peek_behind(1);
        let carries = HEADERS
            .iter()
            .any(|(header, _)| inner.is_some_and(|token| token.is(header)));
        if carries && cursor.eat(tunnel) {
            header(cursor)?;
            return Ok(Field::Other);
        }
    }
    let found = HEADERS.iter().find(|(header, _)| cursor.is_at(header));
    let Some((name, fields)) = found else {
        return Err(cursor.unexpected());
    };
    cursor.take();
    if let Some(field) = special_field(cursor, name)? {
        return Ok(field);
    }
    let Some(field) = cursor.eat_any(fields) else {
        return Err(cursor.unexpected());
    };
    index(cursor)?;
    Ok(header_field(name, field))
}

/// What is no plain field of a header: options, chunks, the addresses of ARP, and the next hop of a route.
fn special_field(cursor: &mut Cursor<'_>, header: &str) -> Result<Option<Field>> {
    match header {
        "tcp" | "ip" | "dccp" if cursor.eat("option") => option(cursor)?,
        "sctp" if cursor.eat("chunk") => chunk(cursor)?,
        "arp" if cursor.eat_any(&["saddr", "daddr"]).is_some() => {
            if cursor.eat_any(&["ip", "ether"]).is_none() {
                return Err(cursor.unexpected());
            }
            Field::Other
        }
        "rt" if cursor.eat_any(&["ip", "ip6"]).is_some() => {
            cursor.expect("nexthop")?;
            Field::Other
        }
        "vxlan" | "geneve" | "gre" if cursor.is_at_end() => return Err(cursor.unexpected()),
        _ => return Ok(None),
    };
    Ok(Some(match header {
        "tcp" => Field::Header(Protocol::TCP),
        "sctp" => Field::Header(Protocol::SCTP),
        "dccp" => Field::Header(DCCP),
        _ => Field::Other,
    }))
}

/// An option of TCP, IP or DCCP: its kind, and mostly a field of it.
fn option(cursor: &mut Cursor<'_>) -> Result<Field> {
    if cursor.eat("@") {
        cursor.number()?;
        return numbers(cursor);
    }
    option_kind(cursor)?;
    cursor.eat_any(OPTION_FIELDS);
    index(cursor)?;
    Ok(Field::Other)
}

/// The kind of an option by its number or its name.
pub(super) fn option_kind(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.eat_any(OPTION_KINDS).is_none() {
        cursor.number()?;
    }
    Ok(())
}

/// A chunk of SCTP, and mostly a field of it.
fn chunk(cursor: &mut Cursor<'_>) -> Result<Field> {
    words(cursor, 1)?;
    cursor.eat_any(CHUNK_FIELDS);
    Ok(Field::Other)
}

fn header_field(header: &str, field: &str) -> Field {
    let protocol = match header {
        "tcp" => Some(Protocol::TCP),
        "udp" => Some(Protocol::UDP),
        "udplite" => Some(UDPLITE),
        "sctp" => Some(Protocol::SCTP),
        "dccp" => Some(DCCP),
        _ => None,
    };
    match (header, field) {
        ("ip", "protocol") | ("ip6", "nexthdr") => Field::Protocol,
        ("ip", "saddr") => Field::SourceIpv4,
        ("ip6", "saddr") => Field::SourceIpv6,
        ("ip", "daddr") => Field::DestinationIpv4,
        ("ip6", "daddr") => Field::DestinationIpv6,
        (_, "sport") => Field::SourcePort(protocol),
        (_, "dport") => Field::DestinationPort(protocol),
        ("icmp", _) => Field::Header(Protocol::ICMP),
        ("icmpv6", _) => Field::Header(Protocol::ICMPV6),
        ("igmp", _) => Field::Header(IGMP),
        _ => protocol.map_or(Field::Other, Field::Header),
    }
}

fn meta(cursor: &mut Cursor<'_>) -> Result<Field> {
    let key = cursor
        .eat_any(META_KEYS)
        .or_else(|| cursor.eat_any(META_KEYS_QUALIFIED));
    key.map(meta_field).ok_or_else(|| cursor.unexpected())
}

fn meta_field(key: &str) -> Field {
    match key {
        "l4proto" => Field::Protocol,
        "iif" | "iifname" => Field::InInterface,
        "oif" | "oifname" => Field::OutInterface,
        _ => Field::Other,
    }
}

fn ct(cursor: &mut Cursor<'_>) -> Result<Field> {
    let directed = cursor.eat_any(&["original", "reply"]).is_some();
    let has_version = directed && cursor.eat_any(&["ip", "ip6"]).is_some();
    let keys = match (directed, has_version) {
        (_, true) => &["saddr", "daddr"],
        (true, false) => CT_KEYS_DIRECTED,
        (false, false) => CT_KEYS,
    };
    match cursor.eat_any(keys) {
        Some("state") => Ok(Field::State),
        Some(_) => Ok(Field::Other),
        None => Err(cursor.unexpected()),
    }
}

/// `@base,offset,bits`.
fn raw_payload(cursor: &mut Cursor<'_>) -> Result<Field> {
    if cursor.eat_any(&["ll", "nh", "th", "ih"]).is_none() {
        return Err(cursor.unexpected());
    }
    numbers(cursor)
}

/// `,offset,bits`.
fn numbers(cursor: &mut Cursor<'_>) -> Result<Field> {
    for _ in 0..2 {
        cursor.expect(",")?;
        cursor.number()?;
    }
    Ok(Field::Other)
}

/// `numgen inc mod 2 offset 1`, `symhash mod 2`, `jhash ip saddr mod 2 seed 0x1`.
fn generator(cursor: &mut Cursor<'_>, word: &str) -> Result<Field> {
    match word {
        "numgen" if cursor.eat_any(&["inc", "random"]).is_none() => {
            return Err(cursor.unexpected());
        }
        "jhash" => {
            cursor.nested(expression)?;
        }
        _ => {}
    }
    cursor.expect("mod")?;
    cursor.number()?;
    while cursor.eat_any(&["seed", "offset"]).is_some() {
        cursor.number()?;
    }
    Ok(Field::Other)
}

fn ipsec(cursor: &mut Cursor<'_>) -> Result<Field> {
    cursor.eat_any(&["in", "out"]);
    if cursor.eat("spnum") {
        cursor.number()?;
    }
    cursor.eat_any(&["ip", "ip6"]);
    cursor
        .eat_any(&["saddr", "daddr", "reqid", "spi"])
        .map(|_| Field::Other)
        .ok_or_else(|| cursor.unexpected())
}

fn osf(cursor: &mut Cursor<'_>) -> Result<Field> {
    if cursor.eat("ttl") {
        words(cursor, 1)?;
    }
    cursor
        .eat_any(&["name", "version"])
        .map(|_| Field::Other)
        .ok_or_else(|| cursor.unexpected())
}

fn socket(cursor: &mut Cursor<'_>) -> Result<Field> {
    match cursor.eat_any(&["transparent", "mark", "wildcard", "cgroupv2"]) {
        Some("cgroupv2") => {
            cursor.expect("level")?;
            cursor.number()?;
        }
        Some(_) => {}
        None => return Err(cursor.unexpected()),
    }
    Ok(Field::Other)
}

/// `fib saddr . iif oif`.
fn fib(cursor: &mut Cursor<'_>) -> Result<Field> {
    const FLAGS: &[&str] = &["saddr", "daddr", "mark", "iif", "oif"];
    if cursor.eat_any(FLAGS).is_none() {
        return Err(cursor.unexpected());
    }
    while cursor.eat(".") {
        if cursor.eat_any(FLAGS).is_none() {
            return Err(cursor.unexpected());
        }
    }
    cursor
        .eat_any(&["oif", "oifname", "type", "check"])
        .map(|_| Field::Other)
        .ok_or_else(|| cursor.unexpected())
}

/// That many words that are not looked at.
fn words(cursor: &mut Cursor<'_>, count: usize) -> Result<Field> {
    for _ in 0..count {
        match cursor.take().map(|token| token.kind) {
            Some(Kind::Word | Kind::Number(_) | Kind::Keyword) => {}
            _ => return Err(Stop::refused(format_args!("a word is missing"))),
        }
    }
    Ok(Field::Other)
}

/// `[1]`.
fn index(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.eat("[") {
        cursor.number()?;
        cursor.expect("]")?;
    }
    Ok(())
}
