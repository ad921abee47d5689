//! Writes stamped media files: encoded like a camera in a call, or raw for a browser's fake camera. It never overwrites a file.

use super::stamp::source::{StampedAudio, StampedVideo};
use crate::error::{Error, Result};
use crate::media::{FileWriter, Library, Value};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sample rate of the audio, Hz.
const SAMPLE_RATE: u64 = 48_000;
/// Limit for the encoder to finish after the last frame.
const FINISH_TIMEOUT: Duration = Duration::from_secs(120);

/// File format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// VP8 and Opus in WebM.
    Vp8,
    /// VP9 and Opus in WebM.
    Vp9,
    /// H.264 and Opus in Matroska.
    H264,
    /// Uncompressed video (YUV4MPEG2), and the audio in a WAV file of the same name.
    Raw,
}

/// A file to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// Participant number in the stamps.
    pub participant: u8,
    /// Width and height in pixels, even.
    pub size: (u32, u32),
    /// Frame rate, one of [`super::stamp::FRAME_RATES`].
    pub fps: u32,
    /// Duration.
    pub seconds: u32,
    /// File format.
    pub format: Format,
    /// Video bitrate, kbit/s; unused for raw video.
    pub kilobits: u32,
    /// Path of the file.
    pub out: PathBuf,
}

/// The files that a job makes: one, or video and audio for raw video.
pub fn files(job: &Job) -> Vec<PathBuf> {
    let sound = (job.format == Format::Raw).then(|| job.out.with_extension("wav"));
    std::iter::once(job.out.clone()).chain(sound).collect()
}

/// Makes the files of a job and returns their paths. `progress` gets the number of frames after each one; an error from it cancels the job.
///
/// # Errors
/// The user's: the size or frame rate cannot be stamped, a file exists already or cannot be created, an encoder is missing.
pub fn make(library: &Library, job: &Job, mut progress: impl FnMut(u32) -> Result<()>) -> Result<Vec<PathBuf>> {
    let stamped = StampedVideo::new(job.participant, job.size, job.fps)?;
    let files = files(job);
    if let Some(there) = files.iter().find(|file| file.exists()) {
        return Err(Error::user(format!("{} exists already", there.display())));
    }
    match files.as_slice() {
        [video, audio] => raw(job, &stamped, (video, audio), &mut progress)?,
        _ => {
            // Created here, so that a missing folder is reported as such, and the file may be removed after a failure.
            create(&job.out)?;
            encoded(library, job, &stamped, &mut progress)
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
    video: &StampedVideo,
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
    let mut sound = StampedAudio::new(job.participant);
    for number in 0..frames(job) {
        let (at, next) = (time(number, job.fps), time(number + 1, job.fps));
        writer.picture(video.i420(number), at, next - at)?;
        // Audio and video are written alternately, so that neither waits for the other in the muxer.
        let (from, to) = (sample(number, job.fps), sample(number + 1, job.fps));
        writer.sound(
            &sound.samples(from, (to - from) as usize),
            Duration::from_nanos(from * 1_000_000_000 / SAMPLE_RATE),
        )?;
        progress(number + 1)?;
    }
    writer.finish(FINISH_TIMEOUT)
}

fn raw(
    job: &Job,
    video: &StampedVideo,
    files: (&Path, &Path),
    progress: &mut impl FnMut(u32) -> Result<()>,
) -> Result<()> {
    let (mut y4m, mut wav) = (BufWriter::new(create(files.0)?), BufWriter::new(create(files.1)?));
    let full = |e: std::io::Error| Error::machine(format!("cannot continue to write {}", files.0.display())).because(e);
    let (width, height) = job.size;
    writeln!(y4m, "YUV4MPEG2 W{width} H{height} F{}:1 Ip A1:1 C420jpeg", job.fps).map_err(full)?;
    let bytes = u64::from(job.seconds) * SAMPLE_RATE * 2;
    wav.write_all(&wav_header(u32::try_from(bytes).unwrap_or(u32::MAX - 64))).map_err(full)?;
    let mut sound = StampedAudio::new(job.participant);
    for number in 0..frames(job) {
        y4m.write_all(b"FRAME\n").and_then(|()| y4m.write_all(&video.i420(number))).map_err(full)?;
        let (from, to) = (sample(number, job.fps), sample(number + 1, job.fps));
        let samples = sound.samples(from, (to - from) as usize);
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        wav.write_all(&bytes).map_err(full)?;
        progress(number + 1)?;
    }
    y4m.flush().and_then(|()| wav.flush()).map_err(full)
}

/// The header of a WAV file: 16 bits, mono, 48 kHz.
fn wav_header(bytes: u32) -> Vec<u8> {
    let mut header = b"RIFF".to_vec();
    header.extend((bytes + 36).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    header.extend((SAMPLE_RATE as u32).to_le_bytes());
    header.extend((SAMPLE_RATE as u32 * 2).to_le_bytes());
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
    u64::from(number) * SAMPLE_RATE / u64::from(fps.max(1))
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
        assert!(error.ends_with("exists already"), "{error}");
    }

    #[test]
    fn encoded_files_are_made_in_each_format() {
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
