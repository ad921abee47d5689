//! Still pictures of a film: a poster, a contact sheet with times, and a slide for each change of a shared screen. It keeps small
//! pictures only (and one poster) in memory, and writes slides at once.

use super::scene_plan::ScenePlan;
use super::scene_renderer::SceneRenderer;
use super::text::{Line, Weight, render_line};
use crate::error::{Error, Result, write_failed};
use crate::film::layout::Rect;
use crate::media::{Canvas, Library, Picture};
use crate::output::PartFile;
use crate::recording::folder::Subfolder;
use image::imageops::{overlay, thumbnail};
use image::{Rgb, RgbImage};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a frame is considered for poster and slides.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Columns and rows of the contact sheet.
const SHEET: (u32, u32) = (4, 3);
/// The most thumbnails of a film of unknown length; then every second one is dropped.
const MAX_THUMBNAILS: usize = 2 * (SHEET.0 * SHEET.1) as usize;
/// The first distance of thumbnails of such a film.
const FIRST_THUMBNAIL_EVERY: Duration = Duration::from_secs(1);
/// The width of a thumbnail in pixels.
const THUMBNAIL_WIDTH: u32 = 320;
/// The most slides of a film: a screen that changes all the time is no slide show.
const MAX_SLIDES: usize = 500;
/// Screens are compared in a grid of so many columns and rows.
const GRID: (u32, u32) = (64, 36);
/// A cell of the grid has changed where its brightness differs by more than this (of 255).
const DIFFERENT: u8 = 10;
/// A new slide differs in at least this part of the cells, in 1/1000.
const CHANGED: usize = 6;

/// The still pictures of a film.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stills {
    /// The frame with the most visible pictures; without any, the one with the most cards.
    pub poster: Option<PathBuf>,
    /// Thumbnails with times.
    pub contact_sheet: Option<PathBuf>,
    /// The slides, in order.
    pub slides: Vec<Slide>,
    /// The list of slides as a file.
    pub index: Option<PathBuf>,
}

/// A shared screen after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slide {
    /// When it was shown, in session milliseconds.
    pub at_ms: u64,
    /// The participant's display name.
    pub of: String,
    /// The track's file name.
    pub track: String,
    /// The name in `stills/`.
    pub file: String,
}

/// Collects still pictures while a film is made.
pub struct StillsCollector {
    folder: PathBuf,
    /// When to consider the next frame.
    next: Duration,
    /// The best poster so far, and its numbers of pictures and cards.
    best: Option<((usize, usize), RgbImage)>,
    sheet: Vec<(Duration, RgbImage)>,
    sheet_next: Duration,
    sheet_every: Duration,
    /// The film's length is not known yet.
    grows: bool,
    /// By track: its picture when last considered, and its last slide.
    screens: BTreeMap<usize, (Vec<u8>, Vec<u8>)>,
    slides: Vec<Slide>,
}

impl StillsCollector {
    /// For a film that begins at `from` and lasts `lasts`; `None`: until its meeting ends.
    pub fn new(recording: &Path, from: Duration, lasts: Option<Duration>) -> StillsCollector {
        let every = lasts.map_or(FIRST_THUMBNAIL_EVERY, |lasts| lasts / (SHEET.0 * SHEET.1));
        StillsCollector {
            folder: recording.join(Subfolder::Stills.name()),
            next: from,
            best: None,
            sheet: Vec::new(),
            // In the middle of each part.
            sheet_next: from + every / 2,
            sheet_every: every,
            grows: lasts.is_none(),
            screens: BTreeMap::new(),
            slides: Vec::new(),
        }
    }

    /// Considers the frame that was rendered last.
    ///
    /// # Errors
    /// A still cannot be written: the machine's, or the user's where the folder is not theirs.
    pub fn look(&mut self, renderer: &mut SceneRenderer, plan: &ScenePlan, at: Duration) -> Result<()> {
        if at >= self.sheet_next && (self.grows || self.sheet.len() < (SHEET.0 * SHEET.1) as usize) {
            let picture = renderer.canvas().to_rgb()?;
            let height = (THUMBNAIL_WIDTH * picture.height() / picture.width().max(1)).max(1);
            self.keep_thumbnail(at, thumbnail(&picture, THUMBNAIL_WIDTH, height));
        }
        if at < self.next {
            return Ok(());
        }
        self.next = at + LOOK_EVERY;
        self.consider_poster(renderer)?;
        let screens: Vec<(usize, Picture)> =
            renderer.screens().map(|(track, picture)| (track, picture.clone())).collect();
        for (track, picture) in screens {
            self.consider_slide(track, &picture, plan, at)?;
        }
        Ok(())
    }

    /// Takes the frame as poster if it is better than the one before.
    fn consider_poster(&mut self, renderer: &mut SceneRenderer) -> Result<()> {
        let seen = renderer.visible()?;
        if seen > self.best.as_ref().map_or((0, 0), |(best, _)| *best) {
            self.best = Some((seen, renderer.canvas().to_rgb()?));
        }
        Ok(())
    }

