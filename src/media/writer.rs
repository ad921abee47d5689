//! Writes video and audio into a media file through a pipeline template. For films and fixtures; recordings are written elsewhere,
//! without GStreamer.

use super::buffer::{timed, timed_buffer};
use super::runtime::Gst;
use super::{Canvas, Library, Pipeline, Value};
use crate::error::{Error, Result};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an encoder may take for its queue, on a busy machine.
const ENCODER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of raw video that may wait for the encoder, and bytes of raw audio (90 s). If frames are small, audio takes longer to encode
/// than video.
const MAX_QUEUED: u64 = 16 << 20;
/// How long the next frame may take when the frames of a finished film are counted.
const COUNT_TIMEOUT: Duration = Duration::from_secs(30);

/// A media file that is being written. The template has an `appsrc` called `picture`, one called `sound`, or both, and a `filesink`
/// called `file`; if it takes tags, its muxer is called `mux`.
pub struct FileWriter {
    pipeline: Pipeline,
    picture: Option<AppSrc>,
    sound: Option<AppSrc>,
}

impl FileWriter {
    /// Starts writing `path` through the template called `name`.
    ///
    /// # Errors
    /// The user's: the template or an element is missing, or the file cannot be created.
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

    /// Sets the title, the date of the recording and the chapters (time span and title), if the container can hold them. To be called
    /// before anything is added.
    ///
    /// # Errors
    /// The user's: the template has no element called `mux`.
    pub fn describe(&self, title: &str, recorded: jiff::Timestamp, chapters: &[(Range<Duration>, &str)]) -> Result<()> {
        let (gst, mux) = (Gst::init()?, self.pipeline.element("mux")?);
        if let Some(tagged) = mux.dynamic_cast_ref::<gst::TagSetter>() {
            tagged.add_tag::<gst::tags::Title>(&title, gst::TagMergeMode::Replace);
            tagged.add_tag::<gst::tags::Encoder>(
                &concat!("roombot ", env!("CARGO_PKG_VERSION")),
                gst::TagMergeMode::Replace,
            );
            if let Some(date) = gst.date_time(&recorded.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()) {
                tagged.add_tag::<gst::tags::DateTime>(&date, gst::TagMergeMode::Replace);
            }
        }
        if let Some(parted) = mux.dynamic_cast_ref::<gst::TocSetter>().filter(|_| !chapters.is_empty()) {
            parted.set_toc(Some(&contents(gst, chapters)));
        }
        Ok(())
    }

    /// Adds a canvas as a frame. Waits while the encoder is behind, and returns if it fails; a source with `block=true` would wait
    /// for a failed encoder for ever.
    ///
    /// # Errors
    /// An element failed, or the encoder took nothing for a minute.
    pub fn canvas(&self, canvas: &mut Canvas, at: Duration, lasts: Duration) -> Result<()> {
        let source = self.picture.as_ref().ok_or_else(no_video)?;
        self.wait(source)?;
        self.push(source, timed(canvas.copy()?, at, lasts))
    }

    /// Adds audio: stereo, interleaved, 48 kHz. Waits while the encoder is behind, so video must be added alongside: a muxer holds back
    /// audio that is a minute ahead.
    ///
    /// # Errors
    /// As [`FileWriter::canvas`].
    pub fn stereo(&self, samples: &[i16], at: Duration) -> Result<()> {
        self.samples(samples, 2, at)
    }

    /// Adds a frame: its bytes in the size and format of the template. Waits while the encoder is behind.
    ///
    /// # Errors
    /// As [`FileWriter::canvas`].
    pub fn picture(&self, bytes: Vec<u8>, at: Duration, lasts: Duration) -> Result<()> {
        let source = self.picture.as_ref().ok_or_else(no_video)?;
        self.wait(source)?;
        self.push(source, timed_buffer(Gst::init()?, bytes, at, lasts))
    }

    /// Adds audio: mono, 48 kHz.
    ///
    /// # Errors
    /// As [`FileWriter::canvas`].
    pub fn sound(&self, samples: &[i16], at: Duration) -> Result<()> {
        self.samples(samples, 1, at)
    }

    fn samples(&self, samples: &[i16], channels: u64, at: Duration) -> Result<()> {
        let sound = self.sound.as_ref().ok_or_else(|| Error::internal("this file has no audio"))?;
        self.wait(sound)?;
        let lasts = Duration::from_nanos(samples.len() as u64 * 1_000_000_000 / (48_000 * channels));
        let mut bytes = Vec::with_capacity(size_of_val(samples));
        samples.iter().for_each(|sample| bytes.extend_from_slice(&sample.to_le_bytes()));
        self.push(sound, timed_buffer(Gst::init()?, bytes, at, lasts))
    }

    /// Writes what is queued and closes the file.
    ///
    /// # Errors
    /// An element failed, or `deadline` passed.
    pub fn finish(mut self, deadline: Duration) -> Result<()> {
        for source in [&self.picture, &self.sound].into_iter().flatten() {
            // Refused only by a pipeline that has failed; `finish` reports why.
            let _ = source.end_of_stream();
        }
        self.pipeline.finish(deadline)
    }

    /// Waits while the queue of `source` is full.
    fn wait(&self, source: &AppSrc) -> Result<()> {
        let started = Instant::now();
        while source.current_level_bytes() > MAX_QUEUED {
            self.pipeline.poll()?;
            if started.elapsed() > ENCODER_TIMEOUT {
                let waited = ENCODER_TIMEOUT.as_secs();
                return Err(Error::machine(format!("the encoder has accepted nothing for {waited} s")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn push(&self, source: &AppSrc, buffer: gst::Buffer) -> Result<()> {
        source.push_buffer(buffer).map(drop).map_err(|flow| match self.pipeline.poll() {
            Err(e) => e,
            Ok(()) => Error::internal("the pipeline accepts no more data").because(flow),
        })
    }
}

fn no_video() -> Error {
    Error::internal("this file has no video")
}

/// Chapters as Matroska has them: one edition with an entry for each.
fn contents(gst: Gst, chapters: &[(Range<Duration>, &str)]) -> gst::Toc {
    let time = |at: Duration| i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
    let mut toc = gst.contents();
    let mut edition = gst.contents_entry(gst::TocEntryType::Edition, "0");
    for (number, (span, title)) in chapters.iter().enumerate() {
        let mut entry = gst.contents_entry(gst::TocEntryType::Chapter, &format!("{}", number + 1));
        if let Some(entry) = entry.get_mut() {
            entry.set_start_stop_times(time(span.start), time(span.end));
            let mut tags = gst.tags();
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

/// Counts the video frames of a Matroska or WebM file by demuxing it; nothing is decoded.
///
/// # Errors
/// The file cannot be demuxed to its end.
pub fn count_pictures(library: &Library, path: &Path) -> Result<u64> {
    let mut pipeline = Pipeline::build(&library.get("compose/verify")?, &[])?;
    pipeline.set_path("file", path)?;
    let out = pipeline.app_sink("out")?;
    pipeline.start()?;
    let mut count = 0;
    loop {
        if out.try_pull_sample(gst::ClockTime::try_from(COUNT_TIMEOUT).ok()).is_some() {
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

    /// An audio encoder that takes 50 ms for each buffer; video costs nothing.
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
        writer.finish(ENCODER_TIMEOUT).unwrap();
        assert!(most <= MAX_QUEUED + 192_000, "{} MiB of audio wait for the encoder", most >> 20);
    }
}
