//! A figure over time as an SVG plot with axes: dots or stems, and bands for intervals. Pure; it needs no script and no other file.

use crate::error::{Error, Result};
use crate::verify::detections::Interval;
use askama::Template;

/// Size of the SVG, pixels.
const SIZE: (f64, f64) = (760.0, 150.0);
/// Margins around the plot area, pixels.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 22.0;
/// Maximum number of steps between ticks: of the time axis, of the value axis.
const STEPS: (f64, f64) = (10.0, 4.0);

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A dot at each value.
    Dots,
    /// A vertical line from zero to each value.
    Stems,
}

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plot<'a> {
    pub title: &'a str,
    pub shape: Shape,
    /// Time (seconds) and value.
    pub points: &'a [(f64, f64)],
    pub bands: &'a [Interval],
    /// Length of the time axis, seconds.
    pub length: f64,
    /// The value axis reaches at least this far from zero.
    pub least: f64,
}

/// A plot in pixels. Numbers are strings where they have a fixed number of digits.
#[derive(Template)]
#[template(path = "plot.html", config = "src/harness/templates/askama.toml")]
struct Drawing<'a> {
    title: &'a str,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    shape: Shape,
    zero: String,
    bands: Vec<Band>,
    lines: Vec<Line>,
    seconds: Vec<Second>,
    points: Vec<Point>,
}

struct Band {
    x: String,
    width: String,
    seconds: String,
    from: String,
}

/// A tick of the value axis.
struct Line {
    value: f64,
    is_zero: bool,
    y: String,
    label_y: String,
}

/// A tick of the time axis.
struct Second {
    value: f64,
    x: String,
    anchor: &'static str,
}

struct Point {
    x: String,
    y: String,
}

impl Plot<'_> {
    /// The plot with its title, as an HTML `figure`.
    ///
    /// # Errors
    /// Ours: the template fails.
    pub fn html(&self) -> Result<String> {
        self.drawing().render().map_err(|e| Error::internal("cannot draw a plot").because(e))
    }

    fn drawing(&self) -> Drawing<'_> {
        let (low, high) = self.range();
        let (width, height) = SIZE;
        let (right, bottom) = (width - RIGHT, height - BOTTOM);
        let x = |at: f64| LEFT + (at / self.length).clamp(0.0, 1.0) * (right - LEFT);
        let y = |value: f64| bottom - (value - low) / (high - low) * (bottom - TOP);
        let tenths = |value: f64| format!("{value:.1}");
        let band = |Interval { from, until }: &Interval| Band {
            x: tenths(x(*from)),
            width: tenths((x(*until) - x(*from)).max(1.0)),
            seconds: format!("{:.2}", until - from),
            from: format!("{from:.2}"),
        };
        let line =
            |value: f64| Line { value, is_zero: value == 0.0, y: tenths(y(value)), label_y: tenths(y(value) + 4.0) };
        let second = |value: f64| {
            // The last label must not reach beyond the edge.
            let anchor = if x(value) > right - 12.0 { "end" } else { "middle" };
            Second { value, x: tenths(x(value)), anchor }
        };
        Drawing {
            title: self.title,
            width,
            height,
            left: LEFT,
            right,
            top: TOP,
            bottom,
            shape: self.shape,
            zero: tenths(y(0.0)),
            bands: self.bands.iter().map(band).collect(),
            lines: ticks(low, high, STEPS.1).into_iter().map(line).collect(),
            seconds: ticks(0.0, self.length, STEPS.0).into_iter().map(second).collect(),
            points: self.points.iter().map(|(at, value)| Point { x: tenths(x(*at)), y: tenths(y(*value)) }).collect(),
        }
    }

    /// Start and end of the value axis. It includes zero, and leaves some room beyond the extremes.
    fn range(&self) -> (f64, f64) {
        let values = self.points.iter().map(|(_, value)| *value).filter(|value| value.is_finite());
        let (low, high) = values.fold((0.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) =
            if low == 0.0 { (0.0, high.max(self.least)) } else { (low.min(-self.least), high.max(self.least)) };
        let edge = (high - low) * 0.08;
        (if low < 0.0 { low - edge } else { 0.0 }, high + edge)
    }
}

/// Round numbers from `low` to `high` with at most `most` steps between them.
fn ticks(low: f64, high: f64, most: f64) -> Vec<f64> {
    let rough = ((high - low) / most).max(f64::MIN_POSITIVE);
    let ten = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|of| of * ten).into_iter().find(|step| *step >= rough).unwrap_or(rough);
    // Counts have no fractions.
    let step = if step < 1.0 { 1.0 } else { step };
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot<'a>(shape: Shape, points: &'a [(f64, f64)], bands: &'a [Interval]) -> Plot<'a> {
        Plot { title: "x < y", shape, points, bands, length: 10.0, least: 5.0 }
    }

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(ticks(0.0, 324.0, 4.0), [0.0, 100.0, 200.0, 300.0]);
        assert_eq!(ticks(-7.0, 6.0, 4.0), [-5.0, 0.0, 5.0]);
        assert_eq!(ticks(0.0, 1.08, 4.0), [0.0, 1.0]);
        assert_eq!(ticks(0.0, 12.2, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    }

    #[test]
    fn a_dot_lies_where_its_value_says() {
        // Half of the time, and 100 of an axis that ends at 108.
        let svg = plot(Shape::Dots, &[(5.0, 100.0), (0.0, 0.0)], &[]).html().unwrap();
        let (x, foot) = (LEFT + (SIZE.0 - RIGHT - LEFT) / 2.0, SIZE.1 - BOTTOM);
        let y = foot - (foot - TOP) * 100.0 / 108.0;
        assert!(svg.contains(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\"")), "{svg}");
        assert!(svg.contains(&format!("<circle cx=\"{LEFT:.1}\" cy=\"{foot:.1}\"")), "{svg}");
        assert!(svg.contains(">100</text>") && svg.contains(">10 s</text>") && svg.contains("x &#60; y"), "{svg}");
    }

    #[test]
    fn a_stem_begins_at_zero_and_a_band_lasts_as_long_as_its_interval() {
        let svg = plot(Shape::Stems, &[(2.5, 30.0)], &[Interval { from: 2.5, until: 5.0 }]).html().unwrap();
        let (quarter, foot) = ((SIZE.0 - RIGHT - LEFT) / 4.0, SIZE.1 - BOTTOM);
        let top = foot - (foot - TOP) * 30.0 / 32.4;
        assert!(svg.contains(&format!("d=\"M{:.1} {foot:.1}V{top:.1}\"", LEFT + quarter)), "{svg}");
        let band = format!("class=\"band\" x=\"{:.1}\" y=\"{TOP}\" width=\"{quarter:.1}\"", LEFT + quarter);
        assert!(svg.contains(&band) && svg.contains("2.50 s from 2.50 s on"), "{svg}");
    }
}
