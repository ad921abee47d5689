//! A figure over time as a drawing (SVG) with its axes: dots or stems, and bands for what lasted. Pure text; it needs no script and no other
//! file.

use super::junit::escaped;
use crate::verify::evidence::Stretch;
use std::fmt::Write;

/// The drawing, and the part of it that the values have, in pixels.
const SIZE: (f64, f64) = (760.0, 150.0);
const LEFT: f64 = 52.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 22.0;
/// Marks on an axis, at most so many steps between them.
const STEPS: (f64, f64) = (10.0, 4.0);

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Dots,
    /// A line from zero.
    Stems,
}

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Plot<'a> {
    pub title: &'a str,
    pub shape: Shape,
    /// At which second which value.
    pub points: &'a [(f64, f64)],
    pub bands: &'a [Stretch],
    /// Seconds that the time line has.
    pub length: f64,
    /// The axis of values reaches so far from zero at least.
    pub least: f64,
}

impl Plot<'_> {
    /// The drawing with its title.
    pub fn svg(&self) -> String {
        let (low, high) = self.range();
        let (wide, tall) = SIZE;
        let (right, foot) = (wide - RIGHT, tall - BOTTOM);
        let x = |at: f64| LEFT + (at / self.length).clamp(0.0, 1.0) * (right - LEFT);
        let y = |value: f64| foot - (value - low) / (high - low) * (foot - TOP);
        let title = escaped(self.title);
        let mut svg = format!(
            "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {wide} {tall}\" role=\"img\" aria-label=\"{title}\">"
        );
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<rect class=\"paper\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\"/>",
            right - LEFT,
            foot - TOP
        );
        for Stretch { from, until } in self.bands {
            let span = (x(*until) - x(*from)).max(1.0);
            let _ = write!(
                svg,
                "<rect class=\"band\" x=\"{:.1}\" y=\"{TOP}\" width=\"{span:.1}\" height=\"{}\"><title>{:.2} s from {from:.2} s on</title></rect>",
                x(*from),
                foot - TOP,
                until - from
            );
        }
        for value in ticks(low, high, STEPS.1) {
            let (at, zero) = (y(value), if value == 0.0 { " class=\"zero\"" } else { "" });
            let _ = write!(svg, "<path{zero} d=\"M{LEFT} {at:.1}H{right}\"/>");
            let _ = write!(svg, "<text class=\"y\" x=\"{}\" y=\"{:.1}\">{value}</text>", LEFT - 6.0, at + 4.0);
        }
        for second in ticks(0.0, self.length, STEPS.0) {
            // The last one must not stick out.
            let anchor = if x(second) > right - 12.0 { "end" } else { "middle" };
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{second} s</text>",
                x(second),
                tall - 6.0
            );
        }
        for (at, value) in self.points {
            let _ = match self.shape {
                Shape::Dots => write!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"1.7\"/>", x(*at), y(*value)),
                Shape::Stems => {
                    write!(svg, "<path class=\"stem\" d=\"M{:.1} {:.1}V{:.1}\"/>", x(*at), y(0.0), y(*value))
                }
            };
        }
        svg + "</svg></figure>"
    }

    /// From where to where the axis of values goes. Zero is on it, and what lies at the edge can be seen.
    fn range(&self) -> (f64, f64) {
        let values = self.points.iter().map(|(_, value)| *value).filter(|value| value.is_finite());
        let (low, high) = values.fold((0.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) =
            if low == 0.0 { (0.0, high.max(self.least)) } else { (low.min(-self.least), high.max(self.least)) };
        let edge = (high - low) * 0.08;
        (if low < 0.0 { low - edge } else { 0.0 }, high + edge)
    }
}

/// Round numbers from `low` to `high`, with at most so many steps between them.
fn ticks(low: f64, high: f64, most: f64) -> Vec<f64> {
    let rough = ((high - low) / most).max(f64::MIN_POSITIVE);
    let ten = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|of| of * ten).into_iter().find(|step| *step >= rough).unwrap_or(rough);
    // What is counted has no halves.
    let step = if step < 1.0 { 1.0 } else { step };
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot<'a>(shape: Shape, points: &'a [(f64, f64)], bands: &'a [Stretch]) -> Plot<'a> {
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
        let svg = plot(Shape::Dots, &[(5.0, 100.0), (0.0, 0.0)], &[]).svg();
        let (x, foot) = (LEFT + (SIZE.0 - RIGHT - LEFT) / 2.0, SIZE.1 - BOTTOM);
        let y = foot - (foot - TOP) * 100.0 / 108.0;
        assert!(svg.contains(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\"")), "{svg}");
        assert!(svg.contains(&format!("<circle cx=\"{LEFT:.1}\" cy=\"{foot:.1}\"")), "{svg}");
        assert!(svg.contains(">100</text>") && svg.contains(">10 s</text>") && svg.contains("x &lt; y"), "{svg}");
    }

    #[test]
    fn a_stem_begins_at_zero_and_a_band_lasts_as_long_as_it_did() {
        let svg = plot(Shape::Stems, &[(2.5, 30.0)], &[Stretch { from: 2.5, until: 5.0 }]).svg();
        let (quarter, foot) = ((SIZE.0 - RIGHT - LEFT) / 4.0, SIZE.1 - BOTTOM);
        let top = foot - (foot - TOP) * 30.0 / 32.4;
        assert!(svg.contains(&format!("d=\"M{:.1} {foot:.1}V{top:.1}\"", LEFT + quarter)), "{svg}");
        let band = format!("class=\"band\" x=\"{:.1}\" y=\"{TOP}\" width=\"{quarter:.1}\"", LEFT + quarter);
        assert!(svg.contains(&band) && svg.contains("2.50 s from 2.50 s on"), "{svg}");
    }
}
