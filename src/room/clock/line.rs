//! A line through sender reports: RTP time to the sender's NTP time. Least squares, drawn towards the nominal rate while
//! there are few reports. Decides nothing: who rejects reports is `track`.

/// How much evidence the nominal rate has from the start, in s²: reports are good to about 5 ms and clocks to about 100
/// ppm, and (5 ms / 100 ppm)² = 2,500 s². Ten reports over a minute weigh as much.
const PRIOR: f64 = 2500.0;
/// How far off the nominal rate clocks may be while little is known.
const WORST_RATE: f64 = 300e-6;

/// Sums over reports, relative to the first one, in seconds: x is RTP time, y how far NTP time is ahead of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    rtp: i64,
    ntp_ns: i64,
    clock_rate: f64,
    count: u32,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Line {
    /// The line through one report.
    pub fn new(clock_rate: u32, rtp: i64, ntp_ns: i64) -> Self {
        let clock_rate = f64::from(clock_rate.max(1));
        Self { rtp, ntp_ns, clock_rate, count: 1, x: 0.0, y: 0.0, xx: 0.0, xy: 0.0, yy: 0.0 }
    }

    pub fn add(&mut self, rtp: i64, ntp_ns: i64) {
        let x = self.seconds(rtp);
        let y = ntp_ns.saturating_sub(self.ntp_ns) as f64 / 1e9 - x;
        self.count = self.count.saturating_add(1);
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
        self.yy += y * y;
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// NTP seconds gained per second of RTP time.
    pub fn slope(&self) -> f64 {
        self.covariance() / (self.spread() + PRIOR)
    }

    /// The sender's NTP time at an RTP time, in nanoseconds.
    pub fn ntp_ns(&self, rtp: i64) -> i64 {
        let x = self.seconds(rtp);
        let count = f64::from(self.count);
        let y = self.y / count + self.slope() * (x - self.x / count);
        self.ntp_ns.saturating_add(((x + y) * 1e9).round() as i64)
    }

    /// How far the reports lie off the line, in nanoseconds (root of the mean square).
    pub fn rms(&self) -> f64 {
        let count = f64::from(self.count);
        let slope = self.slope();
        let square =
            self.yy - self.y * self.y / count - 2.0 * slope * self.covariance() + slope * slope * self.spread();
        (square / count).max(0.0).sqrt() * 1e9
    }

    /// How far the line itself may be off at an RTP time, in nanoseconds, because the rate is not known well yet.
    pub fn uncertainty(&self, rtp: i64) -> f64 {
        let far = (self.seconds(rtp) - self.x / f64::from(self.count)).abs();
        WORST_RATE * far * PRIOR / (PRIOR + self.spread()) * 1e9
    }

    fn seconds(&self, rtp: i64) -> f64 {
        rtp.saturating_sub(self.rtp) as f64 / self.clock_rate
    }
    fn spread(&self) -> f64 {
        (self.xx - self.x * self.x / f64::from(self.count)).max(0.0)
    }
    fn covariance(&self) -> f64 {
        self.xy - self.x * self.y / f64::from(self.count)
    }
}
