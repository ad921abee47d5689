//! The recorder as other programs use it: a builder with defaults over [`Recording`].

use crate::client::RoomObserver;
use crate::error::Result;
use crate::record::capture::Summary;
use crate::record::destination::{Destination, Place};
use crate::record::reception::Reception;
use crate::record::status::Status;
use crate::record::{Controls, Limits, RecordConfig, Recording};
use crate::recording::recover::Recovery;
use crate::room::end::EndReason;
use crate::room::participant::Role;
use crate::rtc::Wake;
use crate::signal::{self, JoinAs, Signaller};
use crate::transfer::store::{Limits as FileLimits, ShareLimits};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Records a room: every track to its own file, with timeline and manifest.
///
/// Dropped without [`Recorder::finish`], it leaves the room and its files stay playable, but the manifest does not say that it is complete.
pub struct Recorder {
    recording: Recording,
    limits: Limits,
    reason: Option<EndReason>,
}

impl Recorder {
    /// A recorder of the room at `url` (`ws://host/rooms/NAME`, or another scheme of [`signal`]).
    pub fn builder(url: impl Into<String>) -> RecorderBuilder {
        RecorderBuilder {
            url: url.into(),
            signaller: None,
            place: Place::In(PathBuf::from("recordings")),
            join_as: JoinAs { name: "Recorder".into(), role: Role::Recorder, token: None },
            limits: Limits::default(),
            files: Some(FileLimits { share: Some(ShareLimits::default()), ..FileLimits::default() }),
            wake: Wake::default(),
            relay_only: false,
            join_for: None,
            reception: Reception::default(),
            observer: None,
        }
    }

    /// The recording's folder.
    pub fn folder(&self) -> &Path {
        self.recording.folder()
    }

    /// What was recovered of the recording that is continued.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recording.recovery()
    }

    /// The recording's state; changes about once a second.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.recording.status()
    }

    /// The start of the recording: the zero of its timestamps.
    pub fn started(&self) -> Instant {
        self.recording.zero()
    }

    /// Pauses it, and changes how long it lasts, from elsewhere.
    pub fn controls(&self) -> Controls {
        self.recording.controls()
    }

    /// The reason of the end, in place of the one that [`Recorder::until`] returned.
    pub fn set_reason(&mut self, reason: EndReason) {
        self.reason = Some(reason);
    }

    /// Waits until `stop` completes, a limit of the builder is reached or the room ends; returns which. Cancel safe.
    pub async fn until(&mut self, stop: impl Future) -> EndReason {
        let stop = async {
            stop.await;
        };
        let reason = self.recording.until(self.limits, stop).await;
        self.reason = Some(reason.clone());
        reason
    }

    /// Leaves the room and finishes the recording; returns when everything is on the disk.
    ///
    /// # Errors
    /// [`Error::Machine`](crate::Error::Machine): the disk failed.
    pub async fn finish(self) -> Result<Summary> {
        self.recording.finish(self.reason.unwrap_or(EndReason::Stopped)).await
    }
}

/// What to record, and how; made by [`Recorder::builder`].
#[must_use = "nothing is recorded before `start`"]
pub struct RecorderBuilder {
    url: String,
    signaller: Option<Box<dyn Signaller>>,
    place: Place,
    join_as: JoinAs,
    limits: Limits,
    files: Option<FileLimits>,
    wake: Wake,
    relay_only: bool,
    join_for: Option<Duration>,
    reception: Reception,
    observer: Option<Arc<dyn RoomObserver>>,
}

impl RecorderBuilder {
    /// The folder in which the recording's folder is created; `recordings` by default.
    pub fn out(mut self, folder: impl Into<PathBuf>) -> RecorderBuilder {
        self.place = Place::In(folder.into());
        self
    }

