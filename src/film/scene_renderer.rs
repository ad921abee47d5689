//! Renders the frames of a film: the tiles of each scene at the areas of its layout. Only what has changed is drawn again, and only
//! visible tracks are decoded.

use super::paint::{BACKGROUND, Clock, title};
use super::scene_plan::{Scene, ScenePlan};
use super::tile_renderer::{DrawingCache, TileContent, TileRenderer};
use super::track_pictures::TrackPictures;
use super::transition::Transition;
use crate::error::{Error, Result};
use crate::film::layout::{Policy, Rect, Shows, Size, layout};
use crate::media::{Canvas, Library, Overlay, Picture};
use crate::room::media::MediaKind;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A picture that is darker than this on average (16 is black) counts as empty.
const DARK: u8 = 32;
/// How long a title is shown.
const TITLE_DURATION: Duration = Duration::from_secs(3);

/// How scenes are drawn.
#[derive(Debug, Clone, Default)]
pub struct SceneOptions {
    /// The layout.
    pub policy: Policy,
    /// The size of frames in pixels.
    pub size: Size,
    /// A title at the beginning.
    pub title: Option<String>,
    /// Show the time since the recording began, in a corner.
    pub clock: bool,
    /// Animate tiles from one layout to the next.
    pub animate: bool,
}

/// Renders one frame after the other.
pub struct SceneRenderer {
    library: Library,
    tracks: PathBuf,
    options: SceneOptions,
    plan: ScenePlan,
    canvas: Canvas,
    drawings: DrawingCache,
    clock: Option<(Clock, u64)>,
    /// The scene that is shown now.
    scene: Option<Scene>,
    tiles: Vec<TileRenderer>,
    transition: Option<Transition>,
    /// The title and its end.
    title: Option<(Overlay, Duration)>,
    /// By the track's number in the manifest.
    video_tracks: BTreeMap<usize, TrackPictures>,
}

impl SceneRenderer {
    /// A renderer for a recording whose track files are in `tracks`.
    ///
    /// # Errors
    /// No memory for a picture, or a package is missing.
    pub fn new(library: &Library, plan: ScenePlan, tracks: PathBuf, options: SceneOptions) -> Result<SceneRenderer> {
        let clock = if options.clock { Some((Clock::new(library, options.size)?, u64::MAX)) } else { None };
        let mut renderer = SceneRenderer {
            library: library.clone(),
            tracks,
            canvas: Canvas::new(options.size)?,
            options,
            drawings: DrawingCache::new(library),
            clock,
            scene: None,
            tiles: Vec::new(),
            transition: None,
            title: None,
            video_tracks: BTreeMap::new(),
            plan: plan.clone(),
        };
        renderer.update(plan, false);
        Ok(renderer)
    }

    /// Updates what is known of the recording. `grows`: it is still being written.
    pub fn update(&mut self, plan: ScenePlan, grows: bool) {
        for (number, track) in plan.manifest.tracks.iter().enumerate() {
            if track.kind != MediaKind::Video || !plan.has(track) {
                continue;
            }
            let path = self.tracks.join(&track.file);
            let open = grows && !track.finished;
            self.video_tracks
                .entry(number)
                .or_insert_with(|| TrackPictures::new(path, track, open))
                .update(track, open);
        }
        self.plan = plan;
    }

    /// Renders the frame of session time `at`, not before that of the last call. Tracks that fail show a card from there on, and are
    /// passed to `failed`. True where the frame has changed.
    ///
    /// # Errors
    /// Nothing can be drawn: the machine's, or a missing package.
    pub fn advance(&mut self, at: Duration, mut failed: impl FnMut(Error)) -> Result<bool> {
        let (ms, nanos) = (at.as_millis() as u64, i64::try_from(at.as_nanos()).unwrap_or(i64::MAX));
        let mut drawn = false;
        if self.plan.at(ms) != self.scene.as_ref() {
            self.scene = self.plan.at(ms).cloned();
            drawn |= self.apply_layout(at)?;
        }
        let mut changed = Vec::new();
        for (track, pictures) in &mut self.video_tracks {
            let visible = self.tiles.iter().any(|tile| tile.content.track == Some(*track));
            match pictures.advance(&self.library, nanos, visible) {
                Ok(false) => {}
                Ok(true) => changed.push(*track),
                Err(error) => failed(error),
            }
        }
        if self.draw_title(at)? {
            return Ok(true);
        }
        if self.draw_transition(at)? {
            drawn = true;
        } else {
            for tile in &mut self.tiles {
                let picture = picture_of(&self.video_tracks, tile);
                let is_new = tile.content.track.is_some_and(|track| changed.contains(&track));
                drawn |= tile.draw(&mut self.canvas, &mut self.drawings, picture, is_new, false)?;
            }
        }
        if let Some((clock, shown)) = &mut self.clock {
            let seconds = at.as_secs();
            if drawn || *shown != seconds {
                *shown = seconds;
                self.canvas.overlay(&clock.overlay(seconds, self.options.size))?;
                drawn = true;
            }
        }
        Ok(drawn)
    }

    /// Ends the title before the next frame.
    pub fn end_title(&mut self) {
        if let Some((_, until)) = &mut self.title {
            *until = Duration::ZERO;
        }
    }

