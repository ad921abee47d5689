//! Parses the sources of `roombot feed`: files, images, folders of images, test pictures, tones, stamps. Looks at names and templates;
//! opens no media.

use crate::error::{Error, Result};
use crate::media::{Library, Origin, Synthetic, Template, Value};
use crate::room::media::MediaKind;
use crate::verify::stamp::code::FRAME_NUMBERS;
use crate::verify::stamp::{StampedAudio, StampedVideo, number_of};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Extensions of files that are sent as slides.
const IMAGES: [&str; 5] = ["png", "jpg", "jpeg", "webp", "gif"];

/// A video source: a media file, images (or folders of images) as slides of `each`, or `pattern:NAME,WIDTHxHEIGHT@FPS`.
///
/// # Errors
/// [`Error::User`]: an unknown pattern, several files that are not images, a folder without images.
pub fn video(library: &Library, texts: &[String], each: Duration) -> Result<Origin> {
    if let [text] = texts
        && let Some(origin) = generated(library, text, MediaKind::Video)?
    {
        return Ok(origin);
    }
    let mut images = Vec::new();
    for text in texts {
        let path = Path::new(text);
        if path.is_dir() {
            images.extend(images_in(path)?);
        } else if is_image(path) {
            images.push(path.to_owned());
        } else if texts.len() == 1 {
            return Ok(Origin::File(path.to_owned()));
        } else {
            return Err(Error::user(format!("{text} is not an image: several sources must all be images")));
        }
    }
    Ok(Origin::Slides { images, each })
}

/// An audio source: a media file, `tone:HZ`, `silence`, `noise` or `ticks`.
///
/// # Errors
/// [`Error::User`]: a frequency out of range.
pub fn audio(library: &Library, text: &str) -> Result<Origin> {
    Ok(generated(library, text, MediaKind::Audio)?.unwrap_or_else(|| Origin::File(text.into())))
}

/// A stamped participant, generated live, as video and audio: `NAME` or `NAME,WIDTHxHEIGHT` or `NAME,WIDTHxHEIGHT@FPS`, or a number for the name.
///
/// # Errors
/// [`Error::User`]: a size or rate that cannot be stamped.
pub fn stamped(text: &str) -> Result<[Origin; 2]> {
    let form = || Error::user(format!("`{text}` is not a stamp: write it as alice, 7 or alice,1280x720@30"));
    let (name, shape) = text.split_once(',').unwrap_or((text, "640x360"));
    let (size, fps) = shape.split_once('@').unwrap_or((shape, "30"));
    let (width, height) = size.split_once('x').ok_or_else(form)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_| form());
    let (size, fps) = ((number(width)?, number(height)?), number(fps)?);
    if name.is_empty() {
        return Err(form());
    }
    let participant = name.parse().unwrap_or_else(|_| number_of(name));
    let pictures = StampedVideo::new(participant, size, fps)?;
    let sound = Mutex::new(StampedAudio::new(participant));
    let draw = Arc::new(move |number: u32| pictures.i420(number % FRAME_NUMBERS));
    let play = move |from: u64, count: usize| sound.lock().unwrap_or_else(PoisonError::into_inner).samples(from, count);
    Ok([
        Origin::Synthetic(Synthetic::Pictures { size, fps, draw }),
        Origin::Synthetic(Synthetic::Sound(Arc::new(play))),
    ])
}

/// Whether the source ends, unless it is looped.
pub fn is_finite(origin: &Origin) -> bool {
    !matches!(origin, Origin::Generated { .. } | Origin::Synthetic(_))
}

/// A generated source: `NAME` or `NAME:VALUES`. `None` if there is no template `source/NAME`.
fn generated(library: &Library, text: &str, kind: MediaKind) -> Result<Option<Origin>> {
    let (name, values) = text.split_once(':').map_or((text, None), |(name, values)| (name, Some(values)));
    let known = library.list()?;
    let Some(template) = known.into_iter().find(|(n, _)| n.strip_prefix("source/") == Some(name)).map(|(_, t)| t)
    else {
        return Ok(None);
    };
    let template = template?;
    let values = match (name, values) {
        (_, None) => Vec::new(),
        ("pattern", Some(values)) => pattern_values(&template, values)?,
        (_, Some(value)) => {
            let first = template.params.first().ok_or_else(|| Error::user(format!("`{name}` has no parameter")))?;
            vec![(first.name.clone(), template.read(&first.name, value)?)]
        }
    };
    Ok(Some(Origin::Generated { template, values, kind }))
}

