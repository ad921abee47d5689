//! What is done to whose tracks: the choices that commands change while everything runs. Values only.

use crate::media::Filter;
use crate::room::media::{MediaKind, Source};
use crate::room::participant::is_called;

/// Which pictures are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pick {
    #[default]
    All,
    Camera,
    Screen,
}

/// What a bot does at present.
#[derive(Clone)]
pub struct Choices {
    pub video: Filter,
    pub audio: Filter,
    pub video_on: bool,
    pub audio_on: bool,
    pub pick: Pick,
    /// Only tracks of participants of these names; empty: of all.
    pub only: Vec<String>,
}

impl Choices {
    /// Everything of everybody through these filters.
    pub fn new(video: Filter, audio: Filter) -> Choices {
        Choices { video, audio, video_on: true, audio_on: true, pick: Pick::All, only: Vec::new() }
    }

    /// The filter for a kind of track.
    pub fn filter(&self, kind: MediaKind) -> &Filter {
        match kind {
            MediaKind::Video => &self.video,
            MediaKind::Audio => &self.audio,
        }
    }

    /// Whether this track of this participant is given back.
    pub fn takes(&self, name: &str, source: Source) -> bool {
        let on = match source {
            Source::Camera => self.video_on && self.pick != Pick::Screen,
            Source::Screen => self.video_on && self.pick != Pick::Camera,
            Source::Mic => self.audio_on && self.pick != Pick::Screen,
            Source::ScreenAudio => self.audio_on && self.pick != Pick::Camera,
        };
        on && (self.only.is_empty() || self.only.iter().any(|only| is_called(name, only)))
    }

    /// In one line, for people.
    pub fn describe(&self) -> String {
        let of = |on: bool, filter: &Filter| if on { filter.name().to_owned() } else { "off".to_owned() };
        let pick = match self.pick {
            Pick::All => "camera and screen",
            Pick::Camera => "camera",
            Pick::Screen => "screen",
        };
        let who = if self.only.is_empty() { "everybody".to_owned() } else { self.only.join(", ") };
        let (video, audio) = (of(self.video_on, &self.video), of(self.audio_on, &self.audio));
        format!("video {video}, audio {audio}, {pick} of {who}")
    }
}
