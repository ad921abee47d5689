//! Conversion of colours.

/// An RGB colour as Y, Cb, Cr in BT.601, limited range.
pub(super) fn yuv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (r, g, b) = (i32::from(r), i32::from(g), i32::from(b));
    let part =
        |r_: i32, g_: i32, b_: i32, base: i32| (base + ((r_ * r + g_ * g + b_ * b + 128) >> 8)).clamp(0, 255) as u8;
    [part(66, 129, 25, 16), part(-38, -74, 112, 128), part(112, -94, -18, 128)]
}
