//! The outside: turns alerts into lines and lines into copies that last.

mod backoff;
mod dead_letter;
pub mod encode;
pub mod event;
mod feed;
pub mod format;
mod forward;
mod intake;
pub mod local_log;
mod notices;
mod queue;
pub mod sink;
pub mod sinks;
mod stdout;
pub mod store;
pub mod writer;
