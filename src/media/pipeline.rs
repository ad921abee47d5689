//! A running pipeline made from a template: state, bus and deadlines. Phases only advance. It never waits without a deadline;
//! dropping it stops it.

use super::bin::{build_bin, set_text};
use super::runtime::Gst;
use super::{Template, Value};
use crate::error::{Error, Result};
use gstreamer as gst;
use gstreamer::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};

/// The state of a pipeline; it only advances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Built, not started.
    Building,
    /// Started.
    Running,
    /// The end of stream is on its way to the sinks.
    Draining,
    /// Stopped.
    Finished,
}

/// A pipeline with its bus.
pub struct Pipeline {
    name: String,
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    phase: Phase,
}

impl Pipeline {
    /// Fills `template` and builds it; nothing runs yet.
    ///
    /// # Errors
    /// The user's, naming file and line, and the package of an element that is missing.
    pub fn build(template: &Template, values: &[(&str, Value)]) -> Result<Pipeline> {
        let bin = build_bin(template, values, false)?;
        let pipeline = Gst::init()?.pipeline();
        pipeline.add(&bin).map_err(|e| Error::internal(format!("{}: cannot be built", template.file)).because(e))?;
        let bus =
            pipeline.bus().ok_or_else(|| Error::internal(format!("{}: a pipeline without a bus", template.file)))?;
        Ok(Pipeline { name: template.name.clone(), pipeline, bus, phase: Phase::Building })
    }

    /// Builds the pipeline and discards it, to check that everything that `template` needs is installed.
    ///
    /// # Errors
    /// As [`Pipeline::build`].
    pub fn check(template: &Template) -> Result<()> {
        build_bin(template, &template.samples(), false).map(drop)
    }

    /// The state that it has reached.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The element called `name` in the template.
    pub(super) fn element(&self, name: &str) -> Result<gst::Element> {
        let missing = || Error::user(format!("pipeline {}: no element has name={name}", self.name));
        self.pipeline.by_name(name).ok_or_else(missing)
    }

    /// Sets a text property (a path, a caption) on the element called `name`. A property is never parsed as launch syntax.
    pub(super) fn set_text(&self, name: &str, property: &str, text: &str) -> Result<()> {
        let wrong = || Error::user(format!("pipeline {}: {name} has no text property `{property}`", self.name));
        set_text(&self.element(name)?, property, text).ok_or_else(wrong)
    }

    /// Sets the `location` of the element called `name` to `path`.
    pub(super) fn set_path(&self, name: &str, path: &Path) -> Result<()> {
        let text = path.to_str();
        let text = text.ok_or_else(|| Error::user(format!("the path {} is not valid UTF-8", path.display())))?;
        self.set_text(name, "location", text)
    }

    /// The `appsrc` called `name`.
    pub(super) fn app_src(&self, name: &str) -> Result<gstreamer_app::AppSrc> {
        let other = |_| Error::user(format!("pipeline {}: {name} is not an appsrc", self.name));
        self.element(name)?.downcast().map_err(other)
    }

    /// The `appsink` called `name`.
    pub(super) fn app_sink(&self, name: &str) -> Result<gstreamer_app::AppSink> {
        let other = |_| Error::user(format!("pipeline {}: {name} is not an appsink", self.name));
        self.element(name)?.downcast().map_err(other)
    }

    /// Starts it. Data may take a while to flow; errors are reported by [`Pipeline::poll`].
    ///
    /// # Errors
    /// An element that refuses to start, or a pipeline that was started before.
    pub fn start(&mut self) -> Result<()> {
        if self.phase != Phase::Building {
            return Err(Error::internal(format!("pipeline {}: started twice", self.name)));
        }
        self.phase = Phase::Running;
        if let Err(e) = self.pipeline.set_state(gst::State::Playing) {
            self.poll()?;
            return Err(Error::machine(format!("pipeline {}: does not start", self.name)).because(e));
        }
        Ok(())
    }

