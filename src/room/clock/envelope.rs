//! The lower envelope of delays: the line that the fastest packets lie on, below all others. Knows neither RTP nor NTP.
//!
//! Delays are never too short, only too long, so the truth is along the bottom. The line is the edge of the lower convex
//! hull under the mean time: the one below all points with the least sum of distances to them (Moon, Skelly, Towsley
//! 1999). The hull is kept as points come, which costs nothing worth naming and a few dozen points of memory.

/// Below this span (seconds) or count a slope would be that of the jitter, so none is assumed: at 50 ppm that is 3 ms.
const SLOPE_SPAN: f64 = 60.0;
const SLOPE_COUNT: u32 = 20;
/// Clocks are not worse than this.
const MAX_SLOPE: f64 = 1e-3;
/// A longer hull loses every other point: it has bends of nanoseconds then.
const MAX_HULL: usize = 256;

/// Points (time, delay) in nanoseconds and the line below them.
#[derive(Debug, Clone, Default)]
pub(super) struct Envelope {
    origin: Option<(i64, i64)>,
    /// Seconds from the origin; from left to right, bending upwards.
    hull: Vec<(f64, f64)>,
    count: u32,
    sum_time: f64,
    sum_delay: f64,
}

impl Envelope {
    /// Adds a point. A time before the newest one counts as the newest.
    pub fn add(&mut self, time_ns: i64, delay_ns: i64) {
        let point = self.relative(time_ns, delay_ns);
        let time = self.hull.last().map_or(point.0, |last| point.0.max(last.0));
        let point = (time, point.1);
        self.count = self.count.saturating_add(1);
        self.sum_time += point.0;
        self.sum_delay += point.1;
        if let Some(last) = self.hull.last()
            && last.0 == point.0
        {
            if last.1 <= point.1 {
                return;
            }
            self.hull.pop();
        }
        while let [.., a, b] = self.hull[..]
            && (b.0 - a.0) * (point.1 - a.1) <= (b.1 - a.1) * (point.0 - a.0)
        {
            self.hull.pop();
        }
        self.hull.push(point);
        if self.hull.len() > MAX_HULL {
            let mut index = 0;
            self.hull.retain(|_| {
                index += 1;
                index % 2 == 1 || index == MAX_HULL + 1
            });
        }
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// Seconds of delay per second of time.
    pub fn slope(&self) -> f64 {
        let (Some(first), Some(last)) = (self.hull.first(), self.hull.last()) else { return 0.0 };
        if last.0 - first.0 < SLOPE_SPAN || self.count < SLOPE_COUNT {
            return 0.0;
        }
        let mean = self.sum_time / f64::from(self.count);
        let right = self.hull.partition_point(|point| point.0 <= mean).clamp(1, self.hull.len() - 1);
        let (a, b) = (self.hull[right - 1], self.hull[right]);
        ((b.1 - a.1) / (b.0 - a.0)).clamp(-MAX_SLOPE, MAX_SLOPE)
    }

    /// The shortest delay at a time, in nanoseconds; none without points.
    pub fn delay_at(&self, time_ns: i64) -> Option<i64> {
        let (_, delay) = self.origin?;
        let (slope, lowest) = self.line()?;
        let time = self.relative_time(time_ns);
        Some(delay.saturating_add(((lowest + slope * time) * 1e9).round() as i64))
    }

    /// How far the points lie above the line in the mean, in nanoseconds: the jitter.
    pub fn excess(&self) -> f64 {
        let Some((slope, lowest)) = self.line() else { return 0.0 };
        let count = f64::from(self.count);
        ((self.sum_delay / count - lowest - slope * self.sum_time / count) * 1e9).max(0.0)
    }

    /// Slope, and the delay at the origin.
    fn line(&self) -> Option<(f64, f64)> {
        let slope = self.slope();
        let lowest = self.hull.iter().map(|point| point.1 - slope * point.0).min_by(f64::total_cmp)?;
        Some((slope, lowest))
    }

    fn relative(&mut self, time_ns: i64, delay_ns: i64) -> (f64, f64) {
        let (_, delay) = *self.origin.get_or_insert((time_ns, delay_ns));
        (self.relative_time(time_ns), delay_ns.saturating_sub(delay) as f64 / 1e9)
    }

    fn relative_time(&self, time_ns: i64) -> f64 {
        self.origin.map_or(0.0, |(time, _)| time_ns.saturating_sub(time) as f64 / 1e9)
    }
}
