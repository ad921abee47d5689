//! Marks by number and time: which half seconds are there, which are missing, and where it was silent. Pure.

use super::{percentile, unwrap};
use crate::verify::evidence::{Mark, Stretch};
use crate::verify::stamp::code::MARKS;
use serde::Serialize;

/// The shortest silence that counts, seconds; a listener hears it to within a sample of a band.
const SHORTEST: f64 = 0.039;
/// Seconds of a mark.
pub const LENGTH: f64 = 0.5;

/// What became of a participant's sound. Times in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sounds {
    pub present: u64,
    pub lost: u64,
    /// Of those, how many are missing although there was sound all the while.
    pub garbled: u64,
    pub first: f64,
    /// The end of the last mark.
    pub last: f64,
    /// Where mark 0 of the source lies.
    pub zero: f64,
    pub gaps: Vec<Stretch>,
}

/// Measures marks by time. None where there are none.
pub fn sounds(marks: &[Mark], silences: &[Stretch]) -> Option<Sounds> {
    let (first, last) = (marks.first()?, marks.last()?);
    let mut number = i64::from(first.number);
    let mut zeros = Vec::with_capacity(marks.len());
    let (mut lost, mut garbled) = (0, 0);
    for (index, mark) in marks.iter().enumerate() {
        let next = unwrap(number, mark.number, MARKS);
        // A source that begins anew has lost nothing by that.
        for missing in (number + 1..next).filter(|_| index > 0) {
            let from = mark.at - (next - missing) as f64 * LENGTH;
            lost += 1;
            garbled += u64::from(!silences.iter().any(|s| s.from < from + LENGTH && s.until > from));
        }
        number = next;
        zeros.push(mark.at - next as f64 * LENGTH);
    }
    let (start, end) = (first.at, last.at + LENGTH);
    let gaps = silences.iter().filter(|silence| silence.from >= start && silence.from < end);
    let gaps = gaps.map(|silence| Stretch { from: silence.from, until: silence.until.min(end) });
    let gaps = gaps.filter(|gap| gap.until - gap.from >= SHORTEST);
    Some(Sounds {
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

    fn marks(numbers: &[u32]) -> Vec<Mark> {
        numbers.iter().map(|n| Mark { at: 2.0 + f64::from(*n) * LENGTH, number: *n % MARKS }).collect()
    }

    #[test]
    fn missing_marks_and_silences_are_counted_while_somebody_speaks() {
        assert_eq!(sounds(&[], &[]), None);
        let silence = |from, until| Stretch { from, until };
        let silences = [silence(0.5, 1.5), silence(3.1, 4.1), silence(6.4, 9.0), silence(8.0, 9.0)];
        let found = sounds(&marks(&[0, 1, 2, 5, 6, 7, 8]), &silences).unwrap();
        assert_eq!((found.present, found.lost, found.garbled), (7, 2, 0));
        assert_eq!(sounds(&marks(&[0, 1, 2, 5]), &[]).unwrap().garbled, 2);
        assert_eq!(found.gaps, [silence(3.1, 4.1), silence(6.4, 6.5)]);
        assert!((found.zero - 2.0).abs() < 1e-9 && found.last == 6.5);
    }

    #[test]
    fn numbers_wrap_and_sources_repeat() {
        let found = sounds(&marks(&[MARKS - 2, MARKS - 1, MARKS, MARKS + 1]), &[]).unwrap();
        assert_eq!((found.present, found.lost), (4, 0));
        let repeated =
            [0, 1, 2, 3, 0, 1].iter().zip(0..).map(|(number, i)| Mark { at: i as f64 / 2.0, number: *number });
        assert_eq!(sounds(&repeated.collect::<Vec<_>>(), &[]).unwrap().lost, 0);
    }
}