    /// Reports the error of an element that failed since the last call. Never waits.
    pub fn poll(&self) -> Result<()> {
        match self.bus.pop_filtered(&[gst::MessageType::Error]) {
            Some(message) => Err(self.failure(&message)),
            None => Ok(()),
        }
    }

    /// Waits until every sink has reached the end of stream, then stops the pipeline.
    ///
    /// # Errors
    /// An element's failure, or the deadline, naming the sinks that were late.
    pub fn finish(&mut self, deadline: Duration) -> Result<()> {
        self.phase = self.phase.max(Phase::Draining);
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let result = match self.bus.timed_pop_filtered(clock_time(deadline), &kinds) {
            Some(message) if message.type_() == gst::MessageType::Eos => Ok(()),
            Some(message) => Err(self.failure(&message)),
            None => Err(Error::machine(format!(
                "pipeline {}: not finished after {:.1} s; waiting for {}",
                self.name,
                deadline.as_secs_f64(),
                self.unfinished()
            ))),
        };
        self.shut_down();
        result
    }

    /// Ends early: stops the sources, gives the sinks until `deadline` to write what is still queued, then stops the pipeline in
    /// any case.
    ///
    /// # Errors
    /// An element's failure, or the deadline, naming the sinks that were late.
    pub fn stop(&mut self, deadline: Duration) -> Result<()> {
        let started = Instant::now();
        match self.phase {
            Phase::Building => self.shut_down(),
            Phase::Finished => {}
            Phase::Draining => return self.finish(deadline),
            Phase::Running => {
                // An event sent while the pipeline changes to PLAYING can deadlock it (GStreamer 1.22: the sender holds the state lock,
                // the source in preroll its own), so wait for the change first.
                let (reached, ..) = self.pipeline.state(clock_time(deadline));
                if matches!(reached, Ok(gst::StateChangeSuccess::Success | gst::StateChangeSuccess::NoPreroll)) {
                    self.pipeline.send_event(Gst::init()?.end_of_stream());
                }
                return self.finish(deadline.saturating_sub(started.elapsed()));
            }
        }
        Ok(())
    }

    /// Stops the pipeline now. Safe to repeat.
    fn shut_down(&mut self) {
        self.phase = Phase::Finished;
        // Setting the state to NULL cannot fail by GStreamer's contract.
        let _ = self.pipeline.set_state(gst::State::Null);
    }

    /// The names of the sinks that have not reached the end of stream.
    fn unfinished(&self) -> String {
        let mut names = Vec::new();
        // An iterator that was invalidated by a change of the pipeline keeps reporting that; the list is only for a message, so stop.
        for sink in self.pipeline.iterate_recurse().into_iter().map_while(Result::ok) {
            let ended = || sink.sink_pads().iter().all(|p| p.pad_flags().contains(gst::PadFlags::EOS));
            if sink.src_pads().is_empty() && !sink.sink_pads().is_empty() && !ended() {
                names.push(sink.name().to_string());
            }
        }
        if names.is_empty() { "its sources".into() } else { names.join(", ") }
    }

    fn failure(&self, message: &gst::Message) -> Error {
        let gst::MessageView::Error(error) = message.view() else {
            return Error::internal(format!("pipeline {}: an unexpected message", self.name));
        };
        let element = message.src().map_or_else(|| "?".into(), |e| e.name());
        let detail = error.debug().map_or_else(String::new, |d| d.to_string());
        if error.error().kind::<gst::ResourceError>() == Some(gst::ResourceError::NoSpaceLeft) {
            return Error::machine("the disk is full").because(detail);
        }
        Error::machine(format!("pipeline {}: {element}: {}", self.name, error.error().message())).because(detail)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if self.phase != Phase::Finished {
            self.shut_down();
        }
    }
}

