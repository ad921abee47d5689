//! Arithmetic that several measurements share. Pure.

/// The value below which the share `part` of the values lies (0.0 to 1.0), interpolated linearly. Sorts the values. None without values.
pub fn percentile(values: &mut [f64], part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let exact = values.len().checked_sub(1)? as f64 * part.clamp(0.0, 1.0);
    let (low, high) = (values.get(exact.floor() as usize)?, values.get(exact.ceil() as usize)?);
    Some(low + (high - low) * exact.fract())
}

/// The number nearest to `near` that is `value` modulo `modulus`.
pub fn unwrap_number(near: i64, value: u32, modulus: u32) -> i64 {
    let (value, modulus) = (i64::from(value), i64::from(modulus).max(1));
    let ahead = (value - near).rem_euclid(modulus);
    near + if ahead > modulus / 2 { ahead - modulus } else { ahead }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_lie_between_neighbours() {
        assert_eq!(percentile(&mut [3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(percentile(&mut [0.0, 10.0], 0.95), Some(9.5));
        assert_eq!((percentile(&mut [7.0], 1.0), percentile(&mut [], 0.5)), (Some(7.0), None));
    }

    proptest! {
        #[test]
        fn numbers_are_unwrapped_to_the_nearest(near in -1_000_000i64..1_000_000, off in -2047i64..2047) {
            let value = (near + off).rem_euclid(4096) as u32;
            prop_assert_eq!(unwrap_number(near, value, 4096), near + off);
        }
    }
}
