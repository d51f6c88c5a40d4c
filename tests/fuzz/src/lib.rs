//! What must hold for any bytes whatever, one module for each fuzz target, and the seeds from which
//! libFuzzer sets out.

pub mod answers;
pub mod btf;
pub mod command;
pub mod formats;
pub mod netlink;
pub mod record;
pub mod recording;
pub mod ruleset;
pub mod spool;
pub mod xtables;

mod alerts;
mod changes;
#[cfg(test)]
mod corpus;
mod size;

use changes::{check_changes, check_command};
use size::repeated;
