//! Sizes and rectangles of video frames.

/// Width and height in pixels.
pub type Size = (u32, u32);

/// A rectangle in whole pixels. All four values are even, because chroma is stored at half the resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rect {
    /// Distance from the left edge.
    pub x: u32,
    /// Distance from the upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}
