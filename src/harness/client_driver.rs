//! A scenario participant that is a roombot client: joins, sends stamped media, shares a screen, mutes, restarts ICE and leaves, each at its
//! time. It measures nothing.

use super::player::{Pause, Player, SendStats};
use super::scenario::{Participant, TimeRange};
use super::schedule::{Action, DRAIN, MediaFiles, actions};
use super::task::blocking;
use crate::client::{Client, ClientConfig};
use crate::error::{Error, Result};
use crate::media::{Encoding, Library, MediaSource, Origin};
use crate::room::media::{MediaKind, Source};
use crate::room::participant::{Role, TrackLabel};
use crate::rtc::OutboundTrack;
use crate::signal::{self, JoinAs};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Takes part in the room at `url` from joining to leaving. With `mesh`, media goes to everybody, otherwise only to the recorder.
///
/// # Errors
/// The room's and the machine's: joining failed, a file cannot be read.
pub(super) async fn drive_client(
    library: &Library,
    url: &str,
    participant: &Participant,
    media: &MediaFiles,
    start: Instant,
    mesh: bool,
) -> Result<SendStats> {
    let camera = open(library, &media.camera)?;
    let tracks: Vec<OutboundTrack> = camera
        .tracks()
        .iter()
        .map(|t| {
            let kind = t.codec.kind();
            let label = TrackLabel { stream: "main".into(), kind, source: Source::default_for(kind), muted: false };
            OutboundTrack::new(label, t.codec)
        })
        .collect();
    tokio::time::sleep_until(start + participant.join).await;
    let join_as = JoinAs { name: participant.name.clone(), role: Role::Participant, token: None };
    let only = if mesh { vec![] } else { vec!["recorder".into()] };
    let config = ClientConfig { publish: tracks.clone(), only, ..ClientConfig::default() };
    let session = Client::join(signal::for_url(url)?.as_ref(), join_as, config).await?;
    let pause = |range: Option<TimeRange>, kind| range.map(|(from, until)| Pause { kind, from, until });
    let pauses = [pause(participant.mute, MediaKind::Audio), pause(participant.hide, MediaKind::Video)];
    let pauses: Vec<Pause> = pauses.into_iter().flatten().collect();
    // Frames that were due during joining are skipped: sent now, in one burst, they would only be late.
    let from = participant.join.max(start.elapsed());
    let player = Player::start(camera, tracks.clone(), start.into_std(), from, pauses)?;
    let mut stats = SendStats::default();
    stats.joined(&participant.name, from - participant.join);
    let mut screen = None;
    for (at, action) in actions(participant) {
        tokio::time::sleep_until(start + at).await;
        match action {
            Action::Mute(kind) => mute(&session, &tracks, kind, true).await,
            Action::Unmute(kind) => mute(&session, &tracks, kind, false).await,
            Action::StartScreen => {
                let Some(path) = media.screen.as_ref() else { continue };
                screen = Some(share(library, &session, path, start, at).await?);
            }
            Action::StopScreen => {
                if let Some(player) = screen.take() {
                    stats.merge(stop(player).await?);
                }
                session.unpublish("screen").await;
            }
            Action::RestartIce => session.restart_ice(None).await,
        }
    }
    tokio::time::sleep_until(start + participant.leave).await;
    let sent = stop(player).await?;
    // The packets sent last are still on their way.
    tokio::time::sleep(DRAIN / 2).await;
    session.leave().await;
    stats.merge(sent);
    Ok(stats)
}

fn open(library: &Library, path: &Path) -> Result<MediaSource> {
    MediaSource::open(library, &Origin::File(path.to_owned()), |_| true, false, &Encoding::default())
}

async fn mute(session: &Client, tracks: &[OutboundTrack], kind: MediaKind, muted: bool) {
    if let Some(track) = tracks.iter().find(|track| track.label().kind == kind) {
        session.handle().mute(track.label(), muted).await;
    }
}

async fn share(library: &Library, session: &Client, path: &Path, start: Instant, at: Duration) -> Result<Player> {
    let source = open(library, path)?;
    let video = source.tracks().iter().find(|t| t.codec.kind() == MediaKind::Video);
    let codec = video.map(|t| t.codec).ok_or_else(|| Error::internal("a screen file without video"))?;
    let (stream, kind) = ("screen".to_owned(), codec.kind());
    let track = OutboundTrack::new(TrackLabel { stream, kind, source: Source::Screen, muted: false }, codec);
    session.publish(track.clone()).await;
    Player::start(source, vec![track], start.into_std(), at, Vec::new())
}

async fn stop(player: Player) -> Result<SendStats> {
    blocking(move || player.stop()).await
}
