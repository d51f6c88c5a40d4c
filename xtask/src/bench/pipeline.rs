//! The speed of the pipeline alone: the benchmarks of the agent, which need neither root nor a kernel.

use serde::Serialize;

use anyhow::Context;

use crate::cmd;

/// One benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Speed {
    pub(crate) name: String,
    /// Of an iteration, at the median.
    pub(crate) ns: f64,
    /// Records, or lines, a second.
    pub(crate) items_per_s: f64,
    /// Of an iteration: how often memory was asked for, grown buffers included, and how much.
    pub(crate) allocations: f64,
    pub(crate) allocated_bytes: f64,
}

pub(crate) fn run() -> anyhow::Result<Vec<Speed>> {
    let arguments = [
        "bench",
        "--locked",
        "-p",
        "wallwatch",
        "--bench",
        "pipeline",
    ];
    println!("+ cargo {}", arguments.join(" "));
    let table = cmd::output(cmd::cargo().args(arguments))?;
    let speeds = parse(&table);
    speeds
        .filter(|speeds| !speeds.is_empty())
        .with_context(|| format!("read the table of the benchmarks:\n{table}"))
}

/// Which figure of a benchmark the lines that follow hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Time,
    /// Allocated anew, or by growing what was there: first how often, then how much.
    Allocated,
    /// Freed, or the most at one time: of no interest here.
    Other,
}

/// Reads divan's table: a line with the name and times of each benchmark, below it items a second,
/// then groups that are headed `alloc:`, `grow:` and so on. The median is the third column.
fn parse(table: &str) -> Option<Vec<Speed>> {
    let mut speeds: Vec<Speed> = Vec::new();
    let mut part = Part::Other;
    for line in table.lines() {
        let line = line.trim_start_matches(['│', ' ']);
        if let Some(named) = line.strip_prefix("├─ ").or(line.strip_prefix("╰─ ")) {
            speeds.push(begin(named)?);
            part = Part::Time;
            continue;
        }
        let Some(speed) = speeds.last_mut() else {
            continue;
        };
        match line.split('│').next().unwrap_or_default().trim() {
            "alloc:" | "grow:" => part = Part::Allocated,
            heading if heading.ends_with(':') => part = Part::Other,
            // A line without columns stands between tables, or at the end.
            _ => {
                if let Some(figure) = median(line) {
                    add(speed, part, figure);
                }
            }
        }
    }
    Some(speeds)
}

/// `name   fastest │ slowest │ median │ …`
fn begin(line: &str) -> Option<Speed> {
    let name = line.split_whitespace().next()?;
    let Figure { value, unit } = median(line)?;
    Some(Speed {
        name: name.to_owned(),
        ns: value * scale(unit.trim_end_matches('s'))? * 1e9,
        items_per_s: 0.0,
        allocations: 0.0,
        allocated_bytes: 0.0,
    })
}

fn add(speed: &mut Speed, part: Part, figure: Figure<'_>) {
    let Figure { value, unit } = figure;
    match (part, unit.strip_suffix("item/s"), unit.strip_suffix('B')) {
        (Part::Time, Some(prefix), _) => {
            speed.items_per_s = value * scale(prefix).unwrap_or(f64::NAN);
        }
        (Part::Allocated, _, Some(prefix)) => {
            speed.allocated_bytes += value * scale(prefix).unwrap_or(f64::NAN);
        }
        (Part::Allocated, None, None) => speed.allocations += value,
        (Part::Time | Part::Allocated | Part::Other, ..) => {}
    }
}

/// A number and its unit, which may be empty.
struct Figure<'a> {
    value: f64,
    unit: &'a str,
}

/// The third column.
fn median(line: &str) -> Option<Figure<'_>> {
    let mut words = line.split('│').nth(2)?.split_whitespace();
    Some(Figure {
        value: words.next()?.parse().ok()?,
        unit: words.next().unwrap_or_default(),
    })
}

fn scale(prefix: &str) -> Option<f64> {
    match prefix {
        "n" => Some(1e-9),
        "µ" => Some(1e-6),
        "m" => Some(1e-3),
        "" => Some(1.0),
        "K" => Some(1e3),
        "M" => Some(1e6),
        "G" => Some(1e9),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Timer precision: 20 ns
pipeline               fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ exec                272.3 ns      │ 312.3 ns      │ 277.8 ns      │ 280.1 ns      │ 100     │ 120000
│                      3.671 Mitem/s │ 3.201 Mitem/s │ 3.599 Mitem/s │ 3.57 Mitem/s  │         │
│                      max alloc:    │               │               │               │         │
│                        6           │ 6             │ 6             │ 6             │         │
│                        465 B       │ 465 B         │ 465 B         │ 465 B         │         │
│                      alloc:        │               │               │               │         │
│                        8           │ 8             │ 8             │ 8             │         │
│                        495 B       │ 495 B         │ 495 B         │ 495 B         │         │
│                      dealloc:      │               │               │               │         │
│                        8           │ 8             │ 8             │ 8             │         │
│                        495 B       │ 495 B         │ 495 B         │ 495 B         │         │
╰─ line_of_12_execs    14.31 µs      │ 33.45 µs      │ 14.7 µs       │ 14.98 µs      │ 100     │ 100
                       69.85 Kitem/s │ 29.89 Kitem/s │ 67.99 Kitem/s │ 66.75 Kitem/s │         │
                       alloc:        │               │               │               │         │
                         86          │ 86            │ 86            │ 86            │         │
                         6.544 KB    │ 6.544 KB      │ 6.544 KB      │ 6.544 KB      │         │
                       grow:         │               │               │               │         │
                         10          │ 10            │ 10.5          │ 10            │         │
                         8.184 KB    │ 8.184 KB      │ 8 KB          │ 8.184 KB      │         │

";

    #[test]
    fn the_medians_of_a_table_are_read() {
        let speeds = parse(TABLE).unwrap();
        let [exec, line] = speeds.as_slice() else {
            panic!("{speeds:?}");
        };
        assert_eq!(exec.name, "exec");
        assert_eq!(exec.ns.round(), 278.0);
        assert_eq!(exec.items_per_s, 3_599_000.0);
        assert_eq!((exec.allocations, exec.allocated_bytes), (8.0, 495.0));
        assert_eq!(line.name, "line_of_12_execs");
        assert_eq!(line.ns.round(), 14_700.0);
        assert_eq!(line.allocations, 96.5);
        assert_eq!(line.allocated_bytes, 14_544.0);
    }

    #[test]
    fn another_table_is_refused_or_empty() {
        assert_eq!(parse("running 0 tests\n"), Some(Vec::new()));
        assert_eq!(parse("├─ exec   fast │ slow │ soon │ late │\n"), None);
    }
}
