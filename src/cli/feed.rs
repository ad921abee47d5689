//! `roombot feed`: takes part in a room with files, images, test pictures and tones for camera, microphone and screen. What
//! receivers take is sent as it is; only the rest is encoded.

mod pump;
mod what;

use super::args::{PipelineArgs, Span, duration, span};
use super::say::say;
use crate::client::event::RoomEvent;
use crate::client::{Client, ClientConfig};
use crate::error::{Error, Result};
use crate::media::{Encoding, Library, MediaSource, Origin, Track};
use crate::room::end::EndReason;
use crate::room::media::{Codec, MediaKind, Source};
use crate::room::participant::{Role, TrackLabel};
use crate::rtc::OutboundTrack;
use crate::signal::{self, JoinAs};
use futures_util::FutureExt;
use futures_util::future::{pending, select_all};
use pump::{Pump, Sent};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often a screen may be shared in one run; each open one holds its file.
const SHARES: usize = 32;
/// What was handed over last is given so long to leave.
const GRACE: Duration = Duration::from_millis(150);

/// Take part in a room with files, test pictures and tones.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot feed ws://127.0.0.1:8080/rooms/standup fixtures/alice.webm --as Alice --loop
  roombot feed ws://127.0.0.1:8080/rooms/standup talk.mp4 --as Bob --screen slides.webm --screen-during 5s..12s
  roombot feed ws://127.0.0.1:8080/rooms/standup --as Bot --video pattern:ball,1280x720@30 --audio tone:440
  roombot feed ws://127.0.0.1:8080/rooms/standup --as Alice --stamp alice,1280x720@30
  roombot feed ws://127.0.0.1:8080/rooms/standup --as Deck --screen slides/ --slide-seconds 20s
  roombot feed whip+http://127.0.0.1:8080/whip/standup talk.webm --as Alice
  roombot feed ws://127.0.0.1:8080/rooms/standup fixtures/bob.webm --as Load --copies 16 --only Recorder --loop --for 60s

VP8, VP9, AV1, H.264 without B-frames, and Opus are sent as they are, which costs next to nothing; but a file cannot make a key \
frame when somebody asks for one, so newcomers see the picture from its next key frame on (ffmpeg: -g 30). Everything else that \
GStreamer decodes is encoded live, at 1280x720 and 30 pictures a second at most. `roombot pipelines list source/` names what is made here.
Ends with the files, with --for, with Ctrl-C or with the room.")]
pub struct FeedArgs {
    /// The room: ws://host:port/rooms/NAME, wss://…, or a WHIP endpoint, whip+http://… or whip+https://…
    #[arg(value_name = "ROOM_URL")]
    room: String,
    /// File whose first video and audio tracks are camera and microphone.
    #[arg(value_name = "MEDIA")]
    media: Option<PathBuf>,
    /// The camera instead: a file, an image, or pattern:NAME[,WIDTHxHEIGHT[@FPS]].
    #[arg(long, value_name = "SOURCE", conflicts_with = "no_video")]
    video: Option<String>,
    /// The microphone instead: a file, tone[:HZ], silence, noise, or ticks (one a second).
    #[arg(long, value_name = "SOURCE", conflicts_with = "no_audio")]
    audio: Option<String>,
    /// Camera and microphone with the stamps of this participant (a name, or its number), which `roombot verify` and `roombot check` read;
    /// made on the fly: NAME[,WIDTHxHEIGHT[@FPS]].
    #[arg(long, value_name = "NAME", conflicts_with_all = ["media", "video", "audio", "no_video", "no_audio"])]
    stamp: Option<String>,
    /// The name under which the room sees us; copies are numbered.
    #[arg(long = "as", value_name = "NAME", default_value = "Feed")]
    name: String,
    /// What is shared as a screen, from its start each time, repeated as long as the share lasts: a file, pattern:NAME, or images and
    /// folders of them, one after the other (repeatable).
    #[arg(long, value_name = "SOURCE")]
    screen: Vec<String>,
    /// How long each image is shown: 5s, 500ms, 1m.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    slide_seconds: Duration,
    /// When the screen is shared, from the moment of joining; again for each further share. Without: all the time.
    #[arg(long, value_name = "FROM..UNTIL", value_parser = span, requires = "screen")]
    screen_during: Vec<Span>,
    /// Share the screen from here on.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "screen", conflicts_with = "screen_during")]
    screen_from: Option<Duration>,
    /// Share the screen until here.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "screen", conflicts_with = "screen_during")]
    screen_until: Option<Duration>,
    /// Do not send the file's sound.
    #[arg(long, conflicts_with = "no_video")]
    no_audio: bool,
    /// Do not send the file's picture.
    #[arg(long)]
    no_video: bool,
    /// Repeat the file without a seam.
    #[arg(long = "loop")]
    repeat: bool,
    /// Encode also what could be sent as it is: key frames whenever somebody needs one, at the price of a core's time.
    #[arg(long)]
    transcode: bool,
    /// What pictures are encoded as, where they are: vp8, vp9, h264, av1.
    #[arg(long, value_parser = video_codec, default_value = "vp8")]
    codec: Codec,
    /// Bits a second of pictures that are encoded, in thousands; by their size unless given.
    #[arg(long, value_name = "KILOBITS", value_parser = clap::value_parser!(u32).range(20..=50_000))]
    bitrate: Option<u32>,
    /// Leave after this long: 30s, 5m, 1h30m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Connect only to participants of this name; repeatable.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Join so many times with the same media. The file is read once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    copies: u16,
    /// The room's join token.
    #[arg(long)]
    token: Option<String>,
    /// Print one JSON object with what was sent instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pipelines: PipelineArgs,
}

