//! Archives beyond what 32 bits hold. The large file and the archive are sparse: both take a few pages of the disk.

use super::*;
use std::os::unix::fs::{FileExt, MetadataExt};
use zip::ZipArchive;

/// Writes what is not zeros.
struct Sparse<'a> {
    file: &'a File,
    at: u64,
}

static ZEROS: [u8; PIECE] = [0; PIECE];

impl Write for Sparse<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let data = &data[..data.len().min(PIECE)];
        if *data != ZEROS[..data.len()] {
            self.file.write_all_at(data, self.at)?;
        }
        self.at += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.set_len(self.at)
    }
}

/// Makes an archive of these files: name, length, what it begins with.
fn archive(handle: &Handle, files: &[(&str, u64, &[u8])]) -> File {
    let folder = tempfile::tempdir().unwrap();
    let mut entries = Vec::new();
    for (path, bytes, begin) in files {
        let file = File::create_new(folder.path().join(path)).unwrap();
        file.set_len(*bytes).unwrap();
        file.write_all_at(begin, 0).unwrap();
        entries.push(Entry { path: (*path).to_owned(), bytes: *bytes });
    }
    let made = tempfile::tempfile().unwrap();
    let origin = Origin::Disk(folder.path().to_owned());
    write_archive(handle, &origin, "top", &entries, Sparse { file: &made, at: 0 }).unwrap();
    assert!(made.metadata().unwrap().blocks() * 512 < 64 << 20, "it is sparse");
    made
}

/// The bytes of a record that has this signature, from its end in the last 64 KiB of a file on.
fn record(file: &File, signature: &[u8; 4], length: usize) -> Option<Vec<u8>> {
    let size = file.metadata().unwrap().len();
    let from = size.saturating_sub(64 << 10);
    let mut end = vec![0; usize::try_from(size - from).unwrap()];
    file.read_exact_at(&mut end, from).unwrap();
    let at = end.windows(4).rposition(|window| window == signature)?;
    Some(end[at..at + length].to_vec())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[tokio::test]
async fn an_archive_larger_than_4_gib_is_one_of_zip64_and_a_smaller_one_is_not() {
    const OVER: u64 = (4 << 30) + 12_345;
    let handle = Handle::current();
    let made = move || {
        let large = archive(&handle, &[("a.mp4", OVER, b"begin"), ("b.txt", 5, b"after")]);
        let small = archive(&handle, &[("a.mp4", 9, b"begin"), ("b.txt", 5, b"after")]);
        (large, small)
    };
    let (large, small) = tokio::task::spawn_blocking(made).await.unwrap();
    // APPNOTE 4.3.14: the end of the central directory with 64 bits; 4.3.16: the old one refers to it.
    let end = record(&large, b"PK\x06\x06", 56).expect("a record of ZIP64");
    assert_eq!((number(&end[24..32]), number(&end[32..40])), (2, 2), "entries");
    let directory = number(&end[48..56]);
    assert!(directory > OVER, "the central directory begins at {directory}");
    let old = record(&large, b"PK\x05\x06", 22).expect("the old record");
    assert_eq!(number(&old[16..20]), u64::from(u32::MAX));
    // 4.3.12: the first entry's sizes are in its extra field 1, in the order uncompressed, compressed.
    let mut head = [0; 46];
    large.read_exact_at(&mut head, directory).unwrap();
    assert_eq!(
        (&head[..4], number(&head[20..24]), number(&head[24..28])),
        (&b"PK\x01\x02"[..], 0xffff_ffff, 0xffff_ffff)
    );
    let (name, extra) = (number(&head[28..30]), number(&head[30..32]));
    let mut fields = vec![0; usize::try_from(extra).unwrap()];
    large.read_exact_at(&mut fields, directory + 46 + name).unwrap();
    let at = fields.windows(2).position(|window| window == [1, 0]).expect("the field of ZIP64");
    assert_eq!((number(&fields[at + 4..at + 12]), number(&fields[at + 12..at + 20])), (OVER, OVER));

    assert_eq!(record(&small, b"PK\x06\x06", 56), None, "old readers take it");
    for (file, bytes) in [(large, OVER), (small, 9)] {
        let mut zip = ZipArchive::new(file).unwrap();
        assert_eq!(zip.by_name("top/a.mp4").unwrap().size(), bytes);
        let mut text = String::new();
        zip.by_name("top/b.txt").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "after");
    }
}
