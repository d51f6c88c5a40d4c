//! The outside: turns alerts into lines and lines into copies that last.

pub mod encode;
pub mod local_log;
mod queue;
mod stdout;
pub mod writer;
