//! wallwatch: knows, on the host and at once, when a Linux firewall is being opened, and by whom.
//!
//! ```text
//!   host ──────────────→ pipeline ──────────────→ delivery
//!   bytes and facts      what they mean           copies that last
//! ```

pub mod cli;
pub mod exit_code;

#[forbid(unsafe_code)]
pub mod config;
#[forbid(unsafe_code)]
pub mod delivery;
pub mod host;
#[forbid(unsafe_code)]
pub mod pipeline;

#[forbid(unsafe_code)]
pub mod formats;
pub mod lines;
#[forbid(unsafe_code)]
pub mod own;
pub mod recording;
mod socket_queue;
#[forbid(unsafe_code)]
pub mod state;

#[forbid(unsafe_code)]
pub mod alert_log;
#[forbid(unsafe_code)]
pub mod baseline;
pub mod compose;
#[forbid(unsafe_code)]
pub mod doctor;
#[forbid(unsafe_code)]
pub mod explain;
pub mod record;
pub mod replay;
pub mod report;
pub mod rules;
pub mod run;
#[forbid(unsafe_code)]
pub mod sinks;
#[forbid(unsafe_code)]
pub mod stored;
