//! What the canary came to.

use crate::doctor::canary::{Books, Flight, Landed, Landing, Outcome, PORTS, Times};
use crate::doctor::check::{Cause, Check};
use crate::doctor::facts::Facts;
use crate::doctor::facts::alert_log::Place;
use crate::host::sensor::Sight;

const NAME: &str = "canary";

pub(super) fn canary(outcome: &Outcome, facts: &Facts) -> Check {
    match outcome {
        Outcome::NotAllowed { missing } => Check::skip(
            NAME,
            format!("not let go: {} missing", missing.join(" and ")),
        )
        .because(Cause::Permission)
        .remedy("run doctor as root, or as the agent's service runs"),
        Outcome::NotAttached {
            error,
            is_permission: true,
        } => Check::fail(NAME, Cause::Permission, error.as_str()).remedy(match facts.seccomp {
            Some(true) => "this process's system calls are filtered (seccomp): allow bpf and \
                           perf_event_open, or run it outside of that container",
            _ => "the kernel refuses although the capabilities are there: see lockdown and memory_lock, \
                  and ask the security module (SELinux, AppArmor) and the container",
        }),
        Outcome::NotAttached {
            error,
            is_permission: false,
        } => Check::fail(NAME, Cause::Kernel, error.as_str())
            .remedy(
                "see kernel, btf and tracefs, and whether /sys is mounted; if all is fine, report this \
                 kernel",
            ),
        Outcome::Broken { error } => Check::fail(NAME, Cause::Other, error.as_str())
            .remedy("correct what is named; if nothing is wrong there, report it"),
        Outcome::Flown(flight) => flown(flight, &facts.alert_log.place),
    }
}

fn flown(flight: &Flight, place: &Place) -> Check {
    let sight = match &flight.sight {
        Sight::Btf { .. } => "btf",
        Sight::Classic => "classic",
    };
    let check = match &flight.landing {
        Landing::Missing { waited } => missing(flight.seen, waited.as_secs()),
        Landing::Unwritten { error } => Check::fail(
            NAME,
            Cause::Other,
            format!("the alert was made and did not come to the disk: {error}"),
        )
        .remedy("see alert_log"),
        Landing::Landed(landed) => self::landed(landed, &flight.sight, place),
    };
    check.value("seen", flight.seen).value("sight", sight)
}

fn missing(seen: usize, waited_s: u64) -> Check {
    let of = PORTS.len();
    let check = Check::fail(
        NAME,
        Cause::Other,
        format!("no alert within {waited_s} s; the sensor saw {seen} of {of} canaries"),
    );
    if seen < of {
        check.remedy(
            "on a busy host allow it more --timeout; otherwise report it with the answer of --json",
        )
    } else {
        check.remedy("report it with the answer of --json: the pipeline did not do its part")
    }
}

fn landed(landed: &Landed, sight: &Sight, place: &Place) -> Check {
    let Landed {
        id,
        directory,
        substitute,
        times,
        differences,
    } = landed;
    let Legs {
        record,
        alert,
        disk,
    } = legs(*times);
    let found = format!(
        "exec to record {}, to alert {}, to disk {}",
        ms(record),
        ms(alert),
        ms(disk)
    );
    let check = if !differences.is_empty() {
        Check::fail(
            NAME,
            Cause::Other,
            format!(
                "the alert came to the disk otherwise than it was: {}",
                differences.join("; ")
            ),
        )
        .remedy("report it with the answer of --json")
    } else if *sight == Sight::Classic {
        Check::warn(NAME, format!("{found}; {sight}")).remedy("see btf")
    } else if let Some(why) = substitute {
        let found = format!(
            "{found}; written to {} instead ({why})",
            directory.display()
        );
        match place {
            // Nothing is wrong: the agent has not run here yet.
            Place::WillBeMade => Check::ok(NAME, found),
            Place::Log | Place::Directory | Place::Unusable { .. } => Check::warn(NAME, found)
                .remedy("see alert_log: the configured directory itself was not tried"),
        }
    } else {
        Check::ok(NAME, found)
    };
    check
        .value("id", id.to_string())
        .value("written_to", directory.display().to_string())
        .value("exec_to_record_us", record)
        .value("exec_to_alert_us", alert)
        .value("exec_to_disk_us", disk)
}

/// Microseconds since the exec.
struct Legs {
    record: u64,
    alert: u64,
    disk: u64,
}

fn legs(times: Times) -> Legs {
    let since = |at_ns: u64| at_ns.saturating_sub(times.exec_ns) / 1000;
    Legs {
        record: since(times.record_ns),
        alert: since(times.alert_ns),
        disk: since(times.disk_ns),
    }
}

fn ms(us: u64) -> String {
    format!("{}.{:02} ms", us / 1000, us % 1000 / 10)
}

pub(super) fn counters(outcome: &Outcome) -> Check {
    let name = "counters";
    let Outcome::Flown(flight) = outcome else {
        return Check::skip(name, "nothing was counted: see canary");
    };
    let books = match &flight.books {
        Ok(books) => *books,
        Err(error) => {
            return Check::fail(name, Cause::Other, format!("cannot be read: {error}"))
                .remedy("report it with the answer of --json");
        }
    };
    let Books {
        execs_seen,
        execs_rescued,
        execs_urgent,
        execs_bulk,
        execs_dropped,
        execs_missed,
        execs_received,
        forks_received,
        exits_received,
        undecoded,
        is_balanced,
    } = books;
    let found = format!(
        "{execs_seen} execs seen, {execs_rescued} rescued, {execs_received} received, {} lost",
        execs_dropped + execs_missed
    );
    let check = if undecoded > 0 {
        Check::fail(
            name,
            Cause::Other,
            format!("{found}; {undecoded} records could not be decoded"),
        )
        .remedy("report it with the answer of --json: this is a fault of wallwatch")
    } else if !is_balanced {
        Check::fail(
            name,
            Cause::Other,
            format!("{found}: the books do not balance"),
        )
        .remedy("report it with the answer of --json: this is a fault of wallwatch")
    } else if execs_dropped + execs_missed > 0 {
        Check::warn(name, found).remedy("see rings; raise bulk_ring_bytes under [sensor]")
    } else {
        Check::ok(name, found)
    };
    check
        .value("execs_seen", execs_seen)
        .value("execs_rescued", execs_rescued)
        .value("execs_urgent", execs_urgent)
        .value("execs_bulk", execs_bulk)
        .value("execs_dropped", execs_dropped)
        .value("execs_missed", execs_missed)
        .value("execs_received", execs_received)
        .value("forks_received", forks_received)
        .value("exits_received", exits_received)
        .value("undecoded", undecoded)
        .value("balanced", is_balanced)
}
