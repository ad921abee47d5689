//! Puts the files of a recording together from its packs. Blocks; knows no store.

use super::pack::{Pack, Piece};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Files that are being put together below a folder, which nothing else uses.
pub(super) struct Rebuild {
    folder: PathBuf,
    /// By writer, in the order of their first packs.
    writers: Vec<Writer>,
}

struct Writer {
    name: String,
    /// Once everything was sent that was there.
    caught_up: bool,
    /// By path and version.
    files: BTreeMap<(String, u64), Begun>,
}

/// A version of a file, as far as it is there.
struct Begun {
    place: PathBuf,
    /// Bytes without a hole.
    bytes: u64,
    /// How long it was at first.
    of: u64,
}

impl Rebuild {
    pub(super) fn new(folder: PathBuf) -> Rebuild {
        Rebuild { folder, writers: Vec::new() }
    }

    /// Writes the pieces of the next pack.
    pub(super) fn add(&mut self, pack: &Pack, data: &Bytes) -> io::Result<()> {
        let at = self.writers.iter().position(|writer| writer.name == pack.writer).unwrap_or_else(|| {
            let (name, caught_up) = (pack.writer.clone(), false);
            self.writers.push(Writer { name, caught_up, files: BTreeMap::new() });
            self.writers.len() - 1
        });
        let folder = self.folder.join(format!("writer-{at}"));
        let Some(writer) = self.writers.get_mut(at) else { return Ok(()) };
        let mut from = 0;
        for piece in &pack.pieces {
            // The pack was checked: its pieces are as long as its data.
            let until = from + usize::try_from(piece.bytes).map_err(io::Error::other)?;
            writer.add(&folder, piece, &data.slice(from..until))?;
            from = until;
        }
        writer.caught_up |= pack.caught_up;
        Ok(())
    }

    /// Moves the best version of each file into `into`; returns how many there are and their bytes.
    pub(super) fn finish(self, into: &Path) -> io::Result<(u32, u64)> {
        let (mut files, mut bytes) = (0, 0);
        // Who took over and has not sent everything yet knows less than who was there before.
        let last = self.writers.iter().rposition(|writer| writer.caught_up);
        let Some(writer) = last.map_or(self.writers.first(), |at| self.writers.get(at)) else { return Ok((0, 0)) };
        let mut best: BTreeMap<&str, &Begun> = BTreeMap::new();
        for ((path, _), version) in &writer.files {
            // In the order of their versions: the newest that is whole, else the longest.
            let better = |known: &&Begun| version.bytes >= version.of || version.bytes >= known.bytes;
            if best.get(path.as_str()).is_none_or(better) {
                best.insert(path, version);
            }
        }
        for (path, version) in best {
            let place = into.join(path);
            if let Some(parent) = place.parent() {
                std::fs::create_dir_all(parent)?;
            }
            File::options().write(true).open(&version.place)?.sync_all()?;
            std::fs::rename(&version.place, place)?;
            (files, bytes) = (files + 1, bytes + version.bytes);
        }
        Ok((files, bytes))
    }
}

impl Writer {
    fn add(&mut self, folder: &Path, piece: &Piece, data: &Bytes) -> io::Result<()> {
        let place = || folder.join(piece.version.to_string()).join(&piece.path);
        let known = self.files.entry((piece.path.clone(), piece.version));
        let version = known.or_insert_with(|| Begun { place: place(), bytes: 0, of: piece.of });
        // After a hole nothing is sure.
        if piece.offset > version.bytes {
            return Ok(());
        }
        if let Some(parent) = version.place.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(&version.place)?;
        file.write_all_at(data, piece.offset)?;
        version.bytes = version.bytes.max(piece.offset + piece.bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        rebuild: Rebuild,
    }

    impl Bench {
        fn new() -> Bench {
            let folder = tempfile::tempdir().unwrap();
            let rebuild = Rebuild::new(folder.path().join("work"));
            Bench { folder, rebuild }
        }

        /// A pack with pieces: path, version, offset, text, length of the file.
        fn add(&mut self, writer: &str, caught_up: bool, pieces: &[(&str, u64, u64, &'static str, u64)]) {
            let data: Vec<_> = pieces.iter().map(|piece| Bytes::from_static(piece.3.as_bytes())).collect();
            let piece = |&(path, version, offset, text, of): &(&str, u64, u64, &str, u64)| Piece {
                path: path.into(),
                version,
                offset,
                bytes: text.len() as u64,
                of,
            };
            let object = Pack::encode(writer, caught_up, pieces.iter().map(piece).collect(), &data).unwrap();
            let (pack, data) = Pack::decode(&object).unwrap();
            self.rebuild.add(&pack, &data).unwrap();
        }

        fn finish(self) -> BTreeMap<String, String> {
            let into = self.folder.path().join("into");
            std::fs::create_dir(&into).unwrap();
            self.rebuild.finish(&into).unwrap();
            let files = super::super::files::walk(&into).unwrap().into_iter();
            files.map(|file| (file.path.clone(), std::fs::read_to_string(into.join(file.path)).unwrap())).collect()
        }
    }

    #[test]
    fn pieces_become_files_and_nothing_counts_after_a_hole() {
        let mut bench = Bench::new();
        bench.add("w", true, &[("tracks/a", 1, 0, "one", 3), ("tracks/b", 1, 0, "x", 1)]);
        bench.add("w", true, &[("tracks/a", 1, 3, "two", 6), ("tracks/b", 1, 2, "hole", 6)]);
        // Sent twice by a service that was killed.
        bench.add("w", true, &[("tracks/a", 1, 3, "two-three", 12), ("empty", 3, 0, "", 0)]);
        let files = bench.finish();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert_eq!(files, [("empty", ""), ("tracks/a", "onetwo-three"), ("tracks/b", "x")]);
    }

    #[test]
    fn a_version_counts_once_it_is_as_long_as_its_file_was() {
        let mut bench = Bench::new();
        bench.add("w", true, &[("whole", 1, 0, "old and long", 12), ("half", 1, 0, "old and long", 12)]);
        bench.add("w", false, &[("whole", 2, 0, "new", 3), ("half", 2, 0, "new", 9)]);
        let files = bench.finish();
        assert_eq!((files["whole"].as_str(), files["half"].as_str()), ("new", "old and long"));
    }

    #[test]
    fn who_took_over_counts_once_it_has_sent_everything() {
        for (caught_up, expected) in [(false, "all of it"), (true, "next")] {
            let mut bench = Bench::new();
            bench.add("first", true, &[("a", 1, 0, "all of it", 9)]);
            bench.add("second", caught_up, &[("a", 2, 0, "next", 4)]);
            bench.add("first", true, &[("b", 3, 0, "of one that was given up", 24)]);
            assert_eq!(bench.finish()["a"], expected);
        }
    }
}