/// `NAME`, `NAME,WIDTHxHEIGHT` or `NAME,WIDTHxHEIGHT@FPS`.
fn pattern_values(template: &Template, text: &str) -> Result<Vec<(String, Value)>> {
    let form = || Error::user(format!("`{text}` is not a test picture: write it as smpte or ball,1280x720@30"));
    let (name, shape) = text.split_once(',').map_or((text, None), |(name, shape)| (name, Some(shape)));
    let mut given = vec![("pattern", name)];
    if let Some(shape) = shape {
        let (size, fps) = shape.split_once('@').map_or((shape, None), |(size, fps)| (size, Some(fps)));
        let (width, height) = size.split_once('x').ok_or_else(form)?;
        given.extend([("width", width), ("height", height)]);
        given.extend(fps.map(|fps| ("fps", fps)));
    }
    given.into_iter().map(|(name, text)| Ok((name.to_owned(), template.read(name, text)?))).collect()
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| IMAGES.contains(&ending.as_str()))
}

/// The images of a folder, sorted by name.
fn images_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |e| Error::user(format!("cannot read the folder {}", folder.display())).because(e);
    let mut images = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        images.push(entry.map_err(cannot)?.path());
    }
    images.retain(|path| is_image(path));
    images.sort();
    if images.is_empty() {
        return Err(Error::user(format!("{} has no images (png, jpg, webp, gif)", folder.display())));
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }

    fn shown(asked: &[&str]) -> Result<Origin> {
        video(&Library::default(), &texts(asked), Duration::from_secs(5))
    }

    #[test]
    fn patterns_and_tones_have_values_within_their_range() {
        let Ok(Origin::Generated { template, values, kind: MediaKind::Video }) = shown(&["pattern:ball,1280x720@25"])
        else {
            panic!("a pattern");
        };
        assert_eq!(template.name, "source/pattern");
        let whole = |name: &str, value| (name.to_owned(), Value::Int(value));
        let ball = ("pattern".to_owned(), Value::Word("ball".into()));
        assert_eq!(values, [ball, whole("width", 1280), whole("height", 720), whole("fps", 25)]);
        assert!(matches!(shown(&["pattern"]), Ok(Origin::Generated { values, .. }) if values.is_empty()));
        for text in ["pattern:cat", "pattern:ball,0x5", "pattern:ball,12", "pattern:ball,640x360@999", "pattern:"] {
            assert!(shown(&[text]).is_err(), "{text}");
        }
        let heard = |text| audio(&Library::default(), text);
        assert!(
            matches!(heard("tone:1000"), Ok(Origin::Generated { values, .. }) if values == [("frequency".into(), Value::Double(1000.0))])
        );
        assert!(matches!(heard("silence"), Ok(Origin::Generated { .. })));
        assert!(matches!(heard("talk.mp3"), Ok(Origin::File(_))));
        assert!(heard("tone:5").is_err() && heard("silence:5").is_err());
    }

    #[test]
    fn a_stamp_has_a_name_or_a_number_and_a_size_that_fits() {
        for text in ["alice", "7", "alice,1280x720", "bob,320x180@15"] {
            let made = stamped(text).unwrap();
            assert!(made.iter().all(|origin| matches!(origin, Origin::Synthetic(_)) && !is_finite(origin)), "{text}");
        }
        for text in ["", "alice,1x1", "alice,320x180@29", "alice,320", "alice,axb"] {
            assert!(stamped(text).is_err(), "{text}");
        }
    }

    #[test]
    fn images_become_slides_and_other_files_stay_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.png", "a.JPG", "notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let path = folder.path().display().to_string();
        let Ok(Origin::Slides { images, .. }) = shown(&[&path, "c.webp"]) else { panic!("slides") };
        let names: Vec<_> = images.iter().map(|i| i.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.JPG", "b.png", "c.webp"]);
        assert!(matches!(shown(&["talk.webm"]), Ok(Origin::File(_))));
        assert!(shown(&["talk.webm", "a.png"]).is_err());
        let empty = tempfile::tempdir().unwrap();
        assert!(shown(&[&empty.path().display().to_string()]).is_err());
    }
}
