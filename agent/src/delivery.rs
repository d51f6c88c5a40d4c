//! The outside: turns alerts into lines and lines into copies that last.

pub mod encode;
mod lane;
pub mod local_log;
mod stdout;
pub mod writer;
