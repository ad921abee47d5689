//! Draws one tile of a frame: its picture or card, name and frame over it, and only where something has changed.

use super::paint::{BACKGROUND, TILE, card, frame, label};
use crate::error::Result;
use crate::film::layout::{Rect, Shows, Size, fit};
use crate::media::{Cache, Canvas, Library, Overlay, Picture};
use image::RgbaImage;

/// Names and cards that are cached.
const MAX_DRAWINGS: usize = 512;

/// The size of the card that is scaled in transitions.
const TRANSITION_CARD: Size = (640, 360);

/// What a tile shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileContent {
    /// The screen or participant.
    pub shows: Shows,
    /// Where the tile is.
    pub area: Rect,
    /// The track of the picture; `None`: a card.
    pub track: Option<usize>,
    /// The participant's display name.
    pub owner: String,
    /// The microphone is missing or muted.
    pub is_muted: bool,
    /// The active speaker.
    pub speaks: bool,
}

impl TileContent {
    /// True for a shared screen.
    pub fn is_screen(&self) -> bool {
        matches!(self.shows, Shows::Screen(_))
    }

    fn label(&self) -> String {
        if self.is_screen() { format!("{} · screen", self.owner) } else { self.owner.clone() }
    }
}

/// What is drawn in a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drawn {
    Card,
    Picture(Rect),
}

/// A tile and what is drawn in it.
pub struct TileRenderer {
    /// What the tile shows.
    pub content: TileContent,
    drawn: Option<Drawn>,
    overlay: Overlay,
}

impl TileRenderer {
    /// A tile in which nothing is drawn yet.
    pub fn new(content: TileContent) -> TileRenderer {
        TileRenderer { content, drawn: None, overlay: Overlay::default() }
    }

    /// Changes the content; the tile is drawn again where it differs.
    pub fn set_content(&mut self, content: TileContent) {
        if self.content != content {
            *self = TileRenderer::new(content);
        }
    }

    /// The area of the picture; `None` where there is a card.
    pub fn picture_area(&self) -> Option<Rect> {
        match self.drawn {
            Some(Drawn::Picture(area)) => Some(area),
            _ => None,
        }
    }

    /// True where there is a card.
    pub fn has_card(&self) -> bool {
        self.drawn == Some(Drawn::Card)
    }

    /// Draws what is needed: everything at first, then the picture where it has `changed`. True where something was drawn.
    /// `plain` leaves out the name, for a tile that moves.
    ///
    /// # Errors
    /// Nothing can be drawn: the machine's, or a missing package.
    pub fn draw(
        &mut self,
        canvas: &mut Canvas,
        drawings: &mut DrawingCache,
        picture: Option<&Picture>,
        changed: bool,
        plain: bool,
    ) -> Result<bool> {
        let tile = self.content.area;
        let Some(picture) = picture else {
            // A screen without a picture gets no card.
            if self.drawn == Some(Drawn::Card) || (self.content.is_screen() && self.drawn.is_none()) {
                return Ok(false);
            }
            self.drawn = Some(Drawn::Card);
            canvas.overlay(&Overlay::new(
                &drawings.card(&self.content.owner, (tile.width, tile.height), plain)?,
                (tile.x, tile.y),
            ))?;
            self.overlay = self.overlay(drawings, tile, plain)?;
            canvas.overlay(&self.overlay)?;
            return Ok(true);
        };
        let drawn = Drawn::Picture(fit(picture.size(), tile));
        if self.drawn == Some(drawn) && !changed {
            return Ok(false);
        }
        let Drawn::Picture(area) = drawn else { return Ok(false) };
        if self.drawn != Some(drawn) {
            // The first picture of this shape: a card or a picture of another shape must not be visible beside it.
            canvas.fill_area(tile, if self.content.is_screen() { BACKGROUND } else { TILE })?;
            self.overlay = self.overlay(drawings, area, plain)?;
            self.drawn = Some(drawn);
        }
        canvas.draw(picture, area, self.content.is_screen())?;
        canvas.overlay(&self.overlay)?;
        Ok(true)
    }

    /// Name, frame and round corners over a picture in the area `picture`.
    fn overlay(&self, drawings: &mut DrawingCache, picture: Rect, plain: bool) -> Result<Overlay> {
        let (tile, is_screen) = (self.content.area, self.content.is_screen());
        // A screen has no tile around it: its own corners are rounded.
        let around = if is_screen { picture } else { tile };
        let mut over = frame(around, self.content.speaks);
        if plain {
            return Ok(over);
        }
        // Names of screens are as small as those of the faces beside them.
        let text_area =
            if is_screen { (picture.width, tile.height.min(tile.width) / 3) } else { (tile.width, tile.height) };
        let name = drawings.label(&self.content.label(), self.content.is_muted, text_area)?;
        let inset = (name.height() / 3).max(2) & !1;
        let (bottom, end) = (around.y + around.height, tile.y + tile.height);
        // Below a screen where there is room, so that it hides nothing.
        let (x, y) = if is_screen && end >= bottom + name.height() + inset {
            (around.x, bottom + inset)
        } else {
            (around.x + inset, bottom.saturating_sub(name.height() + inset) & !1)
        };
        over.add(name, (x, y));
        Ok(over)
    }
}

/// A cache of drawn names and cards.
pub struct DrawingCache {
    library: Library,
    labels: Cache<(String, bool, Size), RgbaImage>,
    cards: Cache<(String, Size), RgbaImage>,
}

impl DrawingCache {
    /// An empty cache.
    pub fn new(library: &Library) -> DrawingCache {
        DrawingCache { library: library.clone(), labels: Cache::new(MAX_DRAWINGS), cards: Cache::new(MAX_DRAWINGS) }
    }

    fn label(&mut self, name: &str, is_muted: bool, tile: Size) -> Result<&RgbaImage> {
        let library = &self.library;
        let drawn = self.labels.get((name.to_owned(), is_muted, tile), || label(library, name, is_muted, tile))?;
        Ok(drawn)
    }

    /// A card; `moving`: for a tile in a transition, whose size changes with every frame, one of another size is scaled.
    fn card(&mut self, name: &str, tile: Size, moving: bool) -> Result<RgbaImage> {
        let library = &self.library;
        let size = if moving { TRANSITION_CARD } else { tile };
        let drawn = self.cards.get((name.to_owned(), size), || card(library, name, size))?;
        Ok(if size == tile { drawn.clone() } else { image::imageops::thumbnail(drawn, tile.0, tile.1) })
    }
}
