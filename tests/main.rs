//! The integration tests of wallwatch: one binary, a file for each theme.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod campaign;
mod certificates;
mod cli;
mod doctor;
mod explain;
mod harness;
mod http;
mod http_double;
mod iptables_differential;
mod kernel;
mod live;
mod nft_differential;
mod parity;
mod procfs;
mod receivers;
mod receivers_otlp;
mod replay;
mod service;
mod siem;
mod sinks;
mod store;
#[path = "stub/tiny_elf.rs"]
mod tiny_elf;
