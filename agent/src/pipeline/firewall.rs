//! The tamper layer: which firewall is changed, how, by whom, and whether that opens, closes or blinds
//! something.

pub mod change;
pub mod edit;

pub mod netlink;
mod twins;
pub mod xtables;

mod getopt;
pub mod iptables;
mod names;
pub mod nft;
mod options;
pub mod program;
mod reason;
pub mod tools;

pub mod allowed;
pub mod assess;
pub mod disguise;
mod known_managers;
pub mod managers;
pub mod origin;
pub mod severity;

pub mod finding;
mod group;
pub mod hashes;
pub mod tamper;