    /// The recording's own folder, which is made if it is not there. If it has a recording of this room, that one is recovered and
    /// continued.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> RecorderBuilder {
        self.place = Place::Exactly(folder.into());
        self
    }

    /// Joins by this instead of by the URL's scheme. The URL then only names the recording.
    pub fn signaller(mut self, signaller: impl Signaller + 'static) -> RecorderBuilder {
        self.signaller = Some(Box::new(signaller));
        self
    }

    /// The recorder's name in the room; `Recorder` by default.
    pub fn name(mut self, name: impl Into<String>) -> RecorderBuilder {
        self.join_as.name = name.into();
        self
    }

    /// The room's join token.
    pub fn token(mut self, token: impl Into<Option<String>>) -> RecorderBuilder {
        self.join_as.token = token.into();
        self
    }

    /// Ends [`Recorder::until`] after this time. No limit by default.
    pub fn duration(mut self, duration: impl Into<Option<Duration>>) -> RecorderBuilder {
        self.limits.duration = duration.into();
        self
    }

    /// Ends [`Recorder::until`] when media and shared files have so many bytes together. No limit by default.
    pub fn max_bytes(mut self, bytes: impl Into<Option<u64>>) -> RecorderBuilder {
        self.limits.bytes = bytes.into();
        self
    }

    /// Ends [`Recorder::until`] when the room has been empty for this long, after somebody was there. No limit by default.
    pub fn until_empty(mut self, empty: impl Into<Option<Duration>>) -> RecorderBuilder {
        self.limits.until_empty = empty.into();
        self
    }

    /// Ends [`Recorder::until`] when nobody has come within this time. No limit by default.
    pub fn until_nobody(mut self, nobody: impl Into<Option<Duration>>) -> RecorderBuilder {
        self.limits.until_nobody = nobody.into();
        self
    }

    /// Ends [`Recorder::until`] when nobody has spoken for this long, while somebody was there. No limit by default.
    pub fn until_silent(mut self, silent: impl Into<Option<Duration>>) -> RecorderBuilder {
        self.limits.until_silent = silent.into();
        self
    }

    /// Ends [`Recorder::until`] when only bots have been there for this long. No limit by default.
    pub fn until_only_bots(mut self, only_bots: impl Into<Option<Duration>>) -> RecorderBuilder {
        self.limits.until_only_bots = only_bots.into();
        self
    }

    /// Keeps trying to join for this long while the room cannot be reached or is full. By default it tries once.
    pub fn join_for(mut self, patience: impl Into<Option<Duration>>) -> RecorderBuilder {
        self.join_for = patience.into();
        self
    }

    /// Which files that participants send are accepted, and which of them are offered on ([`FileLimits::share`]); `None` refuses all.
    /// By default [`FileLimits::default`] with [`ShareLimits::default`].
    pub fn files(mut self, limits: impl Into<Option<FileLimits>>) -> RecorderBuilder {
        self.files = limits.into();
        self
    }

    /// When the capture thread wakes up for packets: [`Wake::default`] unless set.
    pub fn wake(mut self, wake: Wake) -> RecorderBuilder {
        self.wake = wake;
        self
    }

    /// Receives over TURN servers only.
    pub fn relay_only(mut self, only: bool) -> RecorderBuilder {
        self.relay_only = only;
        self
    }

    /// How much of what participants send is received, and what is done to it (decryption); [`Reception::default`] by default.
    pub fn reception(mut self, reception: Reception) -> RecorderBuilder {
        self.reception = reception;
        self
    }

    /// Sees every event of the room while it is recorded.
    pub fn observer(mut self, observer: Arc<dyn RoomObserver>) -> RecorderBuilder {
        self.observer = Some(observer);
        self
    }

    /// Joins the room and starts to record.
    ///
    /// # Errors
    /// [`Error::User`](crate::Error::User): the URL, or the folder cannot be written. [`Error::Room`](crate::Error::Room): the room refused
    /// or cannot be reached.
    pub async fn start(self) -> Result<Recorder> {
        let signaller = self.signaller.map_or_else(|| signal::for_url(&self.url), Ok)?;
        let config = RecordConfig {
            destination: Destination {
                place: self.place,
                room: signal::room_name(&self.url),
                url: signal::public_url(&self.url),
            },
            how: self.join_as,
            wake: self.wake,
            relay_only: self.relay_only,
            files: self.files,
            impairment: None,
            join_for: self.join_for,
            reception: self.reception,
            observer: self.observer,
        };
        let recording = Recording::start(signaller.as_ref(), config).await?;
        Ok(Recorder { recording, limits: self.limits, reason: None })
    }
}
