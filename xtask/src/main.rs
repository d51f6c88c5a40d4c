//! The project's own tasks.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to the person who started it"
)]

mod bench;
mod cmd;
mod demo;
mod ebpf;
mod fuzz;
mod guest;
mod setup;
mod test;
mod tidy;
mod time;
mod vm;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Task {
    /// Watch this machine's kernel while a stand-in for malware opens a firewall, and show the alert
    Demo(demo::Options),
    /// Everything that CI runs
    Test(test::Options),
    /// Build the kernel object from source
    Ebpf(ebpf::Options),
    /// Boot other kernels and run the kernel tests in each
    Vm(vm::Options),
    /// Boot a guest with a real systemd and try the service in it
    Guest(guest::Options),
    /// Fuzz the decoders
    Fuzz(fuzz::Options),
    /// Measure what the agent costs, and how fast its pipeline is
    Bench(bench::Options),
    /// One worker of a measurement
    #[command(hide = true)]
    BenchWorker(bench::worker::Options),
    /// Check the house rules
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Ebpf(options) => ebpf::run(&options),
        Task::Vm(options) => vm::run(&options),
        Task::Guest(options) => guest::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::BenchWorker(options) => bench::worker::run(&options),
        Task::Tidy => tidy::run(),
    }
}
