//! The index of a file (Cues; RFC 9559, 5.1.5): at which cluster decoding can start. It never touches a file.

use super::ebml::{put_master, put_uint};
use super::elements::{CUE_CLUSTER_POSITION, CUE_POINT, CUE_TIME, CUE_TRACK, CUE_TRACK_POSITIONS, CUES};

/// The index of one track.
#[derive(Debug)]
pub(super) struct Cues {
    track: u64,
    /// Milliseconds, and the cluster's position in the segment's data.
    points: Vec<(u64, u64)>,
    min_spacing_ms: u64,
    max_points: usize,
}

impl Cues {
    /// An empty index of track `track` (from 1) with points at least `min_spacing_ms` apart. Of more than `max_points`,
    /// every second one is dropped.
    pub fn new(track: u64, min_spacing_ms: u64, max_points: usize) -> Self {
        Self { track, points: Vec::new(), min_spacing_ms, max_points }
    }

    /// Adds a key frame at `ms` in the cluster at `position`, unless the point before is too near.
    pub fn add(&mut self, ms: u64, position: u64) {
        if self.points.last().is_some_and(|(last, _)| ms < last.saturating_add(self.min_spacing_ms)) {
            return;
        }
        self.points.push((ms, position));
        if self.points.len() > self.max_points {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
            let span = ms.saturating_sub(self.points.first().map_or(0, |(first, _)| *first));
            self.min_spacing_ms = (2 * self.min_spacing_ms).max(2 * span / self.max_points as u64);
        }
    }

    /// Removes the points of clusters from `position` on: they were not written.
    pub fn remove_from(&mut self, position: u64) {
        while self.points.pop_if(|point| point.1 >= position).is_some() {}
    }

    /// The whole Cues element.
    pub fn element(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_master(&mut out, CUES, |cues| {
            for (ms, position) in &self.points {
                put_master(cues, CUE_POINT, |point| {
                    put_uint(point, CUE_TIME, *ms);
                    put_master(point, CUE_TRACK_POSITIONS, |positions| {
                        put_uint(positions, CUE_TRACK, self.track);
                        put_uint(positions, CUE_CLUSTER_POSITION, *position);
                    });
                });
            }
        });
        out
    }

    /// The times of all points.
    #[cfg(test)]
    pub fn times(&self) -> Vec<u64> {
        self.points.iter().map(|point| point.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_bounded_and_even() {
        let most = 4096;
        let mut cues = Cues::new(1, 5000, most);
        // Three days of sound.
        for ms in (0..3 * 86_400_000).step_by(20) {
            cues.add(ms, ms);
        }
        assert!((most / 2..=most).contains(&cues.points.len()));
        let steps: Vec<u64> = cues.points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(steps.iter().all(|step| (5000..=200_000).contains(step)), "{:?}", steps.iter().max());
        assert_eq!(cues.points[0].0, 0);
    }
}
