//! Rewrites a finished MP4 file with its index (`moov`) in front of its media, so that a browser starts at once, and with chapters.
//! Media is copied unchanged; only chunk offsets are adapted.
//!
//! Single atoms come from `mp4-atom`. The way to them is walked here: decoding and encoding a whole `Moov` would lose the atoms
//! that the crate does not know, and those of other muxers have to stay byte for byte.

use crate::container::Chapter;
use crate::error::{Error, Result, write_failed};
use mp4_atom::{Atom, Chpl, ChplEntry, Co64, Encode, FourCC, Hdlr, Header, ReadFrom, Stco, Stsz, StszSamples};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

/// The largest `moov` that is read: of a film of some days.
const MAX_MOOV_BYTES: u64 = 512 << 20;
/// The most atoms at the top level of a file.
const MAX_TOP_LEVEL: usize = 100_000;
/// The longest title of a chapter, in bytes, and the most chapters: `chpl` counts both in one byte.
const MAX_CHPL: usize = 255;
/// Bytes of a short atom header.
const HEAD: usize = 8;

const MOOV: FourCC = FourCC::new(b"moov");
const UDTA: FourCC = FourCC::new(b"udta");
const TRAK: FourCC = FourCC::new(b"trak");
const MDIA: FourCC = FourCC::new(b"mdia");
const MINF: FourCC = FourCC::new(b"minf");
const STBL: FourCC = FourCC::new(b"stbl");

/// An atom at the top level of a file, and where it begins and ends.
struct TopLevel {
    kind: FourCC,
    start: u64,
    end: u64,
}

/// Writes the file `from` into the existing file `to`: index first, with chapters. Titles are cut to 255 bytes.
///
/// # Errors
/// Ours where `from` is no MP4 file with an index; the machine's, of the disk.
pub fn move_index_to_front(from: &Path, to: &Path, chapters: &[Chapter]) -> Result<()> {
    let unreadable = |e: io::Error| write_failed(from, e);
    let mut input = File::open(from).map_err(unreadable)?;
    let atoms = top_level(&mut input).map_err(unreadable)?;
    let index = find_moov(&atoms).ok_or_else(no_index)?;
    let moov = read_moov(&mut input, index).map_err(unreadable)?;
    let mut moov = with_chapters(&moov, chapters).ok_or_else(no_index)?;
    // The file's type, the index, and everything else in its order, without free space.
    let is = |atom: &TopLevel, kind: &[u8; 4]| atom.kind == FourCC::new(kind);
    let rest = || atoms.iter().filter(|atom| atom.kind != MOOV && !is(atom, b"ftyp") && !is(atom, b"free"));
    let order: Vec<&TopLevel> = atoms.iter().filter(|atom| is(atom, b"ftyp")).chain([index]).chain(rest()).collect();
    let mut moves = Vec::new();
    let mut at = 0u64;
    for atom in &order {
        moves.push((atom.start, atom.end, at));
        at += if atom.kind == MOOV { moov.len() as u64 } else { atom.end - atom.start };
    }
    let moved = |old: u64| {
        moves.iter().find(|(start, end, _)| (*start..*end).contains(&old)).map(|(start, _, new)| old - start + new)
    };
    move_chunks(moov.get_mut(HEAD..).ok_or_else(no_index)?, &moved).ok_or_else(no_index)?;
    let unwritable = |e: io::Error| write_failed(to, e);
    let mut output = File::options().write(true).truncate(true).open(to).map_err(unwritable)?;
    for atom in order {
        if atom.kind == MOOV {
            output.write_all(&moov).map_err(unwritable)?;
            continue;
        }
        input.seek(SeekFrom::Start(atom.start)).map_err(unreadable)?;
        io::copy(&mut (&mut input).take(atom.end - atom.start), &mut output).map_err(unwritable)?;
    }
    Ok(())
}

