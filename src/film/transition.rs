//! The animation of tiles from one layout to the next. Geometry over time; it draws nothing.

use crate::film::layout::{Rect, Shows};
use std::time::Duration;

/// How long a transition lasts.
const DURATION: Duration = Duration::from_millis(300);

/// A transition that has begun.
#[derive(Debug, Clone)]
pub struct Transition {
    began: Duration,
    /// Start and end of each tile.
    paths: Vec<(Shows, Rect, Rect)>,
}

impl Transition {
    /// A transition between two layouts, from `at` on. A new tile grows from the middle of its area; a removed tile vanishes at once.
    pub fn new(at: Duration, from: Vec<(Shows, Rect)>, to: Vec<(Shows, Rect)>) -> Transition {
        let path = |(shows, to): (Shows, Rect)| {
            let before = from.iter().find(|(other, _)| *other == shows).map(|(_, area)| *area);
            (shows, before.unwrap_or_else(|| middle(to)), to)
        };
        Transition { began: at, paths: to.into_iter().map(path).collect() }
    }

    /// True after its end.
    pub fn is_over(&self, at: Duration) -> bool {
        at >= self.began + DURATION
    }

    /// Where the tiles are: slow at both ends (smoothstep), even, and at least 2 pixels wide and high.
    pub fn areas(&self, at: Duration) -> Vec<(Shows, Rect)> {
        let part = (at.saturating_sub(self.began).as_secs_f32() / DURATION.as_secs_f32()).clamp(0.0, 1.0);
        let eased = part * part * (3.0 - 2.0 * part);
        let between = |from: u32, to: u32| ((from as f32 + (to as f32 - from as f32) * eased).round() as u32) & !1;
        let area = |from: &Rect, to: &Rect| Rect {
            x: between(from.x, to.x),
            y: between(from.y, to.y),
            width: between(from.width, to.width).max(2),
            height: between(from.height, to.height).max(2),
        };
        self.paths.iter().map(|(shows, from, to)| (*shows, area(from, to))).collect()
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
        let glide =
            Transition::new(second, vec![(alice, rect(0, 100))], vec![(alice, rect(200, 40)), (bob, rect(0, 80))]);
        assert_eq!(glide.areas(second)[0], (alice, rect(0, 100)));
        assert_eq!(glide.areas(second)[1].1, Rect { x: 30, y: 30, width: 20, height: 20 });
        let half = glide.areas(second + DURATION / 2);
        assert_eq!(half[0], (alice, rect(100, 70)));
        assert!(!glide.is_over(second + DURATION / 2) && glide.is_over(second + DURATION));
        assert_eq!(glide.areas(second + DURATION * 2), [(alice, rect(200, 40)), (bob, rect(0, 80))]);
    }
}
