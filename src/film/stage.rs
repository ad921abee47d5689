//! The picture of a film at one moment after the other: what each scene shows, where the layout says. Only what has changed is
//! painted again, and only what is seen is decoded.

use super::glide::Glide;
use super::lane::Lane;
use super::paint::{BACKGROUND, Clock, title};
use super::place::{Drawings, Place, Wanted};
use super::script::{Scene, Script};
use crate::error::{Error, Result};
use crate::film::layout::{Policy, Rect, Shows, Size, layout};
use crate::media::{Canvas, Library, Overlay, Picture};
use crate::room::media::MediaKind;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A picture that is darker than this on average (16 is black) shows nobody.
const DARK: u8 = 32;
/// How long a title is seen.
const TITLED: Duration = Duration::from_secs(3);

/// How a film looks.
#[derive(Debug, Clone, Default)]
pub struct Look {
    pub policy: Policy,
    pub size: Size,
    /// A title that is seen at first.
    pub title: Option<String>,
    /// The time since the meeting began, in a corner.
    pub clock: bool,
    /// Tiles glide to their new places.
    pub animate: bool,
}

/// Everything that it takes to paint.
pub struct Stage {
    library: Library,
    tracks: PathBuf,
    look: Look,
    script: Script,
    canvas: Canvas,
    drawings: Drawings,
    clock: Option<(Clock, u64)>,
    /// What is shown now.
    scene: Option<Scene>,
    places: Vec<Place>,
    glide: Option<Glide>,
    /// A title and until when it is seen.
    titled: Option<(Overlay, Duration)>,
    /// By the track's number in the manifest.
    lanes: BTreeMap<usize, Lane>,
}

impl Stage {
    /// An empty stage for a recording whose track files are in `tracks`.
    ///
    /// # Errors
    /// No memory for a picture, or a package is missing.
    pub fn new(library: &Library, script: Script, tracks: PathBuf, look: Look) -> Result<Stage> {
        let clock = if look.clock { Some((Clock::new(library, look.size)?, u64::MAX)) } else { None };
        let mut stage = Stage {
            library: library.clone(),
            tracks,
            canvas: Canvas::new(look.size)?,
            look,
            drawings: Drawings::new(library),
            clock,
            scene: None,
            places: Vec::new(),
            glide: None,
            titled: None,
            lanes: BTreeMap::new(),
            script: script.clone(),
        };
        stage.update(script, false);
        Ok(stage)
    }

    /// Goes by what is known of the recording now. `grows`: it is still being made.
    pub fn update(&mut self, script: Script, grows: bool) {
        for (number, track) in script.manifest.tracks.iter().enumerate() {
            if track.kind != MediaKind::Video || !script.has(track) {
                continue;
            }
            let path = self.tracks.join(&track.file);
            let open = grows && !track.finished;
            self.lanes.entry(number).or_insert_with(|| Lane::new(path, track, open)).update(track, open);
        }
        self.script = script;
    }

    /// Goes on to session time `at`. Tracks that fail show a card from there on, and are told to `failed`. True where the picture
    /// has changed.
    ///
    /// # Errors
    /// Nothing can be painted at all: the machine's, or a package that is missing.
    pub fn advance(&mut self, at: Duration, mut failed: impl FnMut(Error)) -> Result<bool> {
        let (ms, nanos) = (at.as_millis() as u64, i64::try_from(at.as_nanos()).unwrap_or(i64::MAX));
        let mut painted = false;
        if self.script.at(ms) != self.scene.as_ref() {
            self.scene = self.script.at(ms).cloned();
            painted |= self.arrange(at)?;
        }
        let mut changed = Vec::new();
        for (track, lane) in &mut self.lanes {
            let wanted = self.places.iter().any(|place| place.wanted.track == Some(*track));
            match lane.advance(&self.library, nanos, wanted) {
                Ok(false) => {}
                Ok(true) => changed.push(*track),
                Err(error) => failed(error),
            }
        }
        if self.is_titled(at)? {
            return Ok(true);
        }
        if self.glide(at)? {
            painted = true;
        } else {
            for place in &mut self.places {
                let picture = shown(&self.lanes, place, nanos);
                let is_new = place.wanted.track.is_some_and(|track| changed.contains(&track));
                painted |= place.paint(&mut self.canvas, &mut self.drawings, picture, is_new, false)?;
            }
        }
        if let Some((clock, shown)) = &mut self.clock {
            let seconds = at.as_secs();
            if painted || *shown != seconds {
                *shown = seconds;
                self.canvas.overlay(&clock.stamp(seconds, self.look.size))?;
                painted = true;
            }
        }
        Ok(painted)
    }

    /// The title goes with the next picture.
    pub fn end_title(&mut self) {
        if let Some((_, until)) = &mut self.titled {
            *until = Duration::ZERO;
        }
    }

    /// The picture as it is now.
    pub fn canvas(&mut self) -> &mut Canvas {
        &mut self.canvas
    }

