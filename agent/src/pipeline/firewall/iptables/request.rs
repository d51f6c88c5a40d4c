//! One command line of `iptables` or `ip6tables`, or one rule of a file that iptables-restore reads, as the
//! program itself takes it apart (`do_parse`, iptables 1.8.11 `iptables/xshared.c`).

mod checks;
mod commands;
mod extensions;
mod options;
mod words;

use crate::pipeline::firewall::change::{Addresses, Family, Negatable, Protocol};

use super::value::Context;
use super::{extension, number, protocol};
use crate::pipeline::firewall::getopt::{Item, Scanner};
use crate::pipeline::firewall::reason::shown;
use extensions::Extensions;
pub(super) use extensions::{Given, Loaded};
use options::{Base, Once, Seen};
use words::{check_target_name, interface, scanned_seconds};

/// Largest pause of `--wait-interval`, in microseconds (`parse_wait_interval`, `xshared.c`).
const WAIT_INTERVAL_US_MAX: u64 = 999_999;

/// Why the program would refuse a command line.
pub(super) type Rejection = String;

/// Where a command line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    CommandLine,
    /// A line of a file that iptables-restore reads: it names no table, and waits for no lock.
    RestoreFile,
}

/// What is to be done; a rule's position is counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb<'a> {
    Append,
    Insert(u32),
    Replace(u32),
    Delete,
    DeleteIndex(u32),
    Check,
    Flush,
    Zero,
    NewChain,
    DeleteChain,
    RenameChain(&'a [u8]),
    SetPolicy(&'a [u8]),
    /// Only listing.
    List,
    /// Help, the version, or a line that is for the other family.
    Nothing,
}

impl Verb<'_> {
    /// Whether a rule is part of it.
    pub(super) fn has_rule(self) -> bool {
        matches!(
            self,
            Self::Append | Self::Insert(_) | Self::Replace(_) | Self::Delete | Self::Check
        )
    }
}

/// Where a rule sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jump<'a> {
    To(&'a [u8]),
    Goto(&'a [u8]),
}

/// A command line taken apart.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    pub(super) verb: Verb<'a>,
    pub(super) table: &'a [u8],
    pub(super) chain: Option<&'a [u8]>,
    pub(super) protocol: Option<Negatable<Protocol>>,
    pub(super) sources: Option<Negatable<Vec<Addresses>>>,
    pub(super) destinations: Option<Negatable<Vec<Addresses>>>,
    pub(super) in_interface: Option<Negatable<&'a [u8]>>,
    pub(super) out_interface: Option<Negatable<&'a [u8]>>,
    pub(super) fragment: Option<Negatable<()>>,
    pub(super) jump: Option<Jump<'a>>,
    pub(super) matches: Vec<Loaded<'a>>,
    pub(super) target: Option<Loaded<'a>>,
}

/// Takes `arguments`, which are without the program's name, apart. `table` is the one that is meant when none is
/// named.
///
/// # Errors
/// Why the program would refuse them.
pub(super) fn parse<'a>(
    family: Family,
    source: Source,
    table: &'a [u8],
    arguments: &'a [&'a [u8]],
) -> Result<Request<'a>, Rejection> {
    let mut reader = Reader {
        family,
        source,
        scanner: Scanner::new(arguments),
        extensions: Extensions::new(options::LONG),
        protocol_text: None,
        seen: Seen::default(),
        negated: false,
        verb: None,
        lists: false,
        waits: false,
        has_wait_interval: false,
        table,
        chain: None,
        protocol: None,
        sources: None,
        destinations: None,
        in_interface: None,
        out_interface: None,
        fragment: None,
        jump: None,
    };
    if reader.read()? == Flow::Exit {
        return Ok(reader.into_request(Verb::Nothing));
    }
    let verb = reader.check()?;
    let (sources, destinations) = reader.both_sides()?;
    Ok(Request {
        sources,
        destinations,
        ..reader.into_request(verb)
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    GoOn,
    /// Nothing behind this is looked at.
    Exit,
}

/// An option as its extensions and the program have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Base(Base),
    /// Of the extension that was loaded as the `slot`th.
    Extension {
        slot: usize,
        option: u8,
    },
}

