//! What the page looks like at two widths: pictures of it, of which the pixels are judged. They are left in target/pictures, for a
//! person to look at.

use crate::support::browser::{Browser, Page};
use crate::support::needs::{needed, tools};
use crate::support::server::TestServer;
use image::{Rgb, RgbImage};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(40);
const DESK: (i64, i64) = (1280, 720);
const PHONE: (i64, i64) = (360, 740);

/// A picture of two colours: its left half and its right half.
type Halves = [(&'static str, [u8; 3]); 2];
const ALICE: Halves = [("#d02020", [208, 32, 32]), ("#2040d0", [32, 64, 208])];
const BOB: Halves = [("#20a040", [32, 160, 64]), ("#e0c020", [224, 192, 32])];
const SCREEN: Halves = [("#20c0c0", [32, 192, 192]), ("#c020c0", [192, 32, 192])];

/// Instead of the camera and the screen canvases with these halves, and something small that moves below.
fn devices(camera: Halves) -> String {
    let stream = |[(left, _), (right, _)]: Halves| {
        format!(
            "(() => {{
                const canvas = Object.assign(document.createElement('canvas'), {{ width: 640, height: 360 }});
                const context = canvas.getContext('2d', {{ alpha: false }});
                const draw = () => {{
                    context.fillStyle = '{left}'; context.fillRect(0, 0, 320, 360);
                    context.fillStyle = '{right}'; context.fillRect(320, 0, 320, 360);
                    context.fillStyle = 'white'; context.fillRect(performance.now() / 10 % 640, 350, 10, 10);
                }};
                draw();
                setInterval(draw, 66);
                return canvas.captureStream(15);
            }})()"
        )
    };
    format!(
        "{{
            const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async ({{ audio, video }}) => {{
                const stream = video ? {} : new MediaStream();
                if (audio) (await ask({{ audio }})).getTracks().forEach((track) => stream.addTrack(track));
                return stream;
            }};
            navigator.mediaDevices.getDisplayMedia = async () => {};
        }}",
        stream(camera),
        stream(SCREEN)
    )
}

/// Part of the page, in CSS pixels, which are those of the pictures.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

#[derive(Debug, Deserialize)]
struct Tile {
    name: String,
    screen: bool,
    area: Area,
    caption: Area,
    initials: String,
}

/// The tiles as the document has them.
const TILES: &str = "[...document.querySelectorAll('.tile')].map((tile) => {
    const area = (part) => { const { x, y, width, height } = part.getBoundingClientRect(); return { x, y, width, height }; };
    const caption = tile.querySelector('figcaption');
    return { name: caption.innerText.trim(), screen: tile.classList.contains('screen'), area: area(tile), caption: area(caption),
             initials: tile.querySelector('.avatar').innerText };
})";

/// What a tile must show.
enum Shows {
    /// This picture; of oneself as in a mirror.
    Picture(Halves),
    Mirrored(Halves),
    /// No picture, but these letters on a card.
    Card(&'static str),
}

impl Area {
    fn right(&self) -> f64 {
        self.x + self.width
    }
    fn bottom(&self) -> f64 {
        self.y + self.height
    }
    fn overlaps(&self, other: &Area) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }
    /// The mean of the pixels about a point of it: shares of its width and height.
    fn colour(&self, picture: &RgbImage, (x, y): (f64, f64)) -> [u8; 3] {
        let (x, y) = ((self.x + x * self.width) as u32, (self.y + y * self.height) as u32);
        let mut sums = [0; 3];
        for (dx, dy) in (0..5).flat_map(|dx| (0..5).map(move |dy| (dx, dy))) {
            let Rgb(pixel) = picture.get_pixel((x + dx).min(picture.width() - 1), (y + dy).min(picture.height() - 1));
            pixel.iter().zip(&mut sums).for_each(|(value, sum)| *sum += u32::from(*value));
        }
        sums.map(|sum| (sum / 25) as u8)
    }
    /// The darkest and the lightest pixel of it: what is written is seen by the difference.
    fn contrast(&self, picture: &RgbImage) -> u8 {
        let columns = (self.x.max(0.0) as u32)..(self.right() as u32).min(picture.width());
        let lights = columns.flat_map(|x| {
            let rows = (self.y.max(0.0) as u32)..(self.bottom() as u32).min(picture.height());
            rows.map(move |y| (x, y))
        });
        let lights = lights.map(|(x, y)| picture.get_pixel(x, y).0.iter().map(|v| u32::from(*v)).sum::<u32>() / 3);
        let (least, most) = lights.fold((255, 0), |(least, most), light| (light.min(least), light.max(most)));
        most.saturating_sub(least) as u8
    }
}

