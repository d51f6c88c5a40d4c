//! What must hold for any bytes whatever, one module for each fuzz target, and the seeds from which
//! libFuzzer sets out.

pub mod btf;
pub mod formats;
pub mod record;
pub mod recording;

mod alerts;
#[cfg(test)]
mod corpus;
