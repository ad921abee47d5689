//! Audio marks by number and time: present, missing, and silences. Pure.

use super::statistics::{percentile, unwrap_number};
use crate::verify::detections::{Interval, MarkDetection};
use crate::verify::stamp::code::MARK_NUMBERS;
use serde::Serialize;

/// The shortest silence that counts, seconds: 40 ms less the resolution of the mark detector.
const MIN_SILENCE: f64 = 0.039;
/// Duration of a mark, seconds.
pub const MARK_SECONDS: f64 = 0.5;

/// The audio of a participant. Times in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AudioMeasurement {
    /// Recognised marks.
    pub present: u64,
    /// Marks missing between the first and the last.
    pub lost: u64,
    /// Lost marks although there was sound.
    pub garbled: u64,
    /// Start of the first mark.
    pub first: f64,
    /// End of the last mark.
    pub last: f64,
    /// Time of the source's mark 0: the median over all marks.
    pub zero: f64,
    /// Silences between the first and the last mark.
    pub gaps: Vec<Interval>,
}

/// Measures marks sorted by time. None without marks.
pub fn measure_audio(marks: &[MarkDetection], silences: &[Interval]) -> Option<AudioMeasurement> {
    let (first, last) = (marks.first()?, marks.last()?);
    let mut number = i64::from(first.number);
    let mut zeros = Vec::with_capacity(marks.len());
    let (mut lost, mut garbled) = (0, 0);
    for (index, mark) in marks.iter().enumerate() {
        let next = unwrap_number(number, mark.number, MARK_NUMBERS);
        // A restart of the source loses nothing.
        for missing in (number + 1..next).filter(|_| index > 0) {
            let from = mark.at - (next - missing) as f64 * MARK_SECONDS;
            lost += 1;
            garbled += u64::from(!silences.iter().any(|s| s.from < from + MARK_SECONDS && s.until > from));
        }
        number = next;
        zeros.push(mark.at - next as f64 * MARK_SECONDS);
    }
    let (start, end) = (first.at, last.at + MARK_SECONDS);
    let gaps = silences.iter().filter(|silence| silence.from >= start && silence.from < end);
    let gaps = gaps.map(|silence| Interval { from: silence.from, until: silence.until.min(end) });
    let gaps = gaps.filter(|gap| gap.until - gap.from >= MIN_SILENCE);
    Some(AudioMeasurement {
        present: marks.len() as u64,
        lost,
        garbled,
        first: start,
        last: end,
        zero: percentile(&mut zeros, 0.5)?,
        gaps: gaps.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(numbers: &[u32]) -> Vec<MarkDetection> {
        numbers
            .iter()
            .map(|n| MarkDetection { at: 2.0 + f64::from(*n) * MARK_SECONDS, number: *n % MARK_NUMBERS })
            .collect()
    }

    #[test]
    fn missing_marks_and_silences_are_counted_between_the_first_and_last_mark() {
        assert_eq!(measure_audio(&[], &[]), None);
        let silence = |from, until| Interval { from, until };
        let silences = [silence(0.5, 1.5), silence(3.1, 4.1), silence(6.4, 9.0), silence(8.0, 9.0)];
        let found = measure_audio(&marks(&[0, 1, 2, 5, 6, 7, 8]), &silences).unwrap();
        assert_eq!((found.present, found.lost, found.garbled), (7, 2, 0));
        assert_eq!(measure_audio(&marks(&[0, 1, 2, 5]), &[]).unwrap().garbled, 2);
        assert_eq!(found.gaps, [silence(3.1, 4.1), silence(6.4, 6.5)]);
        assert!((found.zero - 2.0).abs() < 1e-9 && found.last == 6.5);
    }

    #[test]
    fn numbers_wrap_and_sources_repeat() {
        let found =
            measure_audio(&marks(&[MARK_NUMBERS - 2, MARK_NUMBERS - 1, MARK_NUMBERS, MARK_NUMBERS + 1]), &[]).unwrap();
        assert_eq!((found.present, found.lost), (4, 0));
        let repeated =
            [0, 1, 2, 3, 0, 1].iter().zip(0..).map(|(number, i)| MarkDetection { at: i as f64 / 2.0, number: *number });
        assert_eq!(measure_audio(&repeated.collect::<Vec<_>>(), &[]).unwrap().lost, 0);
    }
}
