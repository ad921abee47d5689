//! Stamped media files: encoded as a camera in a call would send them, or raw for a browser's fake camera. It never overwrites a file.

use super::stamp::{Pictures, Sound};
use crate::error::{Error, Result};
use crate::media::{FileWriter, Library, Value};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Samples of sound a second.
const RATE: u64 = 48_000;
/// How long an encoder may take for the rest, once it has every picture.
const ENCODING: Duration = Duration::from_secs(120);

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// VP8 and Opus in WebM.
    Vp8,
    /// VP9 and Opus in WebM.
    Vp9,
    /// H.264 and Opus in Matroska.
    H264,
    /// Pictures as they are (YUV4MPEG2), and the sound beside them in a WAV file.
    Raw,
}

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Job {
    pub participant: u8,
    /// Even sides in pixels.
    pub size: (u32, u32),
    /// Pictures a second, one of those that can be stamped.
    pub fps: u32,
    pub seconds: u32,
    pub format: Format,
    /// Of the pictures, in kbit/s; unused where they are raw.
    pub kilobits: u32,
    pub out: PathBuf,
}

/// What is made where a job is done: its file, and the sound beside raw pictures.
pub fn files(job: &Job) -> Vec<PathBuf> {
    let sound = (job.format == Format::Raw).then(|| job.out.with_extension("wav"));
    std::iter::once(job.out.clone()).chain(sound).collect()
}

/// Makes it; tells `progress` after every picture how many there are, which may end it. Gives the files that were written.
///
/// # Errors
/// The user's: a size or rate that cannot be stamped, a file that is there already or cannot be made, a missing encoder.
pub fn make(library: &Library, job: &Job, mut progress: impl FnMut(u32) -> Result<()>) -> Result<Vec<PathBuf>> {
    let pictures = Pictures::new(job.participant, job.size, job.fps)?;
    let files = files(job);
    if let Some(there) = files.iter().find(|file| file.exists()) {
        return Err(Error::user(format!("{} is there already", there.display())));
    }
    match files.as_slice() {
        [video, audio] => raw(job, &pictures, (video, audio), &mut progress)?,
        _ => {
            // Claimed by us, so that a folder that is not there is told as such, and so that what failed may be removed.
            create(&job.out)?;
            encoded(library, job, &pictures, &mut progress)
                .inspect_err(|_| std::fs::remove_file(&job.out).unwrap_or_default())?;
        }
    }
    Ok(files)
}

fn create(path: &Path) -> Result<File> {
    File::create_new(path).map_err(|e| Error::user(format!("cannot write {}: {e}", path.display())).because(e))
}

fn encoded(
    library: &Library,
    job: &Job,
    pictures: &Pictures,
    progress: &mut impl FnMut(u32) -> Result<()>,
) -> Result<()> {
    let (template, rate, unit) = match job.format {
        Format::Vp9 => ("stamp/vp9", "bitrate", 1000),
        Format::H264 => ("stamp/h264", "kilobits", 1),
        Format::Vp8 | Format::Raw => ("stamp/vp8", "bitrate", 1000),
    };
    let int = |value: u32| Value::Int(value.into());
    let values = [
        ("width", int(job.size.0)),
        ("height", int(job.size.1)),
        ("fps", int(job.fps)),
        (rate, int(job.kilobits.saturating_mul(unit))),
        ("key-every", int(job.fps)),
    ];
    let writer = FileWriter::with(library, template, &job.out, &values)?;
    let mut sound = Sound::new(job.participant);
    for number in 0..frames(job) {
        let (at, next) = (time(number, job.fps), time(number + 1, job.fps));
        writer.picture(pictures.i420(number), at, next - at)?;
        // Sound goes beside the pictures, so that neither waits for the other in the muxer.
        let (from, to) = (sample(number, job.fps), sample(number + 1, job.fps));
        writer.sound(&sound.samples(from, (to - from) as usize), Duration::from_nanos(from * 1_000_000_000 / RATE))?;
        progress(number + 1)?;
    }
    writer.finish(ENCODING)
}

