//! The last touch to an MP4 file (ISO 14496-12): its index in front of its media, so that a browser starts at once, and its chapters.
//! It copies media as it is and changes nothing but where it lies.

use super::Chapter;
use crate::error::write_failed;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The largest index that is read: of a film of some days.
const LARGEST_MOOV: u64 = 512 << 20;
/// The most boxes at the top of a file.
const MOST_BOXES: usize = 100_000;
/// What boxes lie in each other on the way to the places of media.
const ON_THE_WAY: [&[u8; 4]; 4] = [b"trak", b"mdia", b"minf", b"stbl"];

/// A box at the top of the file: its name, and where it begins and ends.
struct Top {
    name: [u8; 4],
    from: u64,
    until: u64,
}

/// Writes `from` anew into the open file `to`, which `shown` names: index first, with chapters.
///
/// # Errors
/// Ours where `from` is no MP4 file as we write them; the machine's, of the disk.
pub fn finish(from: &Path, to: &Path, chapters: &[Chapter]) -> Result<()> {
    let unreadable = |e: io::Error| write_failed(from, e);
    let mut input = File::open(from).map_err(unreadable)?;
    let tops = tops(&mut input).map_err(unreadable)?;
    let strange = || Error::us("the film was written in a way that is not understood");
    let index = tops.iter().find(|top| &top.name == b"moov").ok_or_else(strange)?;
    let size = index.until - index.from;
    if size > LARGEST_MOOV {
        return Err(strange());
    }
    let mut moov = vec![0; size as usize];
    input.seek(SeekFrom::Start(index.from)).and_then(|_| input.read_exact(&mut moov)).map_err(unreadable)?;
    let mut moov = with_chapters(&moov, chapters).ok_or_else(strange)?;
    // The file's type, the index, and everything else in its order; room that was left free is left out.
    let rest = || tops.iter().filter(|top| !matches!(&top.name, b"ftyp" | b"moov" | b"free"));
    let order: Vec<&Top> = tops.iter().filter(|top| &top.name == b"ftyp").chain([index]).chain(rest()).collect();
    let mut ways = Vec::new();
    let mut at = 0u64;
    for top in &order {
        ways.push((top.from, top.until, at));
        at += if &top.name == b"moov" { moov.len() as u64 } else { top.until - top.from };
    }
    let moved = |old: u64| {
        ways.iter().find(|(from, until, _)| (*from..*until).contains(&old)).map(|(from, _, new)| old - from + new)
    };
    move_media(moov.get_mut(8..).ok_or_else(strange)?, &moved).ok_or_else(strange)?;
    let unwritable = |e: io::Error| write_failed(to, e);
    let mut output = File::options().write(true).truncate(true).open(to).map_err(unwritable)?;
    for top in order {
        if &top.name == b"moov" {
            output.write_all(&moov).map_err(unwritable)?;
            continue;
        }
        input.seek(SeekFrom::Start(top.from)).map_err(unreadable)?;
        io::copy(&mut (&mut input).take(top.until - top.from), &mut output).map_err(unwritable)?;
    }
    Ok(())
}

