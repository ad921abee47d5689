//! Pictures and sound into a media file, through a pipeline template. For films and fixtures; recordings are written
//! elsewhere, without GStreamer.

use super::buffer::{from_bytes, timed};
use super::{Canvas, Library, Pipeline, Value};
use crate::error::{Error, Result};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an encoder may take for what is under way, on a machine that is busy.
const ENCODER_PATIENCE: Duration = Duration::from_secs(60);
/// Pictures of a film that wait for the encoder, in bytes, and sound that does: a minute and a half. Where pictures are small, sound
/// takes longer to encode than they do.
const UNDER_WAY: u64 = 16 << 20;
/// The same for pictures, when counting those of a finished film.
const COUNT_PATIENCE: Duration = Duration::from_secs(30);

/// A media file that is being made. The template has an `appsrc` called `picture` or one called `sound` or both, and a
/// `filesink` called `file`; where it has tags, its muxer is called `mux`.
pub struct FileWriter {
    pipeline: Pipeline,
    picture: Option<AppSrc>,
    sound: Option<AppSrc>,
}

impl FileWriter {
    /// Starts writing `path` through the template called `name`.
    ///
    /// # Errors
    /// The user's: the template or an element is missing, or the file cannot be made.
    pub fn create(library: &Library, name: &str, path: &Path) -> Result<FileWriter> {
        FileWriter::with(library, name, path, &[])
    }

    /// The same with values for the template's parameters.
    ///
    /// # Errors
    /// As [`FileWriter::create`]; a value that does not fit its parameter.
    pub fn with(library: &Library, name: &str, path: &Path, values: &[(&str, Value)]) -> Result<FileWriter> {
        let pipeline = Pipeline::build(&library.get(name)?, values)?;
        pipeline.set_path("file", path)?;
        FileWriter::start(pipeline)
    }

    /// The same for templates that write to several places: text properties as element, property and text say where.
    ///
    /// # Errors
    /// As [`FileWriter::with`].
    pub fn with_properties(
        library: &Library,
        name: &str,
        values: &[(&str, Value)],
        properties: &[(&str, &str, &str)],
    ) -> Result<FileWriter> {
        let pipeline = Pipeline::build(&library.get(name)?, values)?;
        for (element, property, text) in properties {
            pipeline.set_text(element, property, text)?;
        }
        FileWriter::start(pipeline)
    }

    fn start(mut pipeline: Pipeline) -> Result<FileWriter> {
        let (picture, sound) = (pipeline.app_src("picture").ok(), pipeline.app_src("sound").ok());
        pipeline.start()?;
        Ok(FileWriter { pipeline, picture, sound })
    }

    /// Says what the file is, before anything is added: title, when it was recorded, and its parts, where the container has
    /// room for them.
    pub fn describe(&self, title: &str, recorded: jiff::Timestamp, chapters: &[(Range<Duration>, &str)]) -> Result<()> {
        let mux = self.pipeline.element("mux")?;
        if let Some(tagged) = mux.dynamic_cast_ref::<gst::TagSetter>() {
            tagged.add_tag::<gst::tags::Title>(&title, gst::TagMergeMode::Replace);
            tagged.add_tag::<gst::tags::Encoder>(
                &concat!("roombot ", env!("CARGO_PKG_VERSION")),
                gst::TagMergeMode::Replace,
            );
            if let Ok(date) = gst::DateTime::from_iso8601_string(&recorded.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()) {
                tagged.add_tag::<gst::tags::DateTime>(&date, gst::TagMergeMode::Replace);
            }
        }
        if let Some(parted) = mux.dynamic_cast_ref::<gst::TocSetter>().filter(|_| !chapters.is_empty()) {
            parted.set_toc(Some(&contents(chapters)));
        }
        Ok(())
    }

    /// Adds what is on a canvas. Waits while the encoder is behind, and notices when it has failed: a source that blocks
    /// by itself (`block=true`) would wait for a failed encoder for ever.
    pub fn canvas(&self, canvas: &mut Canvas, at: Duration, lasts: Duration) -> Result<()> {
        let source = self.picture.as_ref().ok_or_else(pictureless)?;
        self.wait(source)?;
        self.push(source, timed(canvas.copy()?, at, lasts))
    }

    /// Adds sound: samples of two channels in turn at 48,000 Hz. Waits while the encoder is behind, so pictures must come along: a muxer
    /// holds back sound that is a minute ahead of them.
    pub fn stereo(&self, samples: &[i16], at: Duration) -> Result<()> {
        self.samples(samples, 2, at)
    }

    /// Adds a picture: bytes, row by row, in the size and format that the template says. Waits while the encoder is behind.
    pub fn picture(&self, bytes: Vec<u8>, at: Duration, lasts: Duration) -> Result<()> {
        let source = self.picture.as_ref().ok_or_else(pictureless)?;
        self.wait(source)?;
        self.push(source, from_bytes(bytes, at, lasts))
    }

    /// Adds sound: samples of one channel at 48,000 Hz.
    pub fn sound(&self, samples: &[i16], at: Duration) -> Result<()> {
        self.samples(samples, 1, at)
    }