fn raw(
    job: &Job,
    pictures: &Pictures,
    files: (&Path, &Path),
    progress: &mut impl FnMut(u32) -> Result<()>,
) -> Result<()> {
    let (mut video, mut audio) = (BufWriter::new(create(files.0)?), BufWriter::new(create(files.1)?));
    let full = |e: std::io::Error| Error::machine(format!("cannot write {} any further", files.0.display())).because(e);
    let (width, height) = job.size;
    writeln!(video, "YUV4MPEG2 W{width} H{height} F{}:1 Ip A1:1 C420jpeg", job.fps).map_err(full)?;
    let bytes = u64::from(job.seconds) * RATE * 2;
    audio.write_all(&wav_header(u32::try_from(bytes).unwrap_or(u32::MAX - 64))).map_err(full)?;
    let mut sound = Sound::new(job.participant);
    for number in 0..frames(job) {
        video.write_all(b"FRAME\n").and_then(|()| video.write_all(&pictures.i420(number))).map_err(full)?;
        let (from, to) = (sample(number, job.fps), sample(number + 1, job.fps));
        let samples = sound.samples(from, (to - from) as usize);
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        audio.write_all(&bytes).map_err(full)?;
        progress(number + 1)?;
    }
    video.flush().and_then(|()| audio.flush()).map_err(full)
}

/// The header of a WAV file: 16 bits, one channel, 48,000 samples a second.
fn wav_header(bytes: u32) -> Vec<u8> {
    let mut header = b"RIFF".to_vec();
    header.extend((bytes + 36).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    header.extend((RATE as u32).to_le_bytes());
    header.extend((RATE as u32 * 2).to_le_bytes());
    header.extend(b"\x02\0\x10\0data");
    header.extend(bytes.to_le_bytes());
    header
}

fn frames(job: &Job) -> u32 {
    job.seconds.saturating_mul(job.fps)
}

fn time(number: u32, fps: u32) -> Duration {
    Duration::from_nanos(u64::from(number) * 1_000_000_000 / u64::from(fps.max(1)))
}

fn sample(number: u32, fps: u32) -> u64 {
    u64::from(number) * RATE / u64::from(fps.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(out: PathBuf, format: Format) -> Job {
        Job { participant: 2, size: (96, 80), fps: 15, seconds: 2, format, kilobits: 100, out }
    }

    #[test]
    fn raw_files_have_every_frame_and_sample_and_are_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path().join("a.y4m"), Format::Raw);
        let files = make(&Library::default(), &job, |_| Ok(())).unwrap();
        let (video, audio) = (std::fs::read(&files[0]).unwrap(), std::fs::read(&files[1]).unwrap());
        assert!(video.starts_with(b"YUV4MPEG2 W96 H80 F15:1 Ip A1:1 C420jpeg\nFRAME\n"));
        assert_eq!(video.len(), 41 + 30 * (6 + 96 * 80 * 3 / 2));
        assert_eq!(audio.len(), 44 + 2 * 48_000 * 2);
        let error = make(&Library::default(), &job, |_| Ok(())).unwrap_err().to_string();
        assert!(error.ends_with("is there already"), "{error}");
    }

    #[test]
    fn encoded_files_are_made_in_every_format() {
        let dir = tempfile::tempdir().unwrap();
        for (format, name) in [(Format::Vp8, "a.webm"), (Format::Vp9, "b.webm"), (Format::H264, "c.mkv")] {
            let mut frames = 0;
            let files = make(&Library::default(), &job(dir.path().join(name), format), |n| {
                frames = n;
                Ok(())
            })
            .unwrap();
            assert_eq!((frames, files.len()), (30, 1));
            assert!(std::fs::metadata(&files[0]).unwrap().len() > 10_000);
        }
        let error = make(&Library::default(), &job("/nowhere/a.webm".into(), Format::Vp8), |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("nowhere") || error.to_string().contains("file"), "{error}");
    }
}