    /// Where no frame was good enough for a poster until the film's end, considers what is behind the title, too.
    ///
    /// # Errors
    /// As [`StillsCollector::look`].
    pub fn look_behind_title(&mut self, renderer: &mut SceneRenderer, at: Duration) -> Result<()> {
        if self.best.is_some() {
            return Ok(());
        }
        renderer.end_title();
        // Tracks that fail have been reported already.
        renderer.advance(at, drop)?;
        self.consider_poster(renderer)
    }

    /// Keeps a thumbnail for the contact sheet. The longer a growing film gets, the larger their distance.
    fn keep_thumbnail(&mut self, at: Duration, small: RgbImage) {
        self.sheet.push((at, small));
        if self.grows && self.sheet.len() >= MAX_THUMBNAILS {
            let mut number = 0;
            self.sheet.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.sheet_every *= 2;
        }
        self.sheet_next = self.sheet.last().map_or(at, |(last, _)| *last) + self.sheet_every;
    }

    /// A slide is a picture that has stayed from one look to the next, and differs from the slide before.
    fn consider_slide(&mut self, track: usize, picture: &Picture, plan: &ScenePlan, at: Duration) -> Result<()> {
        let now = picture.luma(GRID)?;
        let (last, slide) = self.screens.entry(track).or_default();
        let stays = !differs(last, &now);
        *last = now;
        if !stays || !differs(slide, last) || self.slides.len() >= MAX_SLIDES {
            return Ok(());
        }
        *slide = last.clone();
        let file = plan.manifest.tracks.get(track).map(|t| t.file.clone()).unwrap_or_default();
        let at_ms = at.as_millis() as u64;
        let stem = file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem);
        let name = self.save(&format!("{stem}.{at_ms:08}.jpg"), &full_size(picture)?)?;
        let file_name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.slides.push(Slide { at_ms, of: plan.owner(track).to_owned(), track: file, file: file_name });
        Ok(())
    }

    /// Writes poster, contact sheet and the list of slides.
    ///
    /// # Errors
    /// As [`StillsCollector::look`].
    pub fn finish(mut self, library: &Library, from: Duration) -> Result<Stills> {
        let (most, kept) = ((SHEET.0 * SHEET.1) as usize, self.sheet.len());
        if kept > most {
            // The middle one of each part, as above.
            let wanted: Vec<usize> = (0..most).map(|n| (2 * n + 1) * kept / (2 * most)).collect();
            let mut number = 0..;
            self.sheet.retain(|_| number.next().is_some_and(|number| wanted.contains(&number)));
        }
        let mut stills = Stills { slides: std::mem::take(&mut self.slides), ..Stills::default() };
        if let Some((_, picture)) = self.best.take() {
            stills.poster = Some(self.save("poster.jpg", &picture)?);
        }
        if let Some(sheet) = self.sheet(library, from)? {
            stills.contact_sheet = Some(self.save("contact-sheet.jpg", &sheet)?);
        }
        if !stills.slides.is_empty() {
            let text = serde_json::to_vec_pretty(&stills.slides)
                .map_err(|e| Error::internal("the slides cannot be listed").because(e))?;
            stills.index = Some(self.write("slides.json", &text)?);
        }
        Ok(stills)
    }

    fn sheet(&self, library: &Library, from: Duration) -> Result<Option<RgbImage>> {
        let Some((width, height)) = self.sheet.first().map(|(_, picture)| picture.dimensions()) else {
            return Ok(None);
        };
        let (gap, line) = (8, 24);
        let columns = SHEET.0.min(self.sheet.len() as u32);
        let rows = (self.sheet.len() as u32).div_ceil(columns);
        let mut sheet =
            RgbImage::from_pixel(gap + columns * (width + gap), gap + rows * (height + line + gap), Rgb([18, 20, 26]));
        for ((at, picture), number) in self.sheet.iter().zip(0u32..) {
            let (x, y) = (gap + number % columns * (width + gap), gap + number / columns * (height + line + gap));
            overlay(&mut sheet, picture, x.into(), y.into());
            let seconds = (*at - from).as_secs();
            let text = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
            let words = render_line(library, Line { text: &text, height: 14, weight: Weight::Plain }, width)?;
            for (dx, dy) in (0..words.height()).flat_map(|dy| (0..words.width()).map(move |dx| (dx, dy))) {
                if let Some(pixel) = sheet.get_pixel_mut_checked(x + dx, y + height + 2 + dy) {
                    pixel.0 = pixel
                        .0
                        .map(|have| (f32::from(have) + (210.0 - f32::from(have)) * words.coverage(dx, dy)) as u8);
                }
            }
        }
        Ok(Some(sheet))
    }

    fn save(&self, name: &str, picture: &RgbImage) -> Result<PathBuf> {
        let mut bytes = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 88);
        picture.write_with_encoder(encoder).map_err(|e| Error::internal("a still cannot be encoded").because(e))?;
        self.write(name, &bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        match std::fs::create_dir(&self.folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(write_failed(&self.folder, e)),
            _ => {}
        }
        PartFile::create(&self.folder.join(name))?.write(bytes)
    }
}

