//! What the programs look at once they have read a whole command line.

use super::words::NAME_BYTES;
use super::{Jump, Reader, Rejection, Verb};
use crate::pipeline::firewall::change::{Addresses, Family, Negatable, Protocol};
use crate::pipeline::firewall::iptables::address;
use crate::pipeline::firewall::reason::shown;

/// Addresses on one side of a rule.
type Side = Option<Negatable<Vec<Addresses>>>;

impl<'a> Reader<'a> {
    /// What is looked at once all has been read.
    pub(super) fn check(&mut self) -> Result<Verb<'a>, Rejection> {
        self.check_nat_drops_nothing()?;
        if self.has_wait_interval && !self.waits {
            return Err("--wait-interval without --wait".into());
        }
        self.extensions.check()?;
        if self.negated {
            return Err("nothing behind a !".into());
        }
        let verb = match self.verb {
            Some(verb) => verb,
            None if self.lists => Verb::List,
            None => return Err("no command".into()),
        };
        self.seen.check(verb, self.lists)?;
        self.check_chain(verb)?;
        if verb.has_rule() {
            self.check_protocol_of_matches()?;
        }
        Ok(verb)
    }

    fn check_nat_drops_nothing(&self) -> Result<(), Rejection> {
        let drops = self.verb == Some(Verb::SetPolicy(b"DROP"))
            || matches!(self.jump, Some(Jump::To(b"DROP") | Jump::Goto(b"DROP")));
        match self.table == b"nat" && drops {
            true => Err("DROP in the table nat".into()),
            false => Ok(()),
        }
    }

    fn check_chain(&self, verb: Verb<'_>) -> Result<(), Rejection> {
        let Some(chain) = self.chain else {
            return Ok(());
        };
        if chain.len() >= NAME_BYTES {
            return Err("a chain with too long a name".into());
        }
        let has = |side: &Option<Negatable<&[u8]>>| verb.has_rule() && side.is_some();
        match chain {
            b"" if verb.has_rule() => Err("a chain without a name".into()),
            b"PREROUTING" | b"INPUT" if has(&self.out_interface) => {
                Err("-o where packets come in".into())
            }
            b"POSTROUTING" | b"OUTPUT" if has(&self.in_interface) => {
                Err("-i where packets go out".into())
            }
            _ => Ok(()),
        }
    }

    /// The addresses of both sides, of which several cannot stand with a `!`.
    pub(super) fn both_sides(&self) -> Result<(Side, Side), Rejection> {
        let sources = side(self.sources.as_ref(), self.family)?;
        let destinations = side(self.destinations.as_ref(), self.family)?;
        let sides = || sources.iter().chain(&destinations);
        let is_several = sides().any(|side| side.value.len() > 1);
        if is_several && sides().any(|side| side.negated) {
            return Err("a ! and several addresses".into());
        }
        Ok((sources, destinations))
    }

    /// The matches `tcp` and `udp` are for their own protocol. The kernel refuses them with another one, and the newer
    /// nft programs do so before (`add_nft_tcp`, iptables `iptables/nft.c`).
    fn check_protocol_of_matches(&self) -> Result<(), Rejection> {
        let protocol = self.protocol.as_ref().map(|protocol| protocol.value);
        let is_alien = |name| match name {
            "tcp" => protocol != Some(Protocol::TCP),
            "udp" => protocol != Some(Protocol::UDP),
            _ => false,
        };
        match self.extensions.match_names().any(is_alien) {
            true => Err("a match for another protocol".into()),
            false => Ok(()),
        }
    }
}

fn side(given: Option<&Negatable<&[u8]>>, family: Family) -> Result<Side, Rejection> {
    let Some(&Negatable { value, negated }) = given else {
        return Ok(None);
    };
    let value =
        address::list(value, family).ok_or_else(|| format!("no addresses: {}", shown(value)))?;
    Ok(Some(Negatable { value, negated }))
}
