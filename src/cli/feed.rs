//! `roombot feed`: joins a room and sends files, images, test pictures and tones as camera, microphone and screen. Media is sent without
//! re-encoding if the receivers support its codec.

mod origins;
mod playout;
mod report;

use super::args::{PipelineArgs, Span, duration, span};
use super::bot_session::{Attached, BotSession};
use super::control_socket::ControlSocket;
use super::runtime::interrupted;
use crate::client::event::RoomEvent;
use crate::client::{Client, ClientConfig};
use crate::error::{Error, Result};
use crate::media::{Encoding, Library, MediaSource, Origin, Track};
use crate::room::end::{EndReason, INTERNAL};
use crate::room::media::{Codec, MediaKind, Source};
use crate::room::participant::{Role, TrackLabel};
use crate::rtc::OutboundTrack;
use crate::signal::{self, JoinAs};
use futures_util::FutureExt;
use futures_util::future::{pending, select_all};
use playout::{Playout, Sent};
use report::{Report, add, reason_text};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The most screen shares in one run; each keeps its file open.
const MOST_SHARES: usize = 32;
/// How long the last packets may take to leave.
const GRACE: Duration = Duration::from_millis(150);

/// Join a room and send media: files, images, test pictures, tones.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot feed ws://127.0.0.1:8080/rooms/standup fixtures/alice.webm --as Alice --loop
  roombot feed ws://127.0.0.1:8080/rooms/standup talk.mp4 --as Bob --screen slides.webm --screen-during 5s..12s
  roombot feed ws://127.0.0.1:8080/rooms/standup --as Bot --video pattern:ball,1280x720@30 --audio tone:440
  roombot feed ws://127.0.0.1:8080/rooms/standup --as Alice --stamp alice,1280x720@30
  roombot feed ws://127.0.0.1:8080/rooms/standup --as Deck --screen slides/ --slide-seconds 20s
  roombot feed whip+http://127.0.0.1:8080/whip/standup talk.webm --as Alice
  roombot feed ws://127.0.0.1:8080/rooms/standup fixtures/bob.webm --as Load --copies 16 --only Recorder --loop --for 60s

VP8, VP9, AV1, H.264 without B-frames, and Opus are sent without re-encoding, at almost no cost. A file cannot produce a key frame on \
request, so newcomers see video from its next key frame on (encode with ffmpeg -g 30, or use --transcode). Everything else that GStreamer \
decodes is encoded live, at most 1280x720 and 30 frames per second. `roombot pipelines list source/` lists the generated sources.
Stops at the end of the files, on --for, on Ctrl-C or when the room closes.")]
pub struct FeedArgs {
    /// The room: ws://host:port/rooms/NAME or wss://…; whip+http(s)://… for a WHIP endpoint (docs/rooms.md lists other kinds).
    #[arg(value_name = "ROOM_URL")]
    room: String,
    /// File whose first video and audio tracks are sent as camera and microphone.
    #[arg(value_name = "MEDIA")]
    media: Option<PathBuf>,
    /// Camera: a file, an image, or pattern:NAME[,WIDTHxHEIGHT[@FPS]].
    #[arg(long, value_name = "SOURCE", conflicts_with = "no_video")]
    video: Option<String>,
    /// Microphone: a file, tone[:HZ], silence, noise, or ticks (one per second).
    #[arg(long, value_name = "SOURCE", conflicts_with = "no_audio")]
    audio: Option<String>,
    /// Camera and microphone with the stamps of this participant (name or number), generated live, for `roombot verify` and
    /// `roombot check`: NAME[,WIDTHxHEIGHT[@FPS]].
    #[arg(long, value_name = "NAME", conflicts_with_all = ["media", "video", "audio", "no_video", "no_audio"])]
    stamp: Option<String>,
    /// The participant's name in the room; copies are numbered.
    #[arg(long = "as", value_name = "NAME", default_value = "Feed")]
    name: String,
    /// Screen share: a file, pattern:NAME, or images and folders of images as slides (repeatable). Each share starts from the beginning
    /// and loops.
    #[arg(long, value_name = "SOURCE")]
    screen: Vec<String>,
    /// Duration of each slide: 5s, 500ms, 1m.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    slide_seconds: Duration,
    /// When to share the screen, counted from joining; repeatable. By default all the time.
    #[arg(long, value_name = "FROM..UNTIL", value_parser = span, requires = "screen")]
    screen_during: Vec<Span>,
    /// Start sharing the screen after this time.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "screen", conflicts_with = "screen_during")]
    screen_from: Option<Duration>,
    /// Stop sharing the screen after this time.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "screen", conflicts_with = "screen_during")]
    screen_until: Option<Duration>,
    /// Do not send the file's audio.
    #[arg(long, conflicts_with = "no_video")]
    no_audio: bool,
    /// Do not send the file's video.
    #[arg(long)]
    no_video: bool,
    /// Loop the file without a gap.
    #[arg(long = "loop")]
    repeat: bool,
    /// Re-encode media that could be sent unchanged: key frames on request, for the CPU time of about one core.
    #[arg(long)]
    transcode: bool,
    /// Codec of encoded video: vp8, vp9, h264, av1.
    #[arg(long, value_parser = video_codec, default_value = "vp8")]
    codec: Codec,
    /// Bitrate of encoded video in kbit/s; by default chosen by its size.
    #[arg(long, value_name = "KILOBITS", value_parser = clap::value_parser!(u32).range(20..=50_000))]
    bitrate: Option<u32>,
    /// Leave after this long: 30s, 5m, 1h30m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Connect only to participants with this name; repeatable.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Join this many times with the same media. The file is read once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    copies: u16,
    /// The room's join token.
    #[arg(long, env = "ROOMBOT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Listen here for commands: say, stop, status (docs/control.md). A Unix socket that only you can connect to.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Print one JSON object with what was sent instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pipelines: PipelineArgs,
}

