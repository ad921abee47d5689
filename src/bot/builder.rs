//! The bot as other programs use it: a builder with defaults over [`Bot::start`].

use crate::bot::{Bot, BotConfig, BotSetup, Choices};
use crate::error::Result;
use crate::media::{Encoder, Filter, FrameFilter, Library, SampleFilter, check_filter};
use crate::room::end::EndReason;
use crate::room::media::{Codec, MediaKind};
use crate::room::participant::Role;
use crate::signal::{self, JoinAs, Signaller};
use std::future::Future;

/// The bitrate at which encoders are tried, in bit/s.
const TRIAL_BITRATE: u64 = 64_000;

impl Bot {
    /// A bot in the room at `url` (`ws://host/rooms/NAME`, or another scheme of [`signal`]) that sends everybody's media back to them,
    /// filtered.
    pub fn builder(url: impl Into<String>) -> BotBuilder {
        BotBuilder {
            url: url.into(),
            signaller: None,
            join_as: JoinAs { name: "Filter".into(), role: Role::Bot, token: None },
            library: Library::default(),
            video: None,
            audio: None,
            codec: None,
            to_all: false,
            only: Vec::new(),
            return_messages: false,
            relay_only: false,
        }
    }

    /// Waits until `stop` completes or the room ends; returns which.
    pub async fn until_stopped(&mut self, stop: impl Future) -> EndReason {
        let stop = async {
            stop.await;
            EndReason::Stopped
        };
        self.until(None, stop).await
    }
}

/// What a bot does; made by [`Bot::builder`].
#[must_use = "nothing is joined before `start`"]
pub struct BotBuilder {
    url: String,
    signaller: Option<Box<dyn Signaller>>,
    join_as: JoinAs,
    library: Library,
    video: Option<Filter>,
    audio: Option<Filter>,
    codec: Option<Codec>,
    to_all: bool,
    only: Vec<String>,
    return_messages: bool,
    relay_only: bool,
}

impl BotBuilder {
    /// Filters video with Rust code. Each stream gets a clone, so the filter may keep state.
    pub fn video(self, filter: impl FrameFilter + Clone + Sync + 'static) -> BotBuilder {
        self.filter(Filter::of(type_name(&filter), move || Box::new(filter.clone())))
    }

    /// Filters audio with Rust code. Each stream gets a clone, so the filter may keep state.
    pub fn audio(self, filter: impl SampleFilter + Clone + Sync + 'static) -> BotBuilder {
        self.filter(Filter::of_samples(type_name(&filter), move || Box::new(filter.clone())))
    }

    /// Uses this filter for its kind of media, for instance one from [`Filter::resolve`].
    pub fn filter(mut self, filter: Filter) -> BotBuilder {
        match filter.kind() {
            MediaKind::Video => self.video = Some(filter),
            MediaKind::Audio => self.audio = Some(filter),
        }
        self
    }

    /// Where pipelines come from; the built-in ones by default.
    pub fn library(mut self, library: Library) -> BotBuilder {
        self.library = library;
        self
    }

    /// Joins by this instead of by the URL's scheme.
    pub fn signaller(mut self, signaller: impl Signaller + 'static) -> BotBuilder {
        self.signaller = Some(Box::new(signaller));
        self
    }

    /// The bot's name in the room; `Filter` by default.
    pub fn name(mut self, name: impl Into<String>) -> BotBuilder {
        self.join_as.name = name.into();
        self
    }

    /// The room's join token.
    pub fn token(mut self, token: impl Into<Option<String>>) -> BotBuilder {
        self.join_as.token = token.into();
        self
    }

    /// The codec of returned video; `None`, the default, is the one it was received in.
    pub fn codec(mut self, codec: impl Into<Option<Codec>>) -> BotBuilder {
        self.codec = codec.into();
        self
    }

    /// Whether everybody receives every filtered track; by default only its sender.
    pub fn to_all(mut self, all: bool) -> BotBuilder {
        self.to_all = all;
        self
    }

    /// Takes only participants with these names; an empty list, the default, takes all.
    pub fn only(mut self, names: impl IntoIterator<Item = String>) -> BotBuilder {
        self.only = names.into_iter().collect();
        self
    }

    /// Whether chat and files are sent back to their senders, too; not by default.
    pub fn return_messages(mut self, wanted: bool) -> BotBuilder {
        self.return_messages = wanted;
        self
    }

    /// Whether only TURN servers are used; not by default.
    pub fn relay_only(mut self, only: bool) -> BotBuilder {
        self.relay_only = only;
        self
    }

    /// Tries filters and encoders, then joins the room.
    ///
    /// # Errors
    /// [`Error::User`](crate::Error::User), before it joins: the URL, a filter, a missing package. [`Error::Room`](crate::Error::Room): the room
    /// refused or cannot be reached.
    pub async fn start(self) -> Result<Bot> {
        let signaller = self.signaller.map_or_else(|| signal::for_url(&self.url), Ok)?;
        for filter in [&self.video, &self.audio].into_iter().flatten() {
            check_filter(filter)?;
        }
        let possible = |codec: &Codec| codec.kind() == MediaKind::Audio || self.codec.is_none_or(|only| only == *codec);
        for codec in Codec::ALL.into_iter().filter(possible) {
            Encoder::build(&self.library, codec, TRIAL_BITRATE)?;
        }
        let none = |kind| Filter::resolve(&self.library, kind, "none", &[]);
        let video = self.video.map_or_else(|| none(MediaKind::Video), Ok)?;
        let audio = self.audio.map_or_else(|| none(MediaKind::Audio), Ok)?;
        let config = BotConfig {
            how: self.join_as,
            live: BotSetup {
                codec: self.codec,
                to_all: self.to_all,
                choices: Choices { only: self.only, ..Choices::new(video, audio) },
                library: self.library,
            },
            returns: self.return_messages,
            relay_only: self.relay_only,
            impairment: None,
        };
        Bot::start(signaller.as_ref(), config).await
    }
}

/// The name of a filter's type without its path, as the bot shows it.
fn type_name<T>(_: &T) -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap_or_default()
}
