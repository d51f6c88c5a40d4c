//! The outside: turns alerts into lines and lines into copies that last.

mod backoff;
mod dead_letter;
pub mod encode;
mod feed;
mod forward;
mod intake;
pub mod local_log;
mod queue;
pub mod sink;
mod stdout;
pub mod store;
pub mod writer;