/// How many samples the first video track has by its index.
///
/// # Errors
/// As [`move_index_to_front`]; a file that is truncated within an atom.
pub fn count_video_samples(file: &Path) -> Result<u64> {
    let unreadable = |e: io::Error| write_failed(file, e);
    let mut input = File::open(file).map_err(unreadable)?;
    let atoms = top_level(&mut input).map_err(unreadable)?;
    let moov = read_moov(&mut input, find_moov(&atoms).ok_or_else(no_index)?).map_err(unreadable)?;
    let count = |track: &[u8]| -> Option<u64> {
        let media = child(track, MDIA)?;
        let handler = Hdlr::decode_body(&mut child(media, Hdlr::KIND)?).ok()?;
        (handler.handler == FourCC::new(b"vide")).then_some(())?;
        let table = child(child(media, MINF)?, STBL)?;
        let samples = Stsz::decode_body(&mut child(table, Stsz::KIND)?).ok()?.samples;
        Some(match samples {
            StszSamples::Identical { count, .. } => count.into(),
            StszSamples::Different { sizes } => sizes.len() as u64,
        })
    };
    let body = moov.get(HEAD..).unwrap_or_default();
    let tracks = children(body).into_iter().filter(|(kind, _)| *kind == TRAK);
    let mut counts = tracks.filter_map(|(_, range)| count(body.get(range)?.get(HEAD..)?));
    counts.next().ok_or_else(no_index)
}

fn no_index() -> Error {
    Error::internal("the MP4 file has no index that can be read")
}

/// The `moov`, unless it is too large.
fn find_moov(atoms: &[TopLevel]) -> Option<&TopLevel> {
    atoms.iter().find(|atom| atom.kind == MOOV).filter(|moov| moov.end - moov.start <= MAX_MOOV_BYTES)
}

/// The whole atom, head included.
fn read_moov(file: &mut File, moov: &TopLevel) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (moov.end - moov.start) as usize];
    file.seek(SeekFrom::Start(moov.start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The atoms at the top level of a file; the file has to end with the last one.
fn top_level(file: &mut File) -> io::Result<Vec<TopLevel>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut atoms = Vec::new();
    let mut start = 0;
    while start + HEAD as u64 <= length && atoms.len() < MAX_TOP_LEVEL {
        file.seek(SeekFrom::Start(start))?;
        let header = Header::read_from(file).map_err(|_| io::ErrorKind::InvalidData)?;
        let end = match header.size {
            Some(size) => file.stream_position()?.checked_add(size as u64),
            None => Some(length),
        };
        let end = end.filter(|end| *end <= length).ok_or(io::ErrorKind::InvalidData)?;
        atoms.push(TopLevel { kind: header.kind, start, end });
        start = end;
    }
    Ok(atoms)
}

/// The atoms within `data`: the kind of each and where it lies, head included. Ends at the first that is truncated.
fn children(data: &[u8]) -> Vec<(FourCC, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(head) = data.get(at..).and_then(|rest| rest.first_chunk::<HEAD>()) {
        let [a, b, c, d, kind @ ..] = *head;
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        if size < HEAD || size > data.len() - at {
            break;
        }
        found.push((FourCC::new(&kind), at..at + size));
        at += size;
    }
    found
}

/// The body of the first atom of this kind within `data`.
fn child(data: &[u8], wanted: FourCC) -> Option<&[u8]> {
    let (_, range) = children(data).into_iter().find(|(kind, _)| *kind == wanted)?;
    data.get(range)?.get(HEAD..)
}

/// A `moov` with a `chpl` in its `udta`, whose other atoms stay.
fn with_chapters(moov: &[u8], chapters: &[Chapter]) -> Option<Vec<u8>> {
    let body = moov.get(HEAD..)?;
    let mut out = Vec::with_capacity(moov.len() + 4096);
    let mut user = Vec::new();
    for (kind, range) in children(body) {
        if kind == UDTA {
            user.extend_from_slice(body.get(range)?.get(HEAD..)?);
        } else {
            out.extend_from_slice(body.get(range)?);
        }
    }
    if !chapters.is_empty() {
        chapter_list(chapters).encode(&mut user).ok()?;
    }
    if !user.is_empty() {
        out.extend(atom(UDTA, &user)?);
    }
    atom(MOOV, &out)
}

/// Chapters as Nero defined them and players read them: starts in units of 100 ns.
fn chapter_list(chapters: &[Chapter]) -> Chpl {
    let entry = |chapter: &Chapter| {
        let start = u64::try_from(chapter.from.as_nanos() / 100).unwrap_or(u64::MAX);
        let mut title = chapter.title.as_str();
        while title.len() > MAX_CHPL {
            title = title.char_indices().next_back().and_then(|(at, _)| title.get(..at)).unwrap_or_default();
        }
        ChplEntry { start, title: title.to_owned() }
    };
    Chpl { entries: chapters.iter().take(MAX_CHPL).map(entry).collect() }
}

/// An atom of this kind and body.
fn atom(kind: FourCC, body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len() + HEAD);
    Header { kind, size: Some(body.len()) }.encode(&mut out).ok()?;
    out.extend_from_slice(body);
    Some(out)
}