/// Colours after two conversions and an encoder.
fn alike(one: [u8; 3], other: [u8; 3]) -> bool {
    one.iter().zip(&other).all(|(a, b)| a.abs_diff(*b) <= 40)
}

/// What is wrong with the tiles in a picture of the page.
fn wrong(picture: &RgbImage, tiles: &[Tile], expected: &[(&str, Shows)]) -> Vec<String> {
    let mut wrong = Vec::new();
    if tiles.len() != expected.len() {
        wrong.push(format!("{} tiles instead of {}: {tiles:?}", tiles.len(), expected.len()));
    }
    for (at, tile) in tiles.iter().enumerate() {
        let inside = |area: &Area| {
            let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
            area.x >= 0.0 && area.y >= 0.0 && area.right() <= width && area.bottom() <= height && area.width > 0.0
        };
        if !inside(&tile.area) || !inside(&tile.caption) || !tile.area.overlaps(&tile.caption) {
            wrong.push(format!("{} lies outside: {tile:?}", tile.name));
            continue;
        }
        wrong.extend(
            tiles[..at]
                .iter()
                .filter(|other| other.area.overlaps(&tile.area))
                .map(|other| format!("{} covers {}", tile.name, other.name)),
        );
        let contrast = tile.caption.contrast(picture);
        if contrast < 120 {
            wrong.push(format!("the name {} cannot be read: {contrast} of 255", tile.name));
        }
        let Some((_, shows)) = expected.iter().find(|(name, _)| *name == tile.name) else {
            wrong.push(format!("nobody has the name {:?}", tile.name));
            continue;
        };
        let seen = [0.3, 0.7].map(|x| tile.area.colour(picture, (x, 0.4)));
        let fits = match shows {
            Shows::Picture([left, right]) => alike(seen[0], left.1) && alike(seen[1], right.1),
            Shows::Mirrored([left, right]) => alike(seen[0], right.1) && alike(seen[1], left.1),
            // A plain ground, and the letters on it.
            Shows::Card(letters) => {
                let middle = Area {
                    x: tile.area.x + 0.35 * tile.area.width,
                    y: tile.area.y + 0.25 * tile.area.height,
                    width: 0.3 * tile.area.width,
                    height: 0.5 * tile.area.height,
                };
                tile.initials == *letters
                    && middle.contrast(picture) > 80
                    && [ALICE, BOB, SCREEN].iter().flatten().all(|(_, colour)| !alike(seen[0], *colour))
            }
        };
        if !fits {
            wrong.push(format!("{} shows {seen:?}", tile.name));
        }
    }
    wrong
}

