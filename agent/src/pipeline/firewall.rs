//! The tamper layer's words: which firewall is changed, and how.

pub mod change;
mod getopt;
mod names;
pub mod nft;
pub mod program;
pub mod tools;