    fn samples(&self, samples: &[i16], channels: u64, at: Duration) -> Result<()> {
        let sound = self.sound.as_ref().ok_or_else(|| Error::us("this file has no sound"))?;
        self.wait(sound)?;
        let lasts = Duration::from_nanos(samples.len() as u64 * 1_000_000_000 / (48_000 * channels));
        let mut bytes = Vec::with_capacity(size_of_val(samples));
        samples.iter().for_each(|sample| bytes.extend_from_slice(&sample.to_le_bytes()));
        self.push(sound, from_bytes(bytes, at, lasts))
    }

    /// Writes what is under way and closes the file.
    ///
    /// # Errors
    /// An element failed, or `deadline` passed.
    pub fn finish(mut self, deadline: Duration) -> Result<()> {
        for source in [&self.picture, &self.sound].into_iter().flatten() {
            // A source that is flushing has failed, and `finish` says why.
            let _ = source.end_of_stream();
        }
        self.pipeline.finish(deadline)
    }

    /// Waits while the encoder is behind.
    fn wait(&self, source: &AppSrc) -> Result<()> {
        let started = Instant::now();
        while source.current_level_bytes() > UNDER_WAY {
            self.pipeline.poll()?;
            if started.elapsed() > ENCODER_PATIENCE {
                let waited = ENCODER_PATIENCE.as_secs();
                return Err(Error::machine(format!("the encoder has taken nothing for {waited} s")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn push(&self, source: &AppSrc, buffer: gst::Buffer) -> Result<()> {
        source.push_buffer(buffer).map(drop).map_err(|flow| match self.pipeline.poll() {
            Err(e) => e,
            Ok(()) => Error::us("the pipeline takes no more").because(flow),
        })
    }
}

fn pictureless() -> Error {
    Error::us("this file has no picture")
}

/// Chapters as Matroska has them: one edition, one entry each.
fn contents(chapters: &[(Range<Duration>, &str)]) -> gst::Toc {
    let time = |at: Duration| i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
    let mut toc = gst::Toc::new(gst::TocScope::Global);
    let mut edition = gst::TocEntry::new(gst::TocEntryType::Edition, "0");
    for (number, (span, title)) in chapters.iter().enumerate() {
        let mut entry = gst::TocEntry::new(gst::TocEntryType::Chapter, &format!("{}", number + 1));
        if let Some(entry) = entry.get_mut() {
            entry.set_start_stop_times(time(span.start), time(span.end));
            let mut tags = gst::TagList::new();
            if let Some(tags) = tags.get_mut() {
                tags.add::<gst::tags::Title>(title, gst::TagMergeMode::Replace);
            }
            entry.set_tags(tags);
        }
        if let Some(edition) = edition.get_mut() {
            edition.append_sub_entry(entry);
        }
    }
    if let Some(toc) = toc.get_mut() {
        toc.append_entry(edition);
    }
    toc
}

/// How many pictures a Matroska or WebM film has that a player finds in it; nothing is decoded.
///
/// # Errors
/// It does not open as a player opens it.
pub fn count_pictures(library: &Library, path: &Path) -> Result<u64> {
    let mut pipeline = Pipeline::build(&library.get("compose/verify")?, &[])?;
    pipeline.set_path("file", path)?;
    let out = pipeline.app_sink("out")?;
    pipeline.start()?;
    let mut count = 0;
    loop {
        if out.try_pull_sample(gst::ClockTime::try_from(COUNT_PATIENCE).ok()).is_some() {
            count += 1;
            continue;
        }
        pipeline.poll()?;
        let late = || Error::machine(format!("{} cannot be read to its end", path.display()));
        return if out.is_eos() { Ok(count) } else { Err(late()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An encoder of sound that takes 50 ms for each buffer; pictures cost nothing.
    const SLOW: &str = "# Slow.
appsrc name=picture format=time max-bytes=0 caps=video/x-raw,format=GRAY8,width=16,height=16,framerate=1/1 ! fakesink sync=false
appsrc name=sound format=time max-bytes=0 caps=audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2
! identity sleep-time=50000 ! filesink name=file
";

    #[test]
    fn sound_beside_pictures_waits_for_its_encoder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("compose")).unwrap();
        std::fs::write(dir.path().join("compose/slow.gst"), SLOW).unwrap();
        let library = Library::new(Some(dir.path())).unwrap();
        let writer = FileWriter::create(&library, "compose/slow", &dir.path().join("film")).unwrap();
        let sound = writer.sound.clone().unwrap();
        let second = vec![0; 2 * 48_000];
        let mut most = 0;
        for at in (0..150).map(Duration::from_secs) {
            writer.stereo(&second, at).unwrap();
            writer.picture(vec![128; 256], at, Duration::from_secs(1)).unwrap();
            most = most.max(sound.current_level_bytes());
        }
        writer.finish(ENCODER_PATIENCE).unwrap();
        assert!(most <= UNDER_WAY + 192_000, "{} MiB of sound wait for the encoder", most >> 20);
    }
}
