//! The throughput that each observer leaves, as an SVG.

use std::fmt::{self, Display};

use super::goals::THROUGHPUT_GOAL;
use super::observer::Observer;
use super::pairing::{Comparison, Observed};
use super::spread::Spread;

const WIDTH: f64 = 900.0;
/// Where the axis begins and ends; to its left stand names, to its right figures.
const AXIS_LEFT: f64 = 310.0;
const AXIS_RIGHT: f64 = 720.0;
const ROW: f64 = 22.0;
const TOP: f64 = 56.0;

/// The axis ends a little beyond all that is measured; its ticks stand so far apart at least.
const MARGIN: f64 = 0.02;
const TICKS_MAX: f64 = 10.0;

/// The agent among the others.
const COLOUR_AGENT: &str = "#c2410c";
const COLOUR_OTHERS: &str = "#2563a8";

pub(crate) struct Plot<'a> {
    comparisons: &'a [Comparison],
    axis: Axis,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    min: f64,
    max: f64,
}

impl<'a> Plot<'a> {
    pub(crate) fn of(comparisons: &'a [Comparison]) -> Self {
        let observed = comparisons.iter().flat_map(|it| &it.observed);
        let ratios = observed.filter_map(|it| it.throughput_ratio);
        Self {
            comparisons,
            axis: Axis::around(ratios),
        }
    }
}

impl Axis {
    fn around(ratios: impl Iterator<Item = Spread>) -> Self {
        let (min, max) = ratios.fold((THROUGHPUT_GOAL, 1.0_f64), |(min, max), it| {
            (min.min(it.min), max.max(it.max))
        });
        Self {
            min: (min - MARGIN).max(0.0),
            max: max + MARGIN,
        }
    }

    fn x(self, ratio: f64) -> f64 {
        AXIS_LEFT + (ratio - self.min) / (self.max - self.min) * (AXIS_RIGHT - AXIS_LEFT)
    }

    /// At multiples of a round step.
    fn ticks(self) -> Vec<f64> {
        let step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
            .into_iter()
            .find(|step| (self.max - self.min) / step <= TICKS_MAX)
            .unwrap_or(1.0);
        let (first, last) = ((self.min / step).ceil(), (self.max / step).floor());
        (first as i64..=last as i64)
            .map(|number| number as f64 * step)
            .collect()
    }
}

impl Display for Plot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self
            .comparisons
            .iter()
            .map(|it| it.observed.len() + 2)
            .sum();
        let bottom = TOP + rows as f64 * ROW;
        let height = bottom + 40.0;
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">"#
        )?;
        writeln!(f, "<title>Throughput with an observer, bare = 1</title>")?;
        writeln!(f, r##"<rect width="100%" height="100%" fill="#fff"/>"##)?;
        let title = "Throughput with an observer, bare = 1";
        text(f, 16.0, 26.0, title, Style::Title)?;
        let legend = "dot: median, bar: from the least to the greatest round";
        text(f, AXIS_LEFT + 110.0, 26.0, legend, Style::Faint)?;
        self.write_axis(f, bottom)?;
        let mut y = TOP;
        for comparison in self.comparisons {
            self.write_goal(f, y, comparison)?;
            y += ROW;
            text(f, 16.0, y, &comparison.name, Style::Heading)?;
            for observed in &comparison.observed {
                y += ROW;
                self.write_observed(f, y, observed)?;
            }
            y += ROW;
        }
        writeln!(f, "</svg>")
    }
}