/// One share of a screen: when, and from which open file.
struct Share {
    span: Span,
    source: MediaSource,
    track: OutboundTrack,
}

/// A source of camera or microphone or both, that is open.
struct Main {
    source: MediaSource,
    tracks: Vec<OutboundTrack>,
    has_an_end: bool,
}

/// What the loop does next.
enum Next {
    /// One of the sources is over, or broken.
    Over(usize, Result<Vec<Sent>>),
    /// The screen is to be shared, or no longer.
    Switch,
}

/// Feeds until the end of the file, of the time, of the room, or until stopped.
///
/// # Errors
/// The user's for flags and files, before anything is joined; the room's where it refuses or goes away.
pub async fn run(args: FeedArgs) -> Result<()> {
    let mut stop = std::pin::pin!(super::interrupted()?);
    let named = args.media.is_some() || [&args.video, &args.audio, &args.stamp].iter().any(|flag| flag.is_some());
    if !named && args.screen.is_empty() {
        return Err(Error::user(
            "there is nothing to send: name a file, or give --video, --audio, --screen or --stamp",
        ));
    }
    let room = signal::for_url(&args.room)?;
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let main = open_main(&args, &library)?;
    let mut shares = open_shares(&args, &library)?;
    let tracks: Vec<OutboundTrack> = main.iter().flat_map(|m| &m.tracks).cloned().collect();

    let mut sessions = Vec::new();
    for copy in 1..=args.copies {
        let name = if args.copies == 1 { args.name.clone() } else { format!("{} {copy}", args.name) };
        let how = JoinAs { name: name.clone(), role: Role::Participant, token: args.token.clone() };
        let config = ClientConfig {
            publish: tracks.clone(),
            only: args.only.clone(),
            observer: Some(logged(&name)),
            ..ClientConfig::default()
        };
        sessions.push(Client::join(room.as_ref(), how, config).await?);
        tracing::info!("{name} has joined");
    }
    let start = Instant::now();
    let mut playing = main
        .into_iter()
        .map(|m| Ok((m.has_an_end, Pump::play(m.source, m.tracks, start)?)))
        .collect::<Result<Vec<(bool, Pump)>>>()?;
    let mut shared: Option<(Pump, Duration, String)> = None;
    let mut sent = Vec::new();

    let outcome = loop {
        let switch = match &shared {
            Some((_, until, _)) => Some(*until),
            None => shares.last().map(|s| s.span.from),
        };
        if playing.is_empty() && switch.is_none() {
            break Ok(EndReason::MediaOver);
        }
        let next = tokio::select! {
            biased;
            () = &mut stop => break Ok(EndReason::Stopped),
            () = until(start, args.duration) => break Ok(EndReason::TimeUp),
            (reason, ..) = select_all(sessions.iter_mut().map(|s| s.ended().boxed())) => {
                break Err(Error::room(reason.to_string()));
            }
            (index, ended) = ended(&mut playing) => Next::Over(index, ended),
            () = until(start, switch) => Next::Switch,
        };
        match next {
            Next::Over(index, report) => {
                let _ = playing.remove(index);
                match report {
                    Ok(report) => add(&mut sent, report),
                    Err(e) => break Err(e),
                }
                if !playing.iter().any(|(has_an_end, _)| *has_an_end) {
                    break Ok(EndReason::MediaOver);
                }
            }
            Next::Switch => match shared.take() {
                Some((pump, _, stream)) => {
                    add(&mut sent, pump.stop().await?);
                    for session in &sessions {
                        session.unpublish(&stream).await;
                    }
                }
                None => {
                    let Some(share) = shares.pop() else { continue };
                    for session in &sessions {
                        session.publish(share.track.clone()).await;
                    }
                    let stream = share.track.label().stream.clone();
                    let pump = Pump::play(share.source, vec![share.track], start + share.span.from)?;
                    shared = Some((pump, share.span.until.unwrap_or(Duration::MAX), stream));
                }
            },
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    for pump in playing.into_iter().map(|(_, pump)| pump).chain(shared.map(|(pump, ..)| pump)) {
        add(&mut sent, pump.stop().await?);
    }
    tokio::time::sleep(GRACE).await;
    futures_util::future::join_all(sessions.into_iter().map(Client::leave)).await;
    report(&args, &outcome.as_ref().map_or("the room ended".to_owned(), EndReason::to_string), seconds, &sent);
    outcome.map(drop)
}

/// Opens what camera and microphone show: one file for both, or a source for each.
fn open_main(args: &FeedArgs, library: &Library) -> Result<Vec<Main>> {
    let open = |origin: Origin, wants: fn(MediaKind) -> bool| {
        let source = MediaSource::open(library, &origin, wants, args.repeat, &args.encoding())?;
        tell(&source);
        let tracks = source.tracks().iter().map(|t| outbound("main", t, false)).collect();
        Ok(Main { source, tracks, has_an_end: what::has_an_end(&origin) })
    };
    if let Some(text) = &args.stamp {
        let [picture, sound] = what::stamped(text)?;
        let picture = open(picture, |kind| kind == MediaKind::Video)?;
        return Ok(vec![picture, open(sound, |kind| kind == MediaKind::Audio)?]);
    }
    let media = |no: bool| args.media.clone().filter(|_| !no).map(Origin::File);
    let picture = args.video.as_ref().map(|v| what::picture(library, std::slice::from_ref(v), args.slide_seconds));
    let sound = args.audio.as_ref().map(|text| what::sound(library, text));
    let (picture, sound) = (picture.transpose()?, sound.transpose()?);
    let of_both = media(args.no_video || args.no_audio || picture.is_some() || sound.is_some());
    if let Some(file) = of_both {
        return Ok(vec![open(file, |_| true)?]);
    }
    let picture = picture.or_else(|| media(args.no_video)).map(|origin| open(origin, |kind| kind == MediaKind::Video));
    let sound = sound.or_else(|| media(args.no_audio)).map(|origin| open(origin, |kind| kind == MediaKind::Audio));
    picture.into_iter().chain(sound).collect()
}

/// Says what is encoded and what is left out.
fn tell(source: &MediaSource) {
    for track in source.tracks() {
        if let Some(was) = &track.was {
            tracing::info!("{}: {was} is encoded as {}", source.name(), track.codec.name());
        }
    }
    if !source.refused().is_empty() {
        tracing::info!("{}: not sent: {}", source.name(), source.refused().join(", "));
    }
}

fn video_codec(text: &str) -> Result<Codec, String> {
    let known = Codec::ALL.into_iter().filter(|c| c.kind() == MediaKind::Video);
    let found = known.clone().find(|c| c.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("one of {}", known.map(Codec::name).collect::<Vec<_>>().join(", ").to_lowercase()))
}

impl FeedArgs {
    fn encoding(&self) -> Encoding {
        let bitrate = self.bitrate.map(|kilobits| u64::from(kilobits) * 1000);
        Encoding { codec: self.codec, bitrate, always: self.transcode }
    }
}

/// Opens every share, the last one first.
fn open_shares(args: &FeedArgs, library: &Library) -> Result<Vec<Share>> {
    if args.screen.is_empty() {
        return Ok(Vec::new());
    }
    let origin = what::picture(library, &args.screen, args.slide_seconds)?;
    let mut spans = args.screen_during.clone();
    if spans.is_empty() {
        spans.push(Span { from: args.screen_from.unwrap_or_default(), until: args.screen_until });
    }
    spans.sort_by_key(|s| s.from);
    let overlap = |pair: &[Span]| pair[0].until.is_none_or(|until| until > pair[1].from);
    if spans.iter().any(|s| s.until.is_some_and(|until| until <= s.from)) || spans.windows(2).any(overlap) {
        return Err(Error::user("the screen must be shared from before until after, and one share after the other"));
    }
    if spans.len() > SHARES {
        return Err(Error::user(format!("the screen can be shared at most {SHARES} times in one run")));
    }
    let open = |(index, span): (usize, Span)| {
        let source = MediaSource::open(library, &origin, |kind| kind == MediaKind::Video, true, &args.encoding())?;
        tell(&source);
        let track = source.tracks().first().map(|t| outbound(&format!("screen-{}", index + 1), t, true));
        let track = track.ok_or_else(|| Error::us("a source without a track"))?;
        Ok(Share { span, source, track })
    };
    spans.into_iter().enumerate().rev().map(open).collect()
}

/// A track to publish. Camera and microphone share a stream, so that receivers play them in step.
fn outbound(stream: &str, track: &Track, screen: bool) -> OutboundTrack {
    let kind = track.codec.kind();
    let source = if screen { Source::Screen } else { Source::default_for(kind) };
    OutboundTrack::new(TrackLabel { stream: stream.into(), kind, source, muted: false }, track.codec)
}

/// Where a session tells what happens; it goes to the log. 64 wait at most (policy Block; the log does not stop).
fn logged(name: &str) -> mpsc::Sender<RoomEvent> {
    let (sender, mut events) = mpsc::channel(64);
    let name = name.to_owned();
    tokio::spawn(async move {
        while let Some(happening) = events.recv().await {
            match happening {
                RoomEvent::Joined(who) => tracing::info!("{name} sees {:?} in the room", who.name),
                RoomEvent::Left { id, reason } => tracing::info!("{name} sees {id} go: {}", reason.escape_debug()),
                RoomEvent::ConnectionState { id, state } => {
                    tracing::info!("{name} to {id}: {}", state.word())
                }
                RoomEvent::Warning { id, text: warning } => {
                    tracing::warn!("{name} to {id}: {warning}")
                }
                RoomEvent::Reconnecting { cause } => {
                    tracing::warn!("{name} has lost the room and tries again: {cause}")
                }
                RoomEvent::Resumed => tracing::info!("{name} is back"),
                _ => {}
            }
        }
    });
    sender
}

/// Sleeps until `after` the start; for ever where there is no such time.
async fn until(start: Instant, after: Option<Duration>) {
    match after.and_then(|after| start.checked_add(after)) {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// The first of the sources that is over, by its place; waits for ever where there is none.
async fn ended(playing: &mut [(bool, Pump)]) -> (usize, Result<Vec<Sent>>) {
    if playing.is_empty() {
        return pending().await;
    }
    let (ended, index, _) = select_all(playing.iter_mut().map(|(_, pump)| pump.ended().boxed())).await;
    (index, ended)
}

/// Adds what another share of the same screen has sent.
fn add(sent: &mut Vec<Sent>, more: Vec<Sent>) {
    for new in more {
        match sent.iter_mut().find(|s| s.source == new.source) {
            Some(sent) => sent.add(&new),
            None => sent.push(new),
        }
    }
}

fn report(args: &FeedArgs, reason: &str, seconds: f64, sent: &[Sent]) {
    if args.json {
        let object = serde_json::json!({
            "name": args.name, "copies": args.copies, "reason": reason, "seconds": seconds, "tracks": sent,
        });
        say!("{object}");
        return;
    }
    say!("{} was there for {seconds:.1} s; {reason}.", args.name);
    for s in sent {
        let late = if s.late > 0 { format!(", {} late", s.late) } else { String::new() };
        let was = s.encoded_from.as_ref().map(|was| format!(" (from {was})")).unwrap_or_default();
        say!("  {} {}{was}: {} frames, {} kB{late}", s.source.word(), s.codec.name(), s.frames, s.bytes / 1000);
    }
}
