//! RTP time to session time.

/// The 64-bit RTP time nearest to `near` whose low 32 bits are `timestamp`.
pub fn unwrap_rtp(near: i64, timestamp: u32) -> i64 {
    near.wrapping_add(i64::from(timestamp.wrapping_sub(near as u32) as i32))
}