    /// The frame as it is now.
    pub fn canvas(&mut self) -> &mut Canvas {
        &mut self.canvas
    }

    /// The visible screens: their track numbers, and their pictures in original size.
    pub fn screens(&self) -> impl Iterator<Item = (usize, &Picture)> {
        let screens = self.tiles.iter().filter(|tile| tile.content.is_screen() && tile.picture_area().is_some());
        screens
            .filter_map(|tile| tile.content.track)
            .filter_map(|track| Some((track, self.video_tracks.get(&track)?.picture()?)))
    }

    /// How many pictures with content are visible; where there is none, how many cards. What is behind a title does not count.
    pub fn visible(&self) -> Result<(usize, usize)> {
        let mut count = 0;
        for area in self.tiles.iter().filter_map(TileRenderer::picture_area) {
            count += usize::from(self.canvas.brightness(area)? > DARK);
        }
        let cards = self.tiles.iter().filter(|tile| count == 0 && tile.has_card()).count();
        Ok((count, cards))
    }

    /// Lays out the scene: true where everything has to be drawn again.
    fn apply_layout(&mut self, at: Duration) -> Result<bool> {
        let Some(scene) = &self.scene else { return Ok(false) };
        let tiles = layout(&scene.view, self.options.size, self.options.policy);
        let wanted: Vec<TileContent> =
            tiles.into_iter().map(|tile| self.wanted(scene, tile.shows, tile.area)).collect();
        let is_same = wanted.len() == self.tiles.len()
            && wanted
                .iter()
                .zip(&self.tiles)
                .all(|(new, old)| new.area == old.content.area && new.shows == old.content.shows);
        if is_same {
            self.tiles.iter_mut().zip(wanted).for_each(|(tile, wanted)| tile.set_content(wanted));
            return Ok(false);
        }
        let before: Vec<(Shows, Rect)> =
            self.tiles.iter().map(|tile| (tile.content.shows, tile.content.area)).collect();
        if self.options.animate && !before.is_empty() {
            let from = self.transition.take().map_or(before, |transition| transition.areas(at));
            self.transition = Some(Transition::new(at, from, wanted.iter().map(|w| (w.shows, w.area)).collect()));
        }
        self.tiles = wanted.into_iter().map(TileRenderer::new).collect();
        self.canvas.fill(BACKGROUND)?;
        Ok(true)
    }

    fn wanted(&self, scene: &Scene, shows: Shows, area: Rect) -> TileContent {
        let (owner, track, person) = match shows {
            Shows::Screen(track) => (self.plan.owner(track), Some(track), None),
            Shows::Face(person) => {
                let index = scene.view.faces.iter().position(|f| *f == person);
                let camera = index.and_then(|i| scene.cameras.get(i).copied().flatten());
                (self.plan.name(person), camera, Some(person))
            }
        };
        TileContent {
            shows,
            area,
            track,
            owner: owner.to_owned(),
            is_muted: person.is_some_and(|person| scene.muted.contains(&person)),
            // Not where only one participant is visible.
            speaks: person.is_some_and(|person| scene.speaking.contains(&person)) && scene.view.faces.len() > 1,
        }
    }

    /// Draws the tiles of a transition: true while there is one.
    fn draw_transition(&mut self, at: Duration) -> Result<bool> {
        let Some(transition) = self.transition.take() else { return Ok(false) };
        self.canvas.fill(BACKGROUND)?;
        if transition.is_over(at) {
            self.tiles.iter_mut().for_each(|tile| *tile = TileRenderer::new(tile.content.clone()));
            return Ok(false);
        }
        for (shows, area) in transition.areas(at) {
            let Some(tile) = self.tiles.iter().find(|tile| tile.content.shows == shows) else { continue };
            let mut moving = TileRenderer::new(TileContent { area, ..tile.content.clone() });
            let picture = picture_of(&self.video_tracks, tile);
            let moves = area != tile.content.area;
            moving.draw(&mut self.canvas, &mut self.drawings, picture, true, moves)?;
        }
        self.transition = Some(transition);
        Ok(true)
    }

    /// Draws the title: true while it is shown.
    fn draw_title(&mut self, at: Duration) -> Result<bool> {
        if let Some(text) = self.options.title.take() {
            let day = self.plan.manifest.started.strftime("%-d %B %Y").to_string();
            let picture = title(&self.library, &text, &day, self.options.size)?;
            self.title = Some((Overlay::new(&picture, (0, 0)), at + TITLE_DURATION));
        }
        match &self.title {
            None => Ok(false),
            Some((drawn, until)) if at < *until => self.canvas.overlay(drawn).map(|()| true),
            Some(_) => {
                self.title = None;
                self.transition = None;
                self.canvas.fill(BACKGROUND)?;
                self.tiles.iter_mut().for_each(|tile| *tile = TileRenderer::new(tile.content.clone()));
                Ok(false)
            }
        }
    }
}

/// The picture of a tile, if there is one.
fn picture_of<'a>(video_tracks: &'a BTreeMap<usize, TrackPictures>, tile: &TileRenderer) -> Option<&'a Picture> {
    video_tracks.get(&tile.content.track?)?.picture()
}