impl Plot<'_> {
    fn write_axis(&self, f: &mut fmt::Formatter<'_>, bottom: f64) -> fmt::Result {
        for tick in self.axis.ticks() {
            let (x, label) = (self.axis.x(tick), format!("{tick:.2}"));
            line(f, (x, x), (TOP, bottom), "#e4e4e4", 1.0)?;
            text(f, x - 12.0, bottom + 18.0, &label, Style::Faint)?;
        }
        let x = self.axis.x(1.0);
        line(f, (x, x), (TOP, bottom), "#444", 1.0)
    }

    /// Only the cheapest exec has one.
    fn write_goal(
        &self,
        f: &mut fmt::Formatter<'_>,
        y: f64,
        comparison: &Comparison,
    ) -> fmt::Result {
        if !comparison.workload.is_cheapest_exec() {
            return Ok(());
        }
        let x = self.axis.x(THROUGHPUT_GOAL);
        let bottom = y + (comparison.observed.len() + 1) as f64 * ROW;
        line(f, (x, x), (y + 10.0, bottom), COLOUR_AGENT, 1.0)?;
        let label = format!("goal {THROUGHPUT_GOAL}");
        text(f, x - 56.0, y + 18.0, &label, Style::Faint)
    }

    fn write_observed(
        &self,
        f: &mut fmt::Formatter<'_>,
        y: f64,
        observed: &Observed,
    ) -> fmt::Result {
        text(f, 28.0, y, observed.observer.name(), Style::Plain)?;
        let Some(ratio) = observed.throughput_ratio else {
            return text(f, AXIS_LEFT, y, "not measured", Style::Faint);
        };
        let colour = match observed.observer {
            Observer::Wallwatch => COLOUR_AGENT,
            Observer::Nobody
            | Observer::EmptyProgram
            | Observer::Auditd
            | Observer::Bpftrace
            | Observer::Execsnoop => COLOUR_OTHERS,
        };
        let middle = y - 4.0;
        let [min, median, max] = [ratio.min, ratio.median, ratio.max].map(|it| self.axis.x(it));
        line(f, (min, max), (middle, middle), colour, 3.0)?;
        writeln!(
            f,
            r#"<circle cx="{median:.1}" cy="{middle:.1}" r="5" fill="{colour}"/>"#
        )?;
        text(
            f,
            AXIS_RIGHT + 10.0,
            y,
            &format!("{ratio:.3}"),
            Style::Plain,
        )
    }
}

#[derive(Clone, Copy)]
enum Style {
    Title,
    Heading,
    Plain,
    Faint,
}

fn text(f: &mut fmt::Formatter<'_>, x: f64, y: f64, words: &str, style: Style) -> fmt::Result {
    let style = match style {
        Style::Title => r#"font-size="17""#,
        Style::Heading => r#"font-weight="bold""#,
        Style::Plain => r##"fill="#222""##,
        Style::Faint => r##"fill="#777" font-size="11""##,
    };
    writeln!(
        f,
        r#"<text x="{x:.1}" y="{y:.1}" {style}>{}</text>"#,
        escape(words)
    )
}

fn line(
    f: &mut fmt::Formatter<'_>,
    (x1, x2): (f64, f64),
    (y1, y2): (f64, f64),
    colour: &str,
    width: f64,
) -> fmt::Result {
    writeln!(
        f,
        r#"<line x1="{x1:.1}" x2="{x2:.1}" y1="{y1:.1}" y2="{y2:.1}" stroke="{colour}" stroke-width="{width}"/>"#
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(min: f64, max: f64) -> Axis {
        let ratio = Spread {
            min,
            median: min,
            max,
        };
        Axis::around([ratio].into_iter())
    }

    #[test]
    fn the_axis_holds_all_that_is_measured_and_the_goal() {
        assert_eq!(axis(0.97, 0.99), axis(0.96, 1.0));
        let wide = axis(0.4, 1.1);
        assert!(wide.min < 0.4 && wide.max > 1.1);
        assert_eq!(wide.x(wide.min), AXIS_LEFT);
        assert_eq!(wide.x(wide.max), AXIS_RIGHT);
    }

    #[test]
    fn ticks_are_few_and_round() {
        let ticks: Vec<String> = axis(0.4, 1.05)
            .ticks()
            .iter()
            .map(|tick| format!("{tick:.2}"))
            .collect();
        assert_eq!(
            ticks,
            ["0.40", "0.50", "0.60", "0.70", "0.80", "0.90", "1.00"]
        );
        assert!(axis(0.99, 1.0).ticks().len() <= 10);
    }

    #[test]
    fn names_cannot_end_the_text() {
        assert_eq!(escape("a<b&c"), "a&lt;b&amp;c");
    }
}