/// Changes every chunk offset (`stco`, `co64`) to what `moved` says; `None` where there is none for one of them.
fn move_chunks(data: &mut [u8], moved: &impl Fn(u64) -> Option<u64>) -> Option<()> {
    for (kind, range) in children(data) {
        let body = data.get_mut(range)?.get_mut(HEAD..)?;
        let mut changed = Vec::new();
        match kind {
            TRAK | MDIA | MINF | STBL => move_chunks(body, moved)?,
            Stco::KIND => {
                let mut offsets = Stco::decode_body(&mut &*body).ok()?;
                for offset in &mut offsets.entries {
                    *offset = u32::try_from(moved((*offset).into())?).ok()?;
                }
                offsets.encode_body(&mut changed).ok()?;
            }
            Co64::KIND => {
                let mut offsets = Co64::decode_body(&mut &*body).ok()?;
                for offset in &mut offsets.entries {
                    *offset = moved(*offset)?;
                }
                offsets.encode_body(&mut changed).ok()?;
            }
            _ => {}
        }
        body.get_mut(..changed.len())?.copy_from_slice(&changed);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        atom(FourCC::new(kind), body).unwrap()
    }

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
        let handler = boxed(b"hdlr", b"\0\0\0\0\0\0\0\0vide\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let trak = boxed(b"trak", &boxed(b"mdia", &[handler, table].concat()));
        [head, boxed(b"mdat", media), boxed(b"free", b"xx"), boxed(b"moov", &trak)].concat()
    }

    fn finished(film: &[u8], chapters: &[Chapter]) -> Result<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&from, film).unwrap();
        std::fs::write(&to, "old").unwrap();
        move_index_to_front(&from, &to, chapters).map(|()| std::fs::read(to).unwrap())
    }

    #[test]
    fn the_index_comes_first_and_points_at_the_media() {
        let out = finished(&film(), &[chapter(0, "Start"), chapter(7, &"é".repeat(200))]).unwrap();
        let names: Vec<_> = children(&out).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(names, [b"ftyp", b"moov", b"mdat"].map(FourCC::new));
        let at = out.windows(4).position(|w| w == b"stco").unwrap() + 12;
        let place = u32::from_be_bytes(out[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(&out[place..place + 5], b"MEDIA");
        let list = out.windows(4).position(|w| w == b"chpl").unwrap() + 4;
        assert_eq!(out[list + 8], 2);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("c"), &out).unwrap();
        assert_eq!(count_video_samples(&dir.path().join("c")).unwrap(), 3);
        std::fs::write(dir.path().join("c"), &out[..out.len() - 1]).unwrap();
        assert!(count_video_samples(&dir.path().join("c")).is_err(), "its media is cut");
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
            let _ = count_video_samples(file.path());
        }
    }
}
