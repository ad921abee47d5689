//! Tiles on their way from one arrangement to the next. Geometry over time; it paints nothing.

use crate::film::layout::{Rect, Shows};
use std::time::Duration;

/// How long tiles are on their way.
const LASTS: Duration = Duration::from_millis(300);

/// A change of places that has begun.
#[derive(Debug, Clone)]
pub struct Glide {
    began: Duration,
    ways: Vec<(Shows, Rect, Rect)>,
}

impl Glide {
    /// From one arrangement to another. What is new grows out of the middle of its place; what is gone is gone at once.
    pub fn new(at: Duration, from: Vec<(Shows, Rect)>, to: Vec<(Shows, Rect)>) -> Glide {
        let way = |(shows, to): (Shows, Rect)| {
            let before = from.iter().find(|(other, _)| *other == shows).map(|(_, area)| *area);
            (shows, before.unwrap_or_else(|| middle(to)), to)
        };
        Glide { began: at, ways: to.into_iter().map(way).collect() }
    }

    /// Everything has arrived.
    pub fn is_over(&self, at: Duration) -> bool {
        at >= self.began + LASTS
    }

    /// Where everything is: slow at both ends, even, and never smaller than its sign can be.
    pub fn areas(&self, at: Duration) -> Vec<(Shows, Rect)> {
        let part = (at.saturating_sub(self.began).as_secs_f32() / LASTS.as_secs_f32()).clamp(0.0, 1.0);
        let eased = part * part * (3.0 - 2.0 * part);
        let between = |from: u32, to: u32| ((from as f32 + (to as f32 - from as f32) * eased).round() as u32) & !1;
        let area = |from: &Rect, to: &Rect| Rect {
            x: between(from.x, to.x),
            y: between(from.y, to.y),
            width: between(from.width, to.width).max(2),
            height: between(from.height, to.height).max(2),
        };
        self.ways.iter().map(|(shows, from, to)| (*shows, area(from, to))).collect()
    }
}

/// A small rectangle in the middle.
fn middle(area: Rect) -> Rect {
    let (width, height) = ((area.width / 4) & !1, (area.height / 4) & !1);
    let x = (area.x + (area.width - width) / 2) & !1;
    let y = (area.y + (area.height - height) / 2) & !1;
    Rect { x, y, width: width.max(2), height: height.max(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_go_from_where_they_were_to_where_they_belong() {
        let rect = |x, width| Rect { x, y: 0, width, height: width };
        let (alice, bob) = (Shows::Face(0), Shows::Face(1));
        let second = Duration::from_secs(1);
        let glide = Glide::new(second, vec![(alice, rect(0, 100))], vec![(alice, rect(200, 40)), (bob, rect(0, 80))]);
        assert_eq!(glide.areas(second)[0], (alice, rect(0, 100)));
        assert_eq!(glide.areas(second)[1].1, Rect { x: 30, y: 30, width: 20, height: 20 });
        let half = glide.areas(second + LASTS / 2);
        assert_eq!(half[0], (alice, rect(100, 70)));
        assert!(!glide.is_over(second + LASTS / 2) && glide.is_over(second + LASTS));
        assert_eq!(glide.areas(second + LASTS * 2), [(alice, rect(200, 40)), (bob, rect(0, 80))]);
    }
}
