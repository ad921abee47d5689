//! A video filter in Rust: `cargo run --example rust_filter -- ws://127.0.0.1:8080/rooms/standup`

use roombot::media::{FrameFilter, RgbaImage};
use roombot::{Bot, Error, Result};
use std::time::Duration;

#[derive(Clone)]
struct Negative;

impl FrameFilter for Negative {
    fn apply(&mut self, frame: &mut RgbaImage, _at: Duration) {
        for pixel in frame.pixels_mut() {
            pixel.0[..3].iter_mut().for_each(|value| *value = 255 - *value);
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let room = std::env::args().nth(1).ok_or_else(|| Error::user("name a room"))?;
    let mut bot = Bot::builder(room).name("Negative").video(Negative).start().await?;
    println!("{}", bot.until_stopped(tokio::signal::ctrl_c()).await);
    bot.finish().await;
    Ok(())
}
