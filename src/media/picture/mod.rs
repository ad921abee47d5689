//! Decoded video frames: comparing them, scaling them, and painting them onto a canvas. Nothing here knows of scenes or time.

mod bilinear;
mod canvas;
mod colour;
mod decoded;
mod frame_pool;
mod overlay;

pub use canvas::Canvas;
pub use decoded::Picture;
pub use overlay::Overlay;