    /// The screens that are seen now: the numbers of their tracks, and their pictures as they were sent.
    pub fn screens(&self) -> impl Iterator<Item = (usize, &Picture)> {
        let screens = self.places.iter().filter(|place| place.wanted.is_screen() && place.picture_area().is_some());
        screens
            .filter_map(|place| place.wanted.track)
            .filter_map(|track| Some((track, self.lanes.get(&track)?.picture(0)?)))
    }

    /// How many pictures are to be seen in which there is something, and where there is none, how many cards. Nothing behind a title.
    pub fn visible(&self) -> Result<(usize, usize)> {
        let mut count = 0;
        for area in self.places.iter().filter_map(Place::picture_area) {
            count += usize::from(self.canvas.brightness(area)? > DARK);
        }
        let cards = self.places.iter().filter(|place| count == 0 && place.has_card()).count();
        Ok((count, cards))
    }

    /// Lays out the scene: true where everything is painted anew.
    fn arrange(&mut self, at: Duration) -> Result<bool> {
        let Some(scene) = &self.scene else { return Ok(false) };
        let tiles = layout(&scene.view, self.look.size, self.look.policy);
        let wanted: Vec<Wanted> = tiles.into_iter().map(|tile| self.wanted(scene, tile.shows, tile.area)).collect();
        let stays = wanted.len() == self.places.len()
            && wanted
                .iter()
                .zip(&self.places)
                .all(|(new, old)| new.area == old.wanted.area && new.shows == old.wanted.shows);
        if stays {
            self.places.iter_mut().zip(wanted).for_each(|(place, wanted)| place.change(wanted));
            return Ok(false);
        }
        let before: Vec<(Shows, Rect)> =
            self.places.iter().map(|place| (place.wanted.shows, place.wanted.area)).collect();
        if self.look.animate && !before.is_empty() {
            let from = self.glide.take().map_or(before, |glide| glide.areas(at));
            self.glide = Some(Glide::new(at, from, wanted.iter().map(|w| (w.shows, w.area)).collect()));
        }
        self.places = wanted.into_iter().map(Place::new).collect();
        self.canvas.fill(BACKGROUND)?;
        Ok(true)
    }

    fn wanted(&self, scene: &Scene, shows: Shows, area: Rect) -> Wanted {
        let (owner, track, person) = match shows {
            Shows::Screen(track) => (self.script.owner(track), Some(track), None),
            Shows::Face(person) => {
                let index = scene.view.faces.iter().position(|f| *f == person);
                let camera = index.and_then(|i| scene.cameras.get(i).copied().flatten());
                (self.script.name(person), camera, Some(person))
            }
        };
        let is = |who: Option<usize>| who.is_some() && who == person;
        Wanted {
            shows,
            area,
            track,
            owner: owner.to_owned(),
            is_muted: person.is_some_and(|person| scene.muted.contains(&person)),
            // Alone there is nobody to tell them from.
            speaks: is(scene.speaking) && scene.view.faces.len() > 1,
        }
    }

    /// Paints tiles on their way, if they are: true while they are.
    fn glide(&mut self, at: Duration) -> Result<bool> {
        let Some(glide) = self.glide.take() else { return Ok(false) };
        self.canvas.fill(BACKGROUND)?;
        if glide.is_over(at) {
            self.places.iter_mut().for_each(|place| *place = Place::new(place.wanted.clone()));
            return Ok(false);
        }
        let nanos = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
        for (shows, area) in glide.areas(at) {
            let Some(place) = self.places.iter().find(|place| place.wanted.shows == shows) else { continue };
            let mut moving = Place::new(Wanted { area, ..place.wanted.clone() });
            let picture = shown(&self.lanes, place, nanos);
            let moves = area != place.wanted.area;
            moving.paint(&mut self.canvas, &mut self.drawings, picture, true, moves)?;
        }
        self.glide = Some(glide);
        Ok(true)
    }

    /// Paints the title as long as it is to be seen: true while it is.
    fn is_titled(&mut self, at: Duration) -> Result<bool> {
        if let Some(text) = self.look.title.take() {
            let day = self.script.manifest.started.strftime("%-d %B %Y").to_string();
            let drawn = title(&self.library, &text, &day, self.look.size)?;
            self.titled = Some((Overlay::new(&drawn, (0, 0)), at + TITLED));
        }
        match &self.titled {
            None => Ok(false),
            Some((drawn, until)) if at < *until => self.canvas.overlay(drawn).map(|()| true),
            Some(_) => {
                self.titled = None;
                self.glide = None;
                self.canvas.fill(BACKGROUND)?;
                self.places.iter_mut().for_each(|place| *place = Place::new(place.wanted.clone()));
                Ok(false)
            }
        }
    }
}

/// The picture that belongs in a place, if there is one.
fn shown<'a>(lanes: &'a BTreeMap<usize, Lane>, place: &Place, at: i64) -> Option<&'a Picture> {
    lanes.get(&place.wanted.track?)?.picture(at)
}
