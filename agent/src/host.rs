//! The machine: everything that reads it. Nothing here decides what an exec means.

pub mod btf;
pub mod capabilities;
pub mod cgroups;
pub mod clock;
pub mod complete;
pub mod config_watch;
pub mod counters;
pub mod hasher;
pub mod identity;
pub mod namespaces;
pub mod netfilter;
pub mod procfs;
pub mod provenance;
pub mod ring;
pub mod sensor;
pub mod shares;
pub mod source;
pub mod systemd;
pub mod urgent;
pub mod users;
pub mod xtables;