fn folder() -> PathBuf {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A picture of the page, which is no wider than its window.
async fn picture(page: &Page, name: &str) -> RgbImage {
    let path = folder().join(name);
    page.screenshot(&path).await;
    let picture = image::open(&path).expect("a picture").to_rgb8();
    let wide: u32 = page.eval("document.documentElement.scrollWidth").await;
    assert!(wide <= picture.width(), "{name}: the page is {wide} pixels wide, its window {}", picture.width());
    picture
}

/// Takes pictures of the page until it shows what it must.
async fn looks(page: &Page, name: &str, size: (i64, i64), expected: &[(&str, Shows)]) -> Vec<Tile> {
    page.resize(size.0, size.1).await;
    let late = Instant::now() + PATIENCE;
    loop {
        let picture = picture(page, name).await;
        let tiles: Vec<Tile> = page.eval(TILES).await;
        let wrong = wrong(&picture, &tiles, expected);
        if wrong.is_empty() {
            return tiles;
        }
        assert!(Instant::now() < late, "{name}: {}", wrong.join("\n"));
    }
}

async fn join(browser: &Browser, server: &TestServer, name: &str, camera: Halves, query: &str) -> Page {
    let query = format!("auto=1&width=320&height=180&fps=15&name={name}&{query}");
    let page = browser.page_with(&server.page("test", &query), &devices(camera)).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_before_and_after_a_call() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let start = browser.page(&format!("http://{}/", server.address)).await;
    start.resize(DESK.0, DESK.1).await;
    let whole = |size: (i64, i64)| Area { x: 0.0, y: 0.0, width: size.0 as f64, height: size.1 as f64 };
    assert!(whole(DESK).contrast(&picture(&start, "start.png").await) > 150, "something is written there");
    let lobby = server.page("weekly-standup", "name=Alice+Moreau");
    let lobby = browser.page_with(&lobby, &devices(ALICE)).await;
    let shown = "(() => { const { x, y, width, height } = document.querySelector('#preview').getBoundingClientRect();
        return { x, y, width, height }; })()";
    for (size, name) in [(DESK, "lobby.png"), (PHONE, "lobby-phone.png")] {
        lobby.resize(size.0, size.1).await;
        let late = Instant::now() + PATIENCE;
        loop {
            let (picture, area): (_, Area) = (picture(&lobby, name).await, lobby.eval(shown).await);
            let seen = [0.3, 0.7].map(|x| area.colour(&picture, (x, 0.4)));
            // As in a mirror.
            if alike(seen[0], ALICE[1].1) && alike(seen[1], ALICE[0].1) {
                break;
            }
            assert!(Instant::now() < late, "{name}: she sees {seen:?} of herself");
        }
        let (room, who): (String, String) = lobby
            .eval("[document.querySelector('#lobby-room').innerText, document.querySelector('#name').value]")
            .await;
        assert_eq!((room.as_str(), who.as_str()), ("weekly-standup", "Alice Moreau"));
    }
    let carol = join(&browser, &server, "Carol+Jimenez", ALICE, "camera=0&mic=0").await;
    carol.run("roombot.leave()").await;
    carol.wait_for("roombot.state.phase === 'over'", PATIENCE, "she has left").await;
    assert!(whole(DESK).contrast(&picture(&carol, "left.png").await) > 150, "something is written there");
    let words: String = carol.eval("document.querySelector('#over').innerText").await;
    assert!(words.contains("Join again"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_shown_with_their_picture_and_name() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice+Moreau", ALICE, "").await;
    let own = || ("Alice Moreau (you)", Shows::Mirrored(ALICE));
    looks(&alice, "alone.png", DESK, &[own()]).await;
    let bob = join(&browser, &server, "Bob", BOB, "mic=0").await;
    let _carol = join(&browser, &server, "Carol+Jimenez", SCREEN, "camera=0&mic=0").await;
    let three = || [own(), ("Bob", Shows::Picture(BOB)), ("Carol Jimenez", Shows::Card("CJ"))];
    looks(&alice, "three.png", DESK, &three()).await;
    looks(&alice, "three-phone.png", PHONE, &three()).await;
    bob.run("await roombot.share(true)").await;
    for (size, name) in [(PHONE, "screen-phone.png"), (DESK, "screen.png")] {
        let mut expected = Vec::from(three());
        expected.push(("Bob’s screen", Shows::Picture(SCREEN)));
        let tiles = looks(&alice, name, size, &expected).await;
        let room = |tile: &Tile| tile.area.width * tile.area.height;
        let screen = tiles.iter().find(|tile| tile.screen).expect("it is shown");
        let larger = tiles.iter().filter(|tile| !tile.screen).all(|face| room(screen) > 2.0 * room(face));
        assert!(larger, "{name}: a screen is larger than faces: {tiles:?}");
    }
}

#[test]
fn the_judge_of_pictures_sees() {
    let area = |x, y, width, height| Area { x, y, width, height };
    let tile = |name: &str| Tile {
        name: name.into(),
        screen: false,
        area: area(0.0, 0.0, 160.0, 90.0),
        caption: area(10.0, 70.0, 60.0, 15.0),
        initials: "B".into(),
    };
    let paint = |left: [u8; 3], right: [u8; 3], written: bool| {
        RgbImage::from_fn(320, 180, |x, y| {
            let text = (10..70).contains(&x) && (70..85).contains(&y);
            match (text, x < 80) {
                (true, _) => Rgb(if written && x % 4 == 0 { [255; 3] } else { [10; 3] }),
                (_, true) => Rgb(left),
                (_, false) => Rgb(right),
            }
        })
    };
    let (left, right) = (BOB[0].1, BOB[1].1);
    let judge = |picture: RgbImage, tile: Tile| wrong(&picture, &[tile], &[("Bob", Shows::Picture(BOB))]).len();
    assert_eq!(judge(paint(left, right, true), tile("Bob")), 0);
    assert_eq!(judge(paint(left, left, true), tile("Bob")), 1, "half of the picture");
    assert_eq!(judge(paint(right, left, true), tile("Bob")), 1, "the wrong way round");
    assert_eq!(judge(paint([0; 3], [0; 3], true), tile("Bob")), 1, "black");
    assert_eq!(judge(paint(left, right, false), tile("Bob")), 1, "no name");
    assert_eq!(judge(paint(left, right, true), tile("Eve")), 1, "another name");
    assert_eq!(
        judge(paint(left, right, true), Tile { area: area(200.0, 0.0, 160.0, 90.0), ..tile("Bob") }),
        1,
        "outside"
    );
    let card = [("Bob", Shows::Card("B"))];
    assert_eq!(wrong(&paint([20; 3], [20; 3], true), &[tile("Bob")], &card).len(), 1, "nothing is on the card");
}
