//! The tamper layer's words: which firewall is changed, and how.

pub mod change;
mod getopt;
pub mod nft;