/// A duration as GStreamer takes it; never infinite.
fn clock_time(wait: Duration) -> gst::ClockTime {
    gst::ClockTime::try_from(wait).unwrap_or(gst::ClockTime::from_seconds(3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::parse("test/t", "t.gst", text).unwrap()
    }

    #[test]
    fn phases_only_advance_and_a_finite_source_finishes() {
        let mut pipeline = Pipeline::build(&template("# X.\nvideotestsrc num-buffers=5 ! fakesink"), &[]).unwrap();
        assert_eq!(pipeline.phase(), Phase::Building);
        pipeline.start().unwrap();
        assert_eq!(pipeline.phase(), Phase::Running);
        pipeline.finish(Duration::from_secs(10)).unwrap();
        assert_eq!(pipeline.phase(), Phase::Finished);
        assert!(pipeline.start().is_err());
        pipeline.stop(Duration::ZERO).unwrap();
        assert_eq!(pipeline.phase(), Phase::Finished);
    }

    #[test]
    fn an_endless_source_is_stopped_by_an_end_of_stream() {
        let mut pipeline = Pipeline::build(&template("# X.\nvideotestsrc is-live=true ! fakesink"), &[]).unwrap();
        pipeline.start().unwrap();
        pipeline.stop(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn a_pipeline_that_never_gets_to_play_is_stopped_all_the_same() {
        let mut pipeline = Pipeline::build(&template("# X.\nappsrc ! fakesink name=starved"), &[]).unwrap();
        pipeline.start().unwrap();
        let error = pipeline.stop(Duration::from_millis(300)).unwrap_err().to_string();
        assert!(error.contains("starved"), "{error}");
        assert_eq!(pipeline.phase(), Phase::Finished);
    }

    #[test]
    fn the_deadline_names_who_was_late() {
        let text = "# X.\nappsrc name=never ! fakesink name=starved async=false\nvideotestsrc num-buffers=1 ! fakesink name=fed async=false";
        let mut pipeline = Pipeline::build(&template(text), &[]).unwrap();
        pipeline.start().unwrap();
        let error = pipeline.finish(Duration::from_millis(300)).unwrap_err().to_string();
        assert!(error.contains("0.3 s") && error.contains("starved") && !error.contains("fed"), "{error}");
        assert_eq!(pipeline.phase(), Phase::Finished);
    }

    #[test]
    fn a_failing_element_is_named() {
        let mut pipeline =
            Pipeline::build(&template("# X.\nvideotestsrc ! identity name=bad error-after=3 ! fakesink"), &[]).unwrap();
        pipeline.start().unwrap();
        let error = pipeline.finish(Duration::from_secs(10)).unwrap_err();
        assert!(error.to_string().contains("bad"), "{error}");
    }

    #[test]
    fn errors_in_a_description_name_file_and_line() {
        let says = |text: &str, expected: &str| {
            let error = Pipeline::check(&template(text)).unwrap_err();
            assert!(matches!(error, crate::error::Error::User(_)));
            assert!(error.to_string().starts_with(expected), "{error}");
        };
        says("# X.\nvideotestsrc\n! frobnicate ! fakesink", "t.gst:3: no element `frobnicate`");
        says("# X.\nvideotestsrc\n! fakesink frob=1", "t.gst:3: no property \"frob\"");
        says("# X.\nvideotestsrc ! ! fakesink", "t.gst: syntax error");
        says("# X.\nvideotestsrc ! audio/x-raw ! fakesink", "t.gst");
    }

    #[test]
    fn text_properties_are_checked() {
        let pipeline = Pipeline::build(&template("# X.\nfilesrc name=file ! fakesink name=out"), &[]).unwrap();
        pipeline.set_text("file", "location", "/a \" ! b").unwrap();
        assert!(pipeline.set_text("file", "blocksize", "x").is_err());
        assert!(pipeline.set_text("file", "nothing", "x").is_err());
        assert!(pipeline.set_text("elsewhere", "location", "x").is_err());
        assert!(pipeline.app_src("out").is_err() && pipeline.app_sink("out").is_err());
    }
}
