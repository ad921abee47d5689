//! The picture of a film at one moment after the other: what each scene shows, where the layout says. Only what has changed is
//! painted again.

use super::lane::Lane;
use super::paint::{BACKGROUND, TILE, card, corners, label};
use super::scenes::{Scene, scenes};
use crate::error::{Error, Result};
use crate::media::{Canvas, Library};
use crate::record::manifest::Manifest;
use crate::room::layout::{Policy, Rect, Shows, Size, fit, layout};
use crate::room::media::MediaKind;
use image::{Rgba, RgbaImage};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

/// A picture that is darker than this on average (16 is black) shows nobody.
const DARK: u8 = 32;

/// Everything that it takes to paint.
pub struct Stage<'a> {
    library: &'a Library,
    manifest: &'a Manifest,
    size: Size,
    policy: Policy,
    canvas: Canvas,
    scenes: std::iter::Peekable<std::vec::IntoIter<(u64, Scene)>>,
    /// By the track's number in the manifest.
    lanes: BTreeMap<usize, Lane>,
    places: Vec<Place>,
    /// Names that were drawn, by participant, whether it is a screen's, and the tile's size.
    labels: HashMap<(String, Size), RgbaImage>,
}

/// A tile of this scene.
struct Place {
    tile: Rect,
    /// The track that is shown; none: a card.
    track: Option<usize>,
    is_screen: bool,
    name: String,
    /// Where the picture lies, once there is one.
    picture: Option<Rect>,
    /// Laid over the picture whenever it changes.
    over: Vec<(RgbaImage, (u32, u32))>,
}