/// How many pictures a file has by its index, which lies within it whole.
///
/// # Errors
/// As [`finish`].
pub fn pictures(film: &Path) -> Result<u64> {
    let unreadable = |e: io::Error| write_failed(film, e);
    let mut file = File::open(film).map_err(unreadable)?;
    let tops = tops(&mut file).map_err(unreadable)?;
    let strange = || Error::us("the film has no index of its pictures");
    let index = tops.iter().find(|top| &top.name == b"moov").filter(|moov| moov.until - moov.from <= LARGEST_MOOV);
    let index = index.ok_or_else(strange)?;
    let mut moov = vec![0; (index.until - index.from) as usize];
    file.seek(SeekFrom::Start(index.from)).and_then(|_| file.read_exact(&mut moov)).map_err(unreadable)?;
    let child = |of: &'_ [u8], wanted: &[u8; 4]| -> Option<std::ops::Range<usize>> {
        boxes(of).into_iter().find(|(name, _)| name == wanted).map(|(_, range)| range.start + 8..range.end)
    };
    let count = |track: &[u8]| -> Option<u32> {
        let media = track.get(child(track, b"mdia")?)?;
        // Version and flags, then nothing, then what kind of track it is.
        let handler = media.get(child(media, b"hdlr")?)?;
        handler.get(8..12).filter(|kind| kind == b"vide")?;
        let table = media.get(child(media, b"minf")?)?;
        let table = table.get(child(table, b"stbl")?)?;
        // Version and flags, the size of all if they have one, how many there are.
        table.get(child(table, b"stsz")?)?.get(8..)?.first_chunk().map(|count| u32::from_be_bytes(*count))
    };
    let body = moov.get(8..).unwrap_or_default();
    let tracks = boxes(body).into_iter().filter(|(name, _)| name == b"trak");
    let mut counts = tracks.filter_map(|(_, range)| count(body.get(range)?.get(8..)?));
    counts.next().map(u64::from).ok_or_else(strange)
}

fn tops(file: &mut File) -> io::Result<Vec<Top>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut tops = Vec::new();
    let mut at = 0;
    while at + 8 <= length && tops.len() < MOST_BOXES {
        let mut head = [0; 16];
        let has = (length - at).min(16) as usize;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(head.get_mut(..has).unwrap_or_default())?;
        let [a, b, c, d, name @ .., _, _, _, _, _, _, _, _] = head;
        let size = match u32::from_be_bytes([a, b, c, d]) {
            0 => length - at,
            1 => head.last_chunk::<8>().map_or(0, |size| u64::from_be_bytes(*size)),
            size => size.into(),
        };
        if size < 8 || size > length - at {
            return Err(io::ErrorKind::InvalidData.into());
        }
        tops.push(Top { name, from: at, until: at + size });
        at += size;
    }
    Ok(tops)
}

/// The boxes within `data`: each one's name and where it lies, head included.
fn boxes(data: &[u8]) -> Vec<([u8; 4], std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(head) = data.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let [a, b, c, d, name @ ..] = *head;
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        if size < 8 || size > data.len() - at {
            break;
        }
        found.push((name, at..at + size));
        at += size;
    }
    found
}

/// A `moov` box with a `chpl` in its `udta`.
fn with_chapters(moov: &[u8], chapters: &[Chapter]) -> Option<Vec<u8>> {
    let body = moov.get(8..)?;
    let mut out = Vec::with_capacity(moov.len() + 4096);
    let mut user = Vec::new();
    for (name, range) in boxes(body) {
        if &name == b"udta" {
            user.extend_from_slice(body.get(range)?.get(8..)?);
        } else {
            out.extend_from_slice(body.get(range)?);
        }
    }
    if !chapters.is_empty() {
        user.extend(boxed(b"chpl", &chapter_list(chapters)));
    }
    if !user.is_empty() {
        out.extend(boxed(b"udta", &user));
    }
    Some(boxed(b"moov", &out))
}

/// Chapters as Nero defined them and players read them: version 1, starts in 100 ns, titles of at most 255 bytes.
fn chapter_list(chapters: &[Chapter]) -> Vec<u8> {
    let mut list = vec![1, 0, 0, 0, 0, 0, 0, 0];
    let chapters = chapters.get(..255).unwrap_or(chapters);
    list.push(chapters.len() as u8);
    for chapter in chapters {
        let start = u64::try_from(chapter.from.as_nanos() / 100).unwrap_or(u64::MAX);
        list.extend(start.to_be_bytes());
        let mut title = chapter.title.as_str();
        while title.len() > 255 {
            title = title.char_indices().next_back().and_then(|(at, _)| title.get(..at)).unwrap_or_default();
        }
        list.push(title.len() as u8);
        list.extend(title.as_bytes());
    }
    list
}

fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 8);
    out.extend(u32::try_from(body.len() + 8).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(name);
    out.extend(body);
    out
}

/// Puts every place of media (`stco`, `co64`) where `moved` says; `None` where one of them cannot be.
fn move_media(data: &mut [u8], moved: &impl Fn(u64) -> Option<u64>) -> Option<()> {
    for (name, range) in boxes(data) {
        let body = data.get_mut(range)?.get_mut(8..)?;
        match &name {
            b"stco" => {
                // Version and flags, a count, and the places.
                for place in body.get_mut(8..)?.chunks_exact_mut(4) {
                    let old = u32::from_be_bytes(place.try_into().ok()?);
                    place.copy_from_slice(&u32::try_from(moved(old.into())?).ok()?.to_be_bytes());
                }
            }
            b"co64" => {
                for place in body.get_mut(8..)?.chunks_exact_mut(8) {
                    let old = u64::from_be_bytes(place.try_into().ok()?);
                    place.copy_from_slice(&moved(old)?.to_be_bytes());
                }
            }
            name if ON_THE_WAY.contains(&name) => move_media(body, moved)?,
            _ => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn chapter(seconds: u64, title: &str) -> Chapter {
        let from = Duration::from_secs(seconds);
        Chapter { from, until: from, title: title.into() }
    }

    /// A film of one chunk of media that begins with `MEDIA`.
    fn film() -> Vec<u8> {
        let media = b"MEDIA and more of it";
        let head = boxed(b"ftyp", b"isom");
        let at = (head.len() + 8) as u32;
        let mut stco = vec![0, 0, 0, 0, 0, 0, 0, 1];
        stco.extend(at.to_be_bytes());
        let stsz = boxed(b"stsz", &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3]);
        let table = boxed(b"minf", &boxed(b"stbl", &[boxed(b"stco", &stco), stsz].concat()));
        let handler = boxed(b"hdlr", b"\0\0\0\0\0\0\0\0vide");
        let trak = boxed(b"trak", &boxed(b"mdia", &[handler, table].concat()));
        [head, boxed(b"mdat", media), boxed(b"free", b"xx"), boxed(b"moov", &trak)].concat()
    }

    fn finished(film: &[u8], chapters: &[Chapter]) -> Result<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&from, film).unwrap();
        std::fs::write(&to, "old").unwrap();
        finish(&from, &to, chapters).map(|()| std::fs::read(to).unwrap())
    }

    #[test]
    fn the_index_comes_first_and_points_at_the_media() {
        let out = finished(&film(), &[chapter(0, "Start"), chapter(7, &"é".repeat(200))]).unwrap();
        let names: Vec<_> = boxes(&out).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [*b"ftyp", *b"moov", *b"mdat"]);
        let at = out.windows(4).position(|w| w == b"stco").unwrap() + 12;
        let place = u32::from_be_bytes(out[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(&out[place..place + 5], b"MEDIA");
        let list = out.windows(4).position(|w| w == b"chpl").unwrap() + 4;
        assert_eq!(out[list + 8], 2);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("c"), &out).unwrap();
        assert_eq!(pictures(&dir.path().join("c")).unwrap(), 3);
        std::fs::write(dir.path().join("c"), &out[..out.len() - 1]).unwrap();
        assert!(pictures(&dir.path().join("c")).is_err(), "its media is cut");
        // A title is cut between characters.
        assert!(String::from_utf8_lossy(&out).contains(&"é".repeat(127)));
    }

    proptest! {
        #[test]
        fn nothing_that_is_broken_panics(at in 0usize..180, value in any::<u8>(), length in 0usize..180) {
            let mut film = film();
            film.truncate(length);
            if let Some(byte) = film.get_mut(at) {
                *byte = value;
            }
            let _ = finished(&film, &[chapter(0, "Start")]);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &film).unwrap();
            let _ = pictures(file.path());
        }
    }
}
