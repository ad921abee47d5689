//! One person's stay in a scenario: joins, plays stamped media, shares, mutes, hides, looks for new paths, and leaves, each at its time.
//! It judges nothing.

use super::player::{Pause, Played, Player};
use super::run::{GRACE, blocking};
use super::scenario::Person;
use crate::client::{Client, ClientConfig};
use crate::error::{Error, Result};
use crate::media::{Encoding, Library, MediaSource, Origin};
use crate::room::media::{MediaKind, Source};
use crate::room::participant::{Role, TrackLabel};
use crate::rtc::OutboundTrack;
use crate::signal::{self, JoinAs};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// One person's files.
pub struct Media {
    /// Of a browser it has no sound: that lies beside it, as WAV.
    pub camera: PathBuf,
    pub screen: Option<PathBuf>,
    /// What a browser's page asks of its camera, as its address says it.
    pub wish: String,
}

/// What somebody does in mid-call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Mute(MediaKind, bool),
    Share,
    StopSharing,
    RestartIce,
}

/// What a person does, in the order of its time.
pub(super) fn acts(person: &Person) -> Vec<(Duration, Act)> {
    let between = |span: Option<(Duration, Duration)>, begin: Act, end: Act| {
        span.into_iter().flat_map(move |(from, until)| [(from, begin), (until, end)])
    };
    let (off, on) = (|kind| Act::Mute(kind, true), |kind| Act::Mute(kind, false));
    let mut acts: Vec<(Duration, Act)> = between(person.screen, Act::Share, Act::StopSharing)
        .chain(between(person.mute, off(MediaKind::Audio), on(MediaKind::Audio)))
        .chain(between(person.hide, off(MediaKind::Video), on(MediaKind::Video)))
        .chain(person.restart_ice.map(|at| (at, Act::RestartIce)))
        .collect();
    acts.sort_by_key(|(at, _)| *at);
    acts
}

/// One person's stay: joins the room at `url`, and does what is written.
///
/// # Errors
/// The room's and the machine's: what broke the stay off.
pub async fn attend(
    library: &Library,
    url: &str,
    person: &Person,
    media: &Media,
    start: Instant,
    mesh: bool,
) -> Result<Played> {
    let open =
        |path: &Path| MediaSource::open(library, &Origin::File(path.to_owned()), |_| true, false, &Encoding::default());
    let camera = open(&media.camera)?;
    let tracks: Vec<OutboundTrack> = camera
        .tracks()
        .iter()
        .map(|t| {
            let kind = t.codec.kind();
            let label = TrackLabel { stream: "main".into(), kind, source: Source::default_for(kind), muted: false };
            OutboundTrack::new(label, t.codec)
        })
        .collect();
    tokio::time::sleep_until(start + person.join).await;
    let how = JoinAs { name: person.name.clone(), role: Role::Participant, token: None };
    let only = if mesh { vec![] } else { vec!["recorder".into()] };
    let config = ClientConfig { publish: tracks.clone(), only, ..ClientConfig::default() };
    let session = Client::join(signal::for_url(url)?.as_ref(), how, config).await?;
    let pause = |span: Option<(Duration, Duration)>, kind| span.map(|(from, until)| Pause { kind, from, until });
    let pauses = [pause(person.mute, MediaKind::Audio), pause(person.hide, MediaKind::Video)];
    let pauses: Vec<Pause> = pauses.into_iter().flatten().collect();
    // What was due while joining is past: sent now, all at once, it would only be late.
    let from = person.join.max(start.elapsed());
    let playing = Player::play(camera, tracks.clone(), start.into_std(), from, pauses)?;
    let mut all = Played::default();
    all.entered(&person.name, from - person.join);
    let mut sharing = None;
    for (at, act) in acts(person) {
        tokio::time::sleep_until(start + at).await;
        match act {
            Act::Mute(kind, off) => {
                if let Some(track) = tracks.iter().find(|track| track.label().kind == kind) {
                    session.handle().mute(track.label(), off).await;
                }
            }
            Act::Share => {
                let Some(path) = media.screen.as_ref() else { continue };
                let screen = open(path)?;
                let picture = screen.tracks().iter().find(|t| t.codec.kind() == MediaKind::Video);
                let codec = picture.map(|t| t.codec).ok_or_else(|| Error::us("a screen without a picture"))?;
                let (stream, kind) = ("screen".to_owned(), codec.kind());
                let track =
                    OutboundTrack::new(TrackLabel { stream, kind, source: Source::Screen, muted: false }, codec);
                session.publish(track.clone()).await;
                sharing = Some(Player::play(screen, vec![track], start.into_std(), at, Vec::new())?);
            }
            Act::StopSharing => {
                if let Some(sharing) = sharing.take() {
                    all.add(blocking(move || sharing.stop()).await?);
                }
                session.unpublish("screen").await;
            }
            Act::RestartIce => session.restart_ice(None).await,
        }
    }
    tokio::time::sleep_until(start + person.leave).await;
    let played = blocking(move || playing.stop()).await?;
    // What was sent last is still on its way.
    tokio::time::sleep(GRACE / 2).await;
    session.leave().await;
    all.add(played);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_does_comes_in_the_order_of_its_time() {
        let span = |from, until| Some((Duration::from_secs(from), Duration::from_secs(until)));
        let person = Person {
            name: "alice".into(),
            join: Duration::ZERO,
            leave: Duration::from_secs(9),
            screen: span(3, 7),
            mute: span(2, 5),
            hide: None,
            restart_ice: Some(Duration::from_secs(4)),
            browser: false,
        };
        let order: Vec<Act> = acts(&person).into_iter().map(|(_, act)| act).collect();
        let mute = |off| Act::Mute(MediaKind::Audio, off);
        assert_eq!(order, [mute(true), Act::Share, Act::RestartIce, mute(false), Act::StopSharing]);
    }
}