impl<'a> Stage<'a> {
    /// An empty stage for a recording whose track files are in `tracks`.
    pub fn new(
        library: &'a Library,
        manifest: &'a Manifest,
        tracks: &Path,
        size: Size,
        policy: Policy,
    ) -> Result<Stage<'a>> {
        let video = manifest.tracks.iter().enumerate().filter(|(_, t)| t.kind == MediaKind::Video);
        Ok(Stage {
            library,
            manifest,
            size,
            policy,
            canvas: Canvas::new(size)?,
            scenes: scenes(manifest).into_iter().peekable(),
            lanes: video.map(|(index, track)| (index, Lane::new(tracks.join(&track.file), track))).collect(),
            places: Vec::new(),
            labels: HashMap::new(),
        })
    }

    /// Goes on to session time `at`. Tracks that fail show a card from there on, and are told to `failed`.
    ///
    /// # Errors
    /// Nothing can be painted at all: the machine's, or a package that is missing.
    pub fn advance(&mut self, at: Duration, mut failed: impl FnMut(Error)) -> Result<()> {
        let (ms, nanos) = (at.as_millis() as u64, i64::try_from(at.as_nanos()).unwrap_or(i64::MAX));
        let mut scene = None;
        while let Some((_, next)) = self.scenes.next_if(|(from, _)| *from <= ms) {
            scene = Some(next);
        }
        let mut changed = Vec::new();
        for (track, lane) in &mut self.lanes {
            match lane.advance(self.library, nanos) {
                Ok(false) => {}
                Ok(true) => changed.push(*track),
                Err(error) => failed(error),
            }
        }
        if let Some(scene) = scene {
            self.arrange(&scene)?;
        }
        let mut places = std::mem::take(&mut self.places);
        for place in &mut places {
            // A new scene paints everything, and everything has changed where it is new.
            if place.track.is_some_and(|track| place.picture.is_none() || changed.contains(&track)) {
                self.paint(place)?;
            }
        }
        self.places = places;
        Ok(())
    }

    /// The picture as it is now.
    pub fn canvas(&self) -> &Canvas {
        &self.canvas
    }

    /// How many pictures are to be seen in which there is something.
    pub fn visible(&self) -> Result<usize> {
        let mut count = 0;
        for area in self.places.iter().filter_map(|place| place.picture) {
            count += usize::from(self.canvas.brightness(area)? > DARK);
        }
        Ok(count)
    }

    /// Begins a scene: clears the picture and puts a card or an empty tile wherever a face belongs.
    fn arrange(&mut self, scene: &Scene) -> Result<()> {
        self.canvas.fill(BACKGROUND)?;
        let mut places = Vec::new();
        for tile in layout(&scene.view, self.size, self.policy) {
            let (owner, track, is_screen) = match tile.shows {
                Shows::Screen(track) => (self.owner(track), Some(track), true),
                Shows::Face(person) => {
                    let index = scene.view.faces.iter().position(|f| *f == person);
                    let camera = index.and_then(|i| scene.cameras.get(i).copied().flatten());
                    (self.manifest.participants.get(person).map_or("", |p| &p.name), camera, false)
                }
            };
            let name = if is_screen { format!("{owner} · screen") } else { owner.to_owned() };
            let place = Place { tile: tile.area, track, is_screen, name, picture: None, over: Vec::new() };
            if !is_screen {
                self.canvas
                    .overlay(&card(self.library, owner, (tile.area.width, tile.area.height))?, corner(tile.area))?;
                let over = self.over(&place, tile.area)?;
                self.lay(&over)?;
            }
            places.push(place);
        }
        self.places = places;
        Ok(())
    }

    /// Paints a place's picture, if there is one yet, and what lies over it.
    fn paint(&mut self, place: &mut Place) -> Result<()> {
        let picture = place.track.and_then(|track| self.lanes.get(&track)).and_then(|lane| lane.now.clone());
        let Some(picture) = picture else { return Ok(()) };
        let area = fit(picture.size(), place.tile);
        if place.picture != Some(area) {
            // The first one of this shape: nothing of a card or of another shape may show beside it.
            let [r, g, b] = if place.is_screen { BACKGROUND } else { TILE };
            let empty = RgbaImage::from_pixel(place.tile.width, place.tile.height, Rgba([r, g, b, 255]));
            self.canvas.overlay(&empty, corner(place.tile))?;
            place.over = self.over(place, area)?;
            place.picture = Some(area);
        }
        self.canvas.draw(&picture, area)?;
        self.lay(&place.over)
    }

    /// Name and round corners for a place whose picture lies in `picture`.
    fn over(&mut self, place: &Place, picture: Rect) -> Result<Vec<(RgbaImage, (u32, u32))>> {
        // A screen has no tile around it: its own corners are the round ones.
        let (frame, like) = if place.is_screen { (picture, self.size) } else { (place.tile, size(place.tile)) };
        let like = if place.is_screen { (like.0, like.1 / 2) } else { like };
        let mut over = corners(frame);
        let key = (place.name.clone(), like);
        if !self.labels.contains_key(&key) {
            let drawn = label(self.library, &place.name, like)?;
            self.labels.insert(key.clone(), drawn);
        }
        let Some(name) = self.labels.get(&key).cloned() else { return Ok(over) };
        let inset = (name.height() / 3).max(2) & !1;
        let below = (place.tile.y + place.tile.height).saturating_sub(frame.y + frame.height);
        // Beneath a screen where there is room, so that nothing of it is hidden.
        let y = if place.is_screen && below >= name.height() + inset {
            frame.y + frame.height + inset
        } else {
            (frame.y + frame.height).saturating_sub(name.height() + inset) & !1
        };
        let x = if y > frame.y + frame.height { frame.x } else { frame.x + inset };
        over.push((name, (x, y)));
        Ok(over)
    }

    fn lay(&mut self, over: &[(RgbaImage, (u32, u32))]) -> Result<()> {
        over.iter().try_for_each(|(drawn, at)| self.canvas.overlay(drawn, *at))
    }

    /// The display name of whoever sent a track.
    fn owner(&self, track: usize) -> &'a str {
        let key = self.manifest.tracks.get(track).map_or("", |t| &t.participant);
        self.manifest.participants.iter().find(|p| p.key == key).map_or(key, |p| &p.name)
    }
}

fn corner(area: Rect) -> (u32, u32) {
    (area.x, area.y)
}

fn size(area: Rect) -> Size {
    (area.width, area.height)
}