/// A picture in its original size.
fn full_size(picture: &Picture) -> Result<RgbImage> {
    let (width, height) = picture.size();
    let size = ((width & !1).max(2), (height & !1).max(2));
    let mut canvas = Canvas::new(size)?;
    canvas.draw(picture, Rect { x: 0, y: 0, width: size.0, height: size.1 }, true)?;
    canvas.to_rgb()
}

/// True where more has changed than a cursor, a clock or a progress bar.
fn differs(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return true;
    }
    let row = GRID.0 as usize;
    let changed = one.chunks(row).zip(other.chunks(row)).map(|(one, other)| {
        let cells = (0..).zip(one.iter().copied().zip(other.iter().copied()));
        cells.filter(|(_, (a, b))| a.abs_diff(*b) > DIFFERENT).collect()
    });
    let rows: Vec<Vec<Cell>> = changed.filter(|cells: &Vec<_>| !cells.is_empty()).collect();
    // These are lower than two rows of the grid, but may lie in two.
    let is_low = match rows.as_slice() {
        [_] => true,
        [upper, lower] => is_bar(upper, lower),
        _ => false,
    };
    !is_low && rows.iter().map(Vec::len).sum::<usize>() * 1000 >= one.len() * CHANGED
}

/// A changed cell of a row: its column, its brightness before and after.
type Cell = (usize, (u8, u8));

/// True for a progress bar in two rows: it is equally long in both, and of even brightness before and after in each (text is uneven).
/// Cells at its two ends may be covered in part.
fn is_bar(upper: &[Cell], lower: &[Cell]) -> bool {
    let ends = |cells: &[Cell]| cells.first().zip(cells.last()).map_or((0, 0), |(first, last)| (first.0, last.0));
    let ((left, right), (below_left, below_right)) = (ends(upper), ends(lower));
    let is_one = |values: &[u8]| {
        let most = values.iter().max().zip(values.iter().min());
        most.is_none_or(|(most, least)| most - least <= DIFFERENT)
    };
    let is_even = |cells: &[Cell]| {
        let inner = cells.get(1..cells.len().saturating_sub(1)).unwrap_or_default();
        let (before, after): (Vec<u8>, Vec<u8>) = inner.iter().map(|(_, values)| *values).unzip();
        is_one(&before) && is_one(&after)
    };
    left.abs_diff(below_left) <= 1 && right.abs_diff(below_right) <= 1 && is_even(upper) && is_even(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sheet_of_a_film_that_grows_is_of_all_of_it() {
        for seconds in [3u64, 30, 47, 3600] {
            let dir = tempfile::tempdir().unwrap();
            let mut album = StillsCollector::new(dir.path(), Duration::ZERO, None);
            for at in (0..seconds * 10).map(|n| Duration::from_millis(n * 100)) {
                if at >= album.sheet_next {
                    album.keep_thumbnail(at, RgbImage::new(32, 18));
                }
                assert!(album.sheet.len() < MAX_THUMBNAILS);
            }
            let times: Vec<u64> = album.sheet.iter().map(|(at, _)| at.as_secs()).collect();
            let step = album.sheet_every.as_secs();
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] == step), "{times:?}");
            assert!(times[0] == 0 && times.last().unwrap() + step >= seconds - 1, "{times:?}");
            let stills = album.finish(&Library::default(), Duration::ZERO).unwrap();
            let sheet = image::open(stills.contact_sheet.unwrap()).unwrap();
            let columns = 4.min(seconds as u32);
            assert_eq!(sheet.width(), 8 + columns * 40, "{seconds} s");
            assert!(seconds < 12 || sheet.height() == 8 + 3 * (18 + 24 + 8), "{seconds} s: {}", sheet.height());
        }
    }

    #[test]
    fn noise_is_no_new_slide_but_a_new_line_is() {
        let slide = vec![200u8; (GRID.0 * GRID.1) as usize];
        let noisy: Vec<u8> = slide.iter().enumerate().map(|(n, v)| v - (n % 6) as u8).collect();
        assert!(!differs(&slide, &noisy));
        let mut written = slide.clone();
        written[640..740].fill(90);
        assert!(differs(&slide, &written) && differs(&[], &slide));
        // Letters cover some parts more than others.
        let mut written = slide.clone();
        (640..768).for_each(|cell| written[cell] = 120 + (cell % 5 * 8) as u8);
        assert!(differs(&slide, &written));
        let mut bar = slide.clone();
        bar[640..704].fill(90);
        assert!(!differs(&slide, &bar));
        // One that lies in two rows, at its beginning and as it goes on; it ends somewhere within a cell.
        let bar = |long: usize, end: u8| {
            let mut bar = slide.clone();
            for (row, value) in [(640, 90), (704, 170)] {
                bar[row..row + long].fill(value);
                bar[row + long] = end.max(value);
            }
            bar
        };
        assert!(!differs(&slide, &bar(20, 150)) && !differs(&bar(20, 150), &bar(50, 190)));
        // In three rows it is something else.
        let mut high = slide.clone();
        [640, 704, 768].iter().for_each(|row| high[*row..row + 30].fill(90));
        assert!(differs(&slide, &high));
    }
}
