//! Stamps in frames that are scaled, blurred, dimmed, torn and noisy are decoded correctly or not at all.

use super::*;
use crate::verify::stamp::code::{FRAME_NUMBERS, FRAME_RATES};
use crate::verify::stamp::pattern::{self, StampSquare};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::OnceLock;

/// A greyscale test frame.
#[derive(Clone)]
struct Grey {
    data: Vec<u8>,
    width: usize,
    height: usize,
}

impl Grey {
    /// A pattern of gradients with a stamp on it.
    fn stamped(width: usize, height: usize, stamp: FrameStamp) -> Grey {
        let mut data: Vec<u8> = Vec::with_capacity(width * height);
        for y in 0..height {
            let wave = |x: usize| ((x * 7 / width * 31 + y * 5 / height * 57 + stamp.number as usize) % 190 + 30) as u8;
            data.extend((0..width).map(wave));
        }
        pattern::draw(&mut data, width, StampSquare::within(width, height).unwrap(), stamp);
        Grey { data, width, height }
    }

    fn luma(&self) -> LumaPlane<'_> {
        LumaPlane::new(&self.data, (self.width, self.height), self.width).unwrap()
    }

    /// Scaled by averaging.
    fn scaled(&self, width: usize, height: usize) -> Grey {
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            let rows = y * self.height / height..((y + 1) * self.height).div_ceil(height);
            for x in 0..width {
                let columns = x * self.width / width..((x + 1) * self.width).div_ceil(width);
                let count = rows.len() * columns.len();
                let sum: usize =
                    rows.clone().flat_map(|r| &self.data[r * self.width..][columns.clone()]).map(|v| *v as usize).sum();
                data.push((sum / count) as u8);
            }
        }
        Grey { data, width, height }
    }

    /// Box blur, along the rows and then along the columns.
    fn blurred(&self, radius: usize) -> Grey {
        let mean = |from: &[u8], step: usize, count: usize, line: usize, at: usize| {
            let near = at.saturating_sub(radius)..(at + radius + 1).min(count);
            let length = near.len();
            (near.map(|n| usize::from(from[line + n * step])).sum::<usize>() / length) as u8
        };
        let (mut rows, mut both) = (self.clone(), self.clone());
        for y in 0..self.height {
            for x in 0..self.width {
                rows.data[y * self.width + x] = mean(&self.data, 1, self.width, y * self.width, x);
            }
        }
        for y in 0..self.height {
            for x in 0..self.width {
                both.data[y * self.width + x] = mean(&rows.data, self.width, self.height, x, y);
            }
        }
        both
    }

    fn noisy(&self, amount: f32, rng: &mut StdRng) -> Grey {
        let noise = noise();
        let from = rng.random_range(0..noise.len() - self.data.len());
        let mut next = self.clone();
        for (value, noise) in next.data.iter_mut().zip(&noise[from..]) {
            *value = (f32::from(*value) + noise * amount).clamp(0.0, 255.0) as u8;
        }
        next
    }

    fn paste(&mut self, other: &Grey, at: (usize, usize)) {
        for y in 0..other.height {
            let to = (at.1 + y) * self.width + at.0;
            self.data[to..to + other.width].copy_from_slice(&other.data[y * other.width..][..other.width]);
        }
    }
}

/// Normal noise, made once because it takes longest.
fn noise() -> &'static [f32] {
    static NOISE: OnceLock<Vec<f32>> = OnceLock::new();
    NOISE.get_or_init(|| {
        let mut rng = StdRng::seed_from_u64(0);
        // The sum of twelve uniform values, each with a variance of 1/12.
        (0..200_000).map(|_| (0..12).map(|_| rng.random_range(-0.5..0.5f32)).sum()).collect()
    })
}

fn read(picture: &Grey) -> Vec<FrameStamp> {
    let mut read: Vec<_> = StampReader::new().read(&picture.luma()).iter().filter_map(|s| s.stamp).collect();
    read.sort();
    read
}

fn stamp(participant: u8, number: u32) -> FrameStamp {
    FrameStamp { participant, rate: 30, number }
}

#[test]
fn an_eighth_of_the_size_is_enough() {
    for (width, height) in [(1280, 720), (640, 480), (720, 1280), (1920, 1080)] {
        let stamp = stamp(200, 123_456);
        let picture = Grey::stamped(width, height, stamp);
        assert_eq!(read(&picture), [stamp], "{width}x{height}");
        assert_eq!(read(&picture.scaled(width / 8, height / 8)), [stamp], "{width}x{height}, an eighth");
        assert_eq!(read(&picture.scaled(width * 3 / 5, height / 2)), [stamp], "{width}x{height}, out of shape");
    }
}

