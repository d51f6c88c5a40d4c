//! `ruleset.netlink`: the ruleset of nf_tables as the agent knew it last, in the kernel's own words; and
//! `tables.xtables`: the same of the tables of x_tables.
//!
//! | part | content |
//! |---|---|
//! | first line | JSON: `schema`, `boot_id`, `agent_version`, `saved_ns` (since 1970), `generation`, `bytes`, `digest` |
//! | rest | `bytes` bytes of netlink messages, as a listing gave them; or of tables ([`Listing`]), whose `generation` is 0 |
//!
//! [`Listing`]: crate::pipeline::firewall::xtables::Listing
//!
//! The digest is a UUIDv5 over generation and messages: a rule that a damaged byte has changed would look like
//! a change of the firewall, so one wrong byte makes the whole file unusable. The file is good for every boot.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::uuid_text;
use crate::lines::read_line;
use crate::pipeline::firewall::netlink::remembered::Listed;

/// One of the two files.
pub(super) struct Format {
    pub(super) file_name: &'static str,
    schema: &'static str,
}

pub(super) const NF_TABLES: Format = Format {
    file_name: "ruleset.netlink",
    schema: "wallwatch.ruleset/1",
};

pub(super) const X_TABLES: Format = Format {
    file_name: "tables.xtables",
    schema: "wallwatch.tables/1",
};

/// The most that is kept of a ruleset, in bytes: some 60,000 rules of one port each. A larger one is not kept,
/// nor is a part of it.
pub const LISTED_BYTES_MAX: usize = 32 << 20;

/// Longest first line that is read.
const HEAD_BYTES_MAX: u64 = 4 << 10;

/// What a file came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// It is not of this format, or damaged; what is wrong.
    Unusable(&'static str),
    Kept(Kept),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) boot_id: Uuid,
    /// When it was kept, in nanoseconds since 1970.
    pub(super) saved_ns: u64,
    pub(super) listed: Listed,
}

/// Writes a whole file.
pub(super) fn write(out: &mut impl Write, format: &Format, kept: &Kept) -> io::Result<()> {
    let Kept {
        boot_id,
        saved_ns,
        listed,
    } = kept;
    let head = Head {
        schema: format.schema.to_owned(),
        boot_id: *boot_id,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        saved_ns: *saved_ns,
        generation: listed.generation,
        bytes: listed.messages.len() as u64,
        digest: digest(listed),
    };
    serde_json::to_writer(&mut *out, &head)?;
    out.write_all(b"\n")?;
    out.write_all(&listed.messages)
}

/// Reads a whole file, at most [`LISTED_BYTES_MAX`] of messages.
///
/// # Errors
///
/// When the file cannot be read; what is wrong with its content is [`Content::Unusable`].
pub(super) fn read(mut input: impl BufRead, format: &Format) -> io::Result<Content> {
    let mut line = Vec::new();
    read_line(&mut input, &mut line, HEAD_BYTES_MAX)?;
    let head = match serde_json::from_slice::<Head>(&line) {
        Ok(head) if head.schema == format.schema => head,
        _ => return Ok(Content::Unusable("not the first line of this format")),
    };
    if head.bytes > LISTED_BYTES_MAX as u64 {
        return Ok(Content::Unusable("a larger ruleset than is kept"));
    }
    let mut messages = Vec::new();
    input.take(head.bytes + 1).read_to_end(&mut messages)?;
    let listed = Listed {
        generation: head.generation,
        messages,
    };
    if listed.messages.len() as u64 != head.bytes || digest(&listed) != head.digest {
        return Ok(Content::Unusable("damaged"));
    }
    Ok(Content::Kept(Kept {
        boot_id: head.boot_id,
        saved_ns: head.saved_ns,
        listed,
    }))
}

/// Against damage, not against an attacker: whoever can write the file can write the digest.
fn digest(listed: &Listed) -> Uuid {
    /// UUIDv4, made for this purpose.
    const NAMESPACE: Uuid = Uuid::from_u128(0x0f5b_8a1e_6c39_4d27_b1c4_93d2_7e60_58af);
    let generation = Uuid::new_v5(&NAMESPACE, &listed.generation.to_be_bytes());
    Uuid::new_v5(&generation, &listed.messages)
}

#[derive(Serialize, Deserialize)]
struct Head {
    schema: String,
    #[serde(with = "uuid_text")]
    boot_id: Uuid,
    agent_version: String,
    saved_ns: u64,
    generation: u32,
    bytes: u64,
    #[serde(with = "uuid_text")]
    digest: Uuid,
}

#[cfg(test)]
mod tests;
