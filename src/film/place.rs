//! One tile of a film's picture: what it shows, what lies over it, and whether that has to be painted again.

use super::paint::{BACKGROUND, TILE, card, frame, label};
use crate::error::Result;
use crate::film::layout::{Rect, Shows, Size, fit};
use crate::media::{Cache, Canvas, Library, Overlay, Picture};
use image::RgbaImage;

/// Drawings that are kept; with more names and sizes than that, they are drawn again.
const MOST_DRAWINGS: usize = 512;

/// A card of which others are scaled.
const USUAL_CARD: Size = (640, 360);

/// What a tile is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub shows: Shows,
    pub area: Rect,
    /// The track of the picture; none: a card.
    pub track: Option<usize>,
    /// Whose it is.
    pub owner: String,
    pub is_muted: bool,
    pub speaks: bool,
}

impl Wanted {
    pub fn is_screen(&self) -> bool {
        matches!(self.shows, Shows::Screen(_))
    }

    fn label(&self) -> String {
        if self.is_screen() { format!("{} · screen", self.owner) } else { self.owner.clone() }
    }
}

/// What is painted in a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Card,
    Picture(Rect),
}

/// A tile.
pub struct Place {
    pub wanted: Wanted,
    seen: Option<Seen>,
    over: Overlay,
}

impl Place {
    /// A tile with nothing in it.
    pub fn new(wanted: Wanted) -> Place {
        Place { wanted, seen: None, over: Overlay::default() }
    }

    /// What is to be shown has changed in the same area: it is painted again.
    pub fn change(&mut self, wanted: Wanted) {
        if self.wanted != wanted {
            *self = Place::new(wanted);
        }
    }

    /// Where there is a picture, not a card.
    pub fn picture_area(&self) -> Option<Rect> {
        match self.seen {
            Some(Seen::Picture(area)) => Some(area),
            _ => None,
        }
    }

    /// True where there is a card.
    pub fn has_card(&self) -> bool {
        self.seen == Some(Seen::Card)
    }

    /// Paints what is needed: all of it at first, then the picture where it `changed`. True where something was painted.
    /// `plain`, for
    /// a tile that glides by, leaves the name away.
    ///
    /// # Errors
    /// Nothing can be painted: the machine's, or a package that is missing.
    pub fn paint(
        &mut self,
        canvas: &mut Canvas,
        drawings: &mut Drawings,
        picture: Option<&Picture>,
        changed: bool,
        plain: bool,
    ) -> Result<bool> {
        let tile = self.wanted.area;
        let Some(picture) = picture else {
            // An empty screen is not worth a card.
            if self.seen == Some(Seen::Card) || (self.wanted.is_screen() && self.seen.is_none()) {
                return Ok(false);
            }
            self.seen = Some(Seen::Card);
            canvas.overlay(&Overlay::new(
                &drawings.card(&self.wanted.owner, (tile.width, tile.height), plain)?,
                (tile.x, tile.y),
            ))?;
            self.over = self.cover(drawings, tile, plain)?;
            canvas.overlay(&self.over)?;
            return Ok(true);
        };
        let seen = Seen::Picture(fit(picture.size(), tile));
        if self.seen == Some(seen) && !changed {
            return Ok(false);
        }
        let Seen::Picture(area) = seen else { return Ok(false) };
        if self.seen != Some(seen) {
            // The first one of this shape: nothing of a card or of another shape may show beside it.
            canvas.fill_area(tile, if self.wanted.is_screen() { BACKGROUND } else { TILE })?;
            self.over = self.cover(drawings, area, plain)?;
            self.seen = Some(seen);
        }
        canvas.draw(picture, area, self.wanted.is_screen())?;
        canvas.overlay(&self.over)?;
        Ok(true)
    }

    /// Name, frame and round corners over a picture that lies in `picture`.
    fn cover(&self, drawings: &mut Drawings, picture: Rect, plain: bool) -> Result<Overlay> {
        let (tile, is_screen) = (self.wanted.area, self.wanted.is_screen());
        // A screen has no tile around it: its own corners are the round ones.
        let around = if is_screen { picture } else { tile };
        let mut over = frame(around, self.wanted.speaks);
        if plain {
            return Ok(over);
        }
        // Names of screens are written as small as those of faces beside them.
        let like = if is_screen { (picture.width, tile.height.min(tile.width) / 3) } else { (tile.width, tile.height) };
        let name = drawings.label(&self.wanted.label(), self.wanted.is_muted, like)?;
        let inset = (name.height() / 3).max(2) & !1;
        let (bottom, end) = (around.y + around.height, tile.y + tile.height);
        // Beneath a screen where there is room, so that nothing of it is hidden.
        let (x, y) = if is_screen && end >= bottom + name.height() + inset {
            (around.x, bottom + inset)
        } else {
            (around.x + inset, bottom.saturating_sub(name.height() + inset) & !1)
        };
        over.add(name, (x, y));
        Ok(over)
    }
}

/// Names and cards that were drawn.
pub struct Drawings {
    library: Library,
    labels: Cache<(String, bool, Size), RgbaImage>,
    cards: Cache<(String, Size), RgbaImage>,
}

impl Drawings {
    /// None yet.
    pub fn new(library: &Library) -> Drawings {
        Drawings { library: library.clone(), labels: Cache::new(MOST_DRAWINGS), cards: Cache::new(MOST_DRAWINGS) }
    }

    fn label(&mut self, name: &str, is_muted: bool, tile: Size) -> Result<&RgbaImage> {
        let library = &self.library;
        let drawn = self.labels.get((name.to_owned(), is_muted, tile), || label(library, name, is_muted, tile))?;
        Ok(drawn)
    }

    /// A card; for a size that is seen for a `moment` only, as while tiles glide, one is scaled that is there.
    fn card(&mut self, name: &str, tile: Size, moment: bool) -> Result<RgbaImage> {
        let library = &self.library;
        let size = if moment { USUAL_CARD } else { tile };
        let drawn = self.cards.get((name.to_owned(), size), || card(library, name, size))?;
        Ok(if size == tile { drawn.clone() } else { image::imageops::thumbnail(drawn, tile.0, tile.1) })
    }
}