struct Reader<'a> {
    family: Family,
    source: Source,
    scanner: Scanner<'a>,
    extensions: Extensions<'a>,
    /// Of `-p`, in lower case, until it has loaded its match.
    protocol_text: Option<Vec<u8>>,
    seen: Seen,
    /// A `!` stands before what comes next.
    negated: bool,
    verb: Option<Verb<'a>>,
    lists: bool,
    waits: bool,
    has_wait_interval: bool,
    table: &'a [u8],
    chain: Option<&'a [u8]>,
    protocol: Option<Negatable<Protocol>>,
    sources: Option<Negatable<&'a [u8]>>,
    destinations: Option<Negatable<&'a [u8]>>,
    in_interface: Option<Negatable<&'a [u8]>>,
    out_interface: Option<Negatable<&'a [u8]>>,
    fragment: Option<Negatable<()>>,
    jump: Option<Jump<'a>>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<Flow, Rejection> {
        loop {
            let before = self.scanner;
            match self.scanner.next(options::short, self.extensions.long()) {
                Item::End => break,
                Item::Word(b"!") if self.negated => {
                    return Err("two ! in a row".into());
                }
                Item::Word(b"!") => {
                    self.negated = true;
                    continue;
                }
                Item::Word(word) => return Err(format!("a stray argument: {}", shown(word))),
                Item::Unknown | Item::ValueMissing => {
                    self.load_match_of_protocol(before)?;
                    continue;
                }
                Item::Option { id, value } => {
                    if self.option(id, value.unwrap_or_default(), value)? == Flow::Exit {
                        return Ok(Flow::Exit);
                    }
                }
            }
            self.negated = false;
        }
        match self.scanner.rest() {
            [] => Ok(Flow::GoOn),
            [word, ..] => Err(format!("a stray argument: {}", shown(word))),
        }
    }

    /// An option that nothing knows makes the match of the protocol known, once; then it is read again.
    fn load_match_of_protocol(&mut self, before: Scanner<'a>) -> Result<(), Rejection> {
        let unknown = || "an option that is unknown, ambiguous or lacks its value".to_owned();
        let text = self.protocol_text.take().ok_or_else(unknown)?;
        let name = protocol::extension_name(&text).ok_or_else(unknown)?;
        let found = extension::find_match(name, self.family).ok_or_else(unknown)?;
        self.extensions.load_match(found);
        self.scanner = before;
        Ok(())
    }

    fn option(
        &mut self,
        id: Id,
        value: &'a [u8],
        optional: Option<&'a [u8]>,
    ) -> Result<Flow, Rejection> {
        let base = match id {
            Id::Extension { slot, option } => {
                self.extension_option(slot, option, value)?;
                return Ok(Flow::GoOn);
            }
            Id::Base(base) => base,
        };
        match base {
            Base::Exit => return Ok(Flow::Exit),
            Base::Ipv4 | Base::Ipv6 => return self.family_option(base),
            Base::Table => self.table_option(value)?,
            Base::Wait | Base::WaitInterval => self.wait(base, optional)?,
            Base::Match => self.match_option(value)?,
            Base::Modprobe => {}
            Base::Command(command) => self.command(command, value, optional)?,
            Base::Once(once) => self.once(once, value)?,
        }
        Ok(Flow::GoOn)
    }

    fn extension_option(
        &mut self,
        slot: usize,
        option: u8,
        value: &'a [u8],
    ) -> Result<(), Rejection> {
        let context = Context {
            family: self.family,
            protocol: self.plain_protocol(),
        };
        self.extensions.option(
            extensions::Use {
                slot,
                option,
                value,
                negated: self.negated,
            },
            context,
            &mut self.scanner,
        )
    }

    fn table_option(&mut self, value: &'a [u8]) -> Result<(), Rejection> {
        if self.negated {
            return Err("a ! before --table".into());
        }
        if self.source == Source::RestoreFile {
            return Err("--table in a file of rules".into());
        }
        self.table = value;
        Ok(())
    }

    /// A line for the other family is passed over in a file of rules, which both programs may read.
    fn family_option(&self, base: Base) -> Result<Flow, Rejection> {
        let own = if self.family == Family::Ipv6 {
            Base::Ipv6
        } else {
            Base::Ipv4
        };
        match self.source {
            _ if base == own => Ok(Flow::GoOn),
            Source::RestoreFile => Ok(Flow::Exit),
            Source::CommandLine => Err("an option for the other family".into()),
        }
    }

    fn wait(&mut self, base: Base, attached: Option<&'a [u8]>) -> Result<(), Rejection> {
        if self.source == Source::RestoreFile {
            return Err("--wait in a file of rules".into());
        }
        let text = attached.or_else(|| self.scanner.take_plain());
        if base == Base::WaitInterval {
            self.has_wait_interval = true;
            let pause = text.and_then(number::decimal_prefix);
            let fits = pause.is_some_and(|pause| pause.value <= WAIT_INTERVAL_US_MAX);
            return match fits {
                true => Ok(()),
                false => Err("--wait-interval without microseconds".into()),
            };
        }
        self.waits = match text {
            None => true,
            Some(text) => scanned_seconds(text).ok_or("--wait without seconds")? != 0,
        };
        Ok(())
    }

    fn match_option(&mut self, name: &[u8]) -> Result<(), Rejection> {
        if self.negated {
            return Err("a ! before --match".into());
        }
        let found = extension::find_match(name, self.family)
            .ok_or_else(|| format!("no such match: {}", shown(name)))?;
        self.extensions.load_match(found);
        Ok(())
    }

    fn once(&mut self, once: Once, value: &'a [u8]) -> Result<(), Rejection> {
        let negated = self.negated;
        self.seen.add(once, negated)?;
        match once {
            Once::Protocol => self.protocol_option(value)?,
            Once::Source => self.sources = Some(Negatable { value, negated }),
            Once::Destination => self.destinations = Some(Negatable { value, negated }),
            Once::InInterface => self.in_interface = Some(interface(value, negated)?),
            Once::OutInterface => self.out_interface = Some(interface(value, negated)?),
            Once::Fragment if self.family == Family::Ipv6 => {
                return Err("-f with IPv6".into());
            }
            Once::Fragment => self.fragment = Some(Negatable { value: (), negated }),
            Once::Jump => self.jump_option(value)?,
            Once::Goto => {
                check_target_name(value)?;
                self.jump = Some(Jump::Goto(value));
            }
            Once::SetCounters => self.counters(value)?,
            Once::Exact | Once::LineNumbers | Once::Numeric | Once::Verbose => {}
        }
        Ok(())
    }

    fn protocol_option(&mut self, value: &[u8]) -> Result<(), Rejection> {
        let text = value.to_ascii_lowercase();
        let value =
            protocol::parse(&text).ok_or_else(|| format!("no such protocol: {}", shown(&text)))?;
        if value == Protocol(0) && self.negated {
            return Err("a protocol that is none".into());
        }
        self.protocol = Some(Negatable {
            value,
            negated: self.negated,
        });
        self.protocol_text = Some(text);
        Ok(())
    }

    fn jump_option(&mut self, name: &'a [u8]) -> Result<(), Rejection> {
        if name == b"CONTINUE" {
            return Ok(());
        }
        check_target_name(name)?;
        self.jump = Some(Jump::To(name));
        if let Some(target) = extension::find_target(name, self.family) {
            self.extensions.load_target(target);
        }
        Ok(())
    }

    fn counters(&mut self, value: &'a [u8]) -> Result<(), Rejection> {
        let mut parts = value.splitn(2, |&byte| byte == b',');
        let packets = parts.next();
        let bytes = parts.next().or_else(|| self.scanner.take_plain());
        let are_numbers = [packets, bytes]
            .into_iter()
            .all(|text| text.and_then(number::decimal_prefix).is_some());
        match are_numbers {
            true => Ok(()),
            false => Err("--set-counters without two numbers".into()),
        }
    }

    fn plain_protocol(&self) -> Option<Protocol> {
        let protocol = self.protocol.as_ref().filter(|protocol| !protocol.negated);
        protocol
            .map(|protocol| protocol.value)
            .filter(|&protocol| protocol != Protocol(0))
    }

    fn into_request(self, verb: Verb<'a>) -> Request<'a> {
        let (matches, target) = self.extensions.into_loaded();
        Request {
            verb,
            table: self.table,
            chain: self.chain,
            protocol: self.protocol,
            sources: None,
            destinations: None,
            in_interface: self.in_interface,
            out_interface: self.out_interface,
            fragment: self.fragment,
            jump: self.jump,
            matches,
            target,
        }
    }
}

/// Whether it is one of the verdicts that need no extension (`xtables_find_target`, iptables
/// `libxtables/xtables.c`).
pub(super) fn is_verdict(name: &[u8]) -> bool {
    matches!(name, b"" | b"ACCEPT" | b"DROP" | b"QUEUE" | b"RETURN")
}