/// One screen share: when, and its opened source.
struct Share {
    span: Span,
    source: MediaSource,
    track: OutboundTrack,
}

/// An opened source of camera or microphone or both.
struct MainSource {
    source: MediaSource,
    tracks: Vec<OutboundTrack>,
    finite: bool,
}

/// What the loop has to handle next.
enum Next {
    /// The source at this index has ended, or failed.
    Ended(usize, Result<Vec<Sent>>),
    /// A screen share starts or stops.
    ToggleScreen,
}

/// Sends until the media, the time or the room ends, or the user stops it.
///
/// # Errors
/// [`Error::User`], before it joins: flags and files. [`Error::Room`]: the room refused or closed.
pub async fn run(args: FeedArgs) -> Result<()> {
    let mut stop = std::pin::pin!(interrupted()?);
    let has_main = args.media.is_some() || [&args.video, &args.audio, &args.stamp].iter().any(|flag| flag.is_some());
    if !has_main && args.screen.is_empty() {
        return Err(Error::user("nothing to send: name a file, or use --video, --audio, --screen or --stamp"));
    }
    let session = Arc::new(BotSession::default());
    let _control = match &args.control {
        Some(path) => Some(ControlSocket::listen(path, session.clone()).await?),
        None => None,
    };
    let room = signal::for_url(&args.room)?;
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let main = open_main(&args, &library)?;
    let mut shares = open_shares(&args, &library)?;
    let tracks: Vec<OutboundTrack> = main.iter().flat_map(|m| &m.tracks).cloned().collect();

    let mut clients = Vec::new();
    for copy in 1..=args.copies {
        let name = if args.copies == 1 { args.name.clone() } else { format!("{} {copy}", args.name) };
        let how = JoinAs { name: name.clone(), role: Role::Participant, token: args.token.clone() };
        let config = ClientConfig {
            publish: tracks.clone(),
            only: args.only.clone(),
            observer: Some(log_events(&name)),
            ..ClientConfig::default()
        };
        clients.push(tokio::select! {
            joined = Client::join(room.as_ref(), how, config) => joined?,
            reason = session.stopped() => return Err(Error::room(format!("{reason} before the room was joined"))),
        });
        tracing::info!("{name} has joined");
    }
    session.attach(Attached {
        rooms: clients.iter().map(Client::handle).collect(),
        status: Box::new(|| serde_json::json!({})),
        command: None,
    });
    let start = Instant::now();
    let mut playing = main
        .into_iter()
        .map(|m| Ok((m.finite, Playout::start(m.source, m.tracks, start)?)))
        .collect::<Result<Vec<(bool, Playout)>>>()?;
    let mut shared: Option<(Playout, Duration, String)> = None;
    let mut sent = Vec::new();

    let outcome = loop {
        let switch = match &shared {
            Some((_, until, _)) => Some(*until),
            None => shares.last().map(|s| s.span.from),
        };
        if playing.is_empty() && switch.is_none() {
            break Ok(EndReason::SharesOver);
        }
        let next = tokio::select! {
            biased;
            () = &mut stop => break Ok(EndReason::Stopped),
            reason = session.stopped() => break Ok(reason),
            () = until(start, args.duration) => break Ok(EndReason::TimeUp),
            (reason, ..) = select_all(clients.iter_mut().map(|s| s.ended().boxed())) => {
                break Err(Error::room(reason.to_string()).coded(reason.code()));
            }
            (index, ended) = ended(&mut playing) => Next::Ended(index, ended),
            () = until(start, switch) => Next::ToggleScreen,
        };
        match next {
            Next::Ended(index, report) => {
                let _ = playing.remove(index);
                match report {
                    Ok(report) => add(&mut sent, report),
                    Err(e) => break Err(e),
                }
                if !playing.iter().any(|(finite, _)| *finite) {
                    break Ok(EndReason::MediaOver);
                }
            }
            Next::ToggleScreen => match shared.take() {
                Some((pump, _, stream)) => {
                    add(&mut sent, pump.stop().await?);
                    for client in &clients {
                        client.unpublish(&stream).await;
                    }
                }
                None => {
                    let Some(share) = shares.pop() else { continue };
                    for client in &clients {
                        client.publish(share.track.clone()).await;
                    }
                    let stream = share.track.label().stream.clone();
                    let pump = Playout::start(share.source, vec![share.track], start + share.span.from)?;
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
    futures_util::future::join_all(clients.into_iter().map(Client::leave)).await;
    let reason = outcome.as_ref().map_or("the room ended".to_owned(), reason_text);
    let (reason_code, exit_code) = match &outcome {
        Ok(reason) => (reason.code(), 0),
        Err(error) => (error.code().unwrap_or(INTERNAL), error.exit_code()),
    };
    let report = Report {
        name: &args.name,
        copies: args.copies,
        reason: &reason,
        reason_code,
        exit_code,
        seconds,
        tracks: &sent,
    };
    report.print(args.json);
    outcome.map(drop)
}

/// Opens the sources of camera and microphone: one file for both, or one each.
fn open_main(args: &FeedArgs, library: &Library) -> Result<Vec<MainSource>> {
    let open = |origin: Origin, wants: fn(MediaKind) -> bool| {
        let source = MediaSource::open(library, &origin, wants, args.repeat, &args.encoding())?;
        log_tracks(&source);
        let tracks = source.tracks().iter().map(|t| outbound("main", t, false)).collect();
        Ok(MainSource { source, tracks, finite: origins::is_finite(&origin) })
    };
    if let Some(text) = &args.stamp {
        let [picture, sound] = origins::stamped(text)?;
        let picture = open(picture, |kind| kind == MediaKind::Video)?;
        return Ok(vec![picture, open(sound, |kind| kind == MediaKind::Audio)?]);
    }
    let media = |no: bool| args.media.clone().filter(|_| !no).map(Origin::File);
    let picture = args.video.as_ref().map(|v| origins::video(library, std::slice::from_ref(v), args.slide_seconds));
    let sound = args.audio.as_ref().map(|text| origins::audio(library, text));
    let (picture, sound) = (picture.transpose()?, sound.transpose()?);
    let of_both = media(args.no_video || args.no_audio || picture.is_some() || sound.is_some());
    if let Some(file) = of_both {
        return Ok(vec![open(file, |_| true)?]);
    }
    let picture = picture.or_else(|| media(args.no_video)).map(|origin| open(origin, |kind| kind == MediaKind::Video));
    let sound = sound.or_else(|| media(args.no_audio)).map(|origin| open(origin, |kind| kind == MediaKind::Audio));
    picture.into_iter().chain(sound).collect()
}

/// Logs which tracks are encoded and which are not sent.
fn log_tracks(source: &MediaSource) {
    for track in source.tracks() {
        if let Some(was) = &track.encoded_from {
            tracing::info!("{}: {was} is encoded as {}", source.name(), track.codec.name());
        }
    }
    if !source.ignored().is_empty() {
        tracing::info!("{}: not sent: {}", source.name(), source.ignored().join(", "));
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

/// Opens every share; the last one comes first.
fn open_shares(args: &FeedArgs, library: &Library) -> Result<Vec<Share>> {
    if args.screen.is_empty() {
        return Ok(Vec::new());
    }
    let origin = origins::video(library, &args.screen, args.slide_seconds)?;
    let mut spans = args.screen_during.clone();
    if spans.is_empty() {
        spans.push(Span { from: args.screen_from.unwrap_or_default(), until: args.screen_until });
    }
    spans.sort_by_key(|s| s.from);
    let overlap = |pair: &[Span]| pair[0].until.is_none_or(|until| until > pair[1].from);
    if spans.iter().any(|s| s.until.is_some_and(|until| until <= s.from)) || spans.windows(2).any(overlap) {
        return Err(Error::user("screen shares must end after they start and must not overlap"));
    }
    if spans.len() > MOST_SHARES {
        return Err(Error::user(format!("the screen can be shared at most {MOST_SHARES} times in one run")));
    }
    let open = |(index, span): (usize, Span)| {
        let source = MediaSource::open(library, &origin, |kind| kind == MediaKind::Video, true, &args.encoding())?;
        log_tracks(&source);
        let track = source.tracks().first().map(|t| outbound(&format!("screen-{}", index + 1), t, true));
        let track = track.ok_or_else(|| Error::internal("a source without a track"))?;
        Ok(Share { span, source, track })
    };
    spans.into_iter().enumerate().rev().map(open).collect()
}

/// A track to publish. Camera and microphone share a stream, so that receivers synchronise them.
fn outbound(stream: &str, track: &Track, screen: bool) -> OutboundTrack {
    let kind = track.codec.kind();
    let source = if screen { Source::Screen } else { Source::default_for(kind) };
    OutboundTrack::new(TrackLabel { stream: stream.into(), kind, source, muted: false }, track.codec)
}

/// An observer that logs. It queues 64 events (policy Block).
fn log_events(name: &str) -> mpsc::Sender<RoomEvent> {
    let (sender, mut events) = mpsc::channel(64);
    let name = name.to_owned();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                RoomEvent::Joined(who) => tracing::info!("{name}: {:?} is in the room", who.name),
                RoomEvent::Left { id, reason } => tracing::info!("{name}: {id} left: {}", reason.escape_debug()),
                RoomEvent::ConnectionState { id, state } => {
                    tracing::info!("{name} to {id}: {}", state.word())
                }
                RoomEvent::Warning { id, text: warning } | RoomEvent::NothingComes { id, text: warning } => {
                    tracing::warn!("{name} to {id}: {warning}")
                }
                RoomEvent::Reconnecting { cause } => {
                    tracing::warn!("{name}: connection lost, reconnecting: {cause}")
                }
                RoomEvent::Resumed => tracing::info!("{name}: reconnected"),
                _ => {}
            }
        }
    });
    sender
}

/// Sleeps until `after` the start; forever if there is no such time.
async fn until(start: Instant, after: Option<Duration>) {
    match after.and_then(|after| start.checked_add(after)) {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// The index of the first source that ends, and its report. Pending if there is no source.
async fn ended(playing: &mut [(bool, Playout)]) -> (usize, Result<Vec<Sent>>) {
    if playing.is_empty() {
        return pending().await;
    }
    let (ended, index, _) = select_all(playing.iter_mut().map(|(_, pump)| pump.ended().boxed())).await;
    (index, ended)
}