#[test]
fn twenty_five_tiles_are_found_by_themselves() {
    let mut film = Grey { data: vec![20; 1280 * 720], width: 1280, height: 720 };
    let mut all = Vec::new();
    for tile in 0..25usize {
        let stamp = stamp(tile as u8 + 1, 1000 + tile as u32);
        let small = Grey::stamped(640, 360, stamp).scaled(248, 140);
        film.paste(&small, (tile % 5 * 256 + 3, tile / 5 * 144 + 1));
        all.push(stamp);
    }
    assert_eq!(read(&film), all);
    let region = StampReader::new().read(&film.luma())[0].region;
    let [x, y, width, height] = region.picture((640, 360)).unwrap();
    assert!((x - 3.0).abs() < 2.0 && (y - 1.0).abs() < 2.0, "{x} {y}");
    assert!((width - 248.0).abs() < 3.0 && (height - 140.0).abs() < 3.0, "{width} {height}");
}

#[test]
fn washed_out_and_dimmed_pictures_are_read() {
    for (scale, base) in [(0.3, 10.0), (0.4, 140.0), (1.0, 0.0), (1.2, -20.0)] {
        let mut picture = Grey::stamped(640, 360, stamp(9, 77));
        picture.data.iter_mut().for_each(|v| *v = (f32::from(*v) * scale + base).clamp(0.0, 255.0) as u8);
        assert_eq!(read(&picture), [stamp(9, 77)], "{scale} {base}");
    }
}

#[test]
fn an_unreadable_stamp_is_reported_and_a_missing_one_is_not() {
    let mut picture = Grey::stamped(640, 360, stamp(9, 77));
    let square = StampSquare::within(640, 360).unwrap();
    let grey: Vec<u8> = picture.data.iter().map(|_| 120).collect();
    assert_eq!(StampReader::new().read(&Grey { data: grey, ..picture.clone() }.luma()), []);
    for y in square.y + 2 * square.cell..square.y + 10 * square.cell {
        picture.data[y * 640 + square.x + 2 * square.cell..][..8 * square.cell].fill(126);
    }
    let seen = StampReader::new().read(&picture.luma());
    assert!(seen.len() == 1 && seen[0].stamp.is_none(), "{seen:?}");
}

#[test]
fn a_reader_follows_a_stamp_that_moves() {
    let mut reader = StampReader::new();
    for step in 0..10usize {
        let mut film = Grey { data: vec![235; 640 * 360], width: 640, height: 360 };
        let size = 320 - step * 16;
        film.paste(&Grey::stamped(640, 360, stamp(3, step as u32)).scaled(size, size * 9 / 16), (step * 30, step * 11));
        let seen: Vec<_> = reader.read(&film.luma()).iter().filter_map(|s| s.stamp).collect();
        assert_eq!(seen, [stamp(3, step as u32)]);
    }
}

/// How `count` damaged frames were decoded: correctly, not at all, wrongly.
fn damaged(count: u32, seed: u64) -> [u32; 3] {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut score = [0; 3];
    for _ in 0..count {
        let rate = FRAME_RATES[rng.random_range(0..16)];
        let stamp = FrameStamp { participant: rng.random(), rate, number: rng.random_range(0..FRAME_NUMBERS) };
        let (width, height) = [(160, 90), (256, 144), (120, 90), (200, 112)][rng.random_range(0..4usize)];
        let mut picture = Grey::stamped(width, height, stamp);
        if rng.random_bool(0.5) {
            picture = picture.blurred(rng.random_range(1..4));
        }
        picture = picture.noisy(rng.random_range(0.0..90.0), &mut rng);
        // As after packet loss: a part of the previous frame.
        if rng.random_bool(0.2) {
            let before = Grey::stamped(
                width,
                height,
                FrameStamp { number: (stamp.number + FRAME_NUMBERS - 1) % FRAME_NUMBERS, ..stamp },
            );
            let from = rng.random_range(0..height) * width;
            picture.data[from..].copy_from_slice(&before.data[from..]);
        }
        match read(&picture).as_slice() {
            [] => score[1] += 1,
            [read] if *read == stamp => score[0] += 1,
            [read] if read.number + 1 == stamp.number && read.participant == stamp.participant => score[0] += 1,
            wrong => {
                println!("{width}x{height}: {wrong:?} instead of {stamp:?}");
                score[2] += 1;
            }
        }
    }
    score
}

#[test]
fn no_stamp_is_decoded_wrongly() {
    let [right, unread, wrong] = damaged(300, 1);
    assert_eq!(wrong, 0, "{right} right, {unread} unread");
    assert!(right > 90 && unread > 30, "the damage is too small or too great to say anything: {right}, {unread}");
}

/// The same a million times: `cargo test --release --lib a_million -- --ignored --nocapture`, some minutes.
#[test]
#[ignore = "takes minutes"]
fn a_million_damaged_pictures() {
    let [right, unread, wrong] = damaged(1_000_000, 2);
    println!("{right} right, {unread} unread, {wrong} wrong");
    assert!(wrong < 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_a_picture(data in prop::collection::vec(any::<u8>(), 1..4000), width in 1usize..80) {
        if let Some(luma) = LumaPlane::new(&data, (width, data.len() / width), width) {
            prop_assert!(StampReader::new().read(&luma).iter().all(|s| s.stamp.is_none()));
        }
    }
}
