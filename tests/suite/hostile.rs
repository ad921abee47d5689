//! Hostile members and garbage on the network, while an honest participant is recorded, who must not lose a frame.

use crate::support::bot;
use crate::support::chatter::Chatter;
use crate::support::glass::Glass;
use crate::support::meeting::{Meeting, Overheard};
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::raw::Raw;
use crate::support::studio::subscribed;
use crate::support::synthetic::label;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};
use roombot::client::{Client, ClientConfig};
use roombot::room::media::{Codec, Source};
use roombot::room::participant::Role;
use roombot::rtc::OutboundTrack;
use roombot::signal::{Candidate, Description, JoinAs, Signal, SignalEvent, for_url};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UdpSocket;

fn description(kind: &str, sdp: &str) -> Signal {
    Signal::Description(Description { kind: kind.into(), sdp: sdp.into() })
}

fn candidate(text: &str) -> Signal {
    let candidate = text.to_owned();
    Signal::Candidate(Some(Candidate { candidate, sdp_mid: None, sdp_m_line_index: Some(9), username_fragment: None }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_messages_and_descriptions_concern_nobody_else() {
    needed!(tools(&["ffmpeg"]));
    let meeting = Meeting::start().await;
    let room = meeting.room.clone();
    let no_media = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let section = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\n";
    let sdps = [
        String::new(),
        "v=0\r\n".into(),
        no_media.into(),
        "\0\u{1b}[2J garbage \u{202e}".into(),
        "m=".repeat(1000),
        format!("{no_media}{section}"),
        format!("{no_media}{}", section.repeat(200)),
        format!(
            "{no_media}{section}a=ice-ufrag:x\r\na=ice-pwd:y\r\na=fingerprint:sha-256 00:11\r\na=setup:actpass\r\n"
        ),
        format!("{no_media}{section}a=rtpmap:96 \r\na=fmtp:96 \r\na=extmap:999999999999 x\r\na=ssrc:-1 cname:x\r\n"),
        "x".repeat(200_000),
    ];
    let trouble = async {
        let (mut raw, recorder) = Raw::join_recorder(&room, "Mallory").await;
        for text in
            ["", "{", "[]", "null", r#"{"type":"signal"}"#, r#"{"type":"tracks","tracks":7}"#, r#"{"type":"join"}"#]
        {
            raw.say(text).await;
        }
        for sdp in &sdps {
            for kind in ["offer", "answer", "pranswer", "rollback", "\u{1b}[31mred"] {
                raw.signal(&recorder, description(kind, sdp)).await;
            }
        }
        // Still heard: it was told, not thrown out.
        raw.say(r#"{"type":"ping"}"#).await;
        pause(Duration::from_secs(2), "what is not refused at once may do harm later").await;
    };
    let (summary, _dir) = meeting.endure(trouble).await;
    let warnings = &summary.manifest.warnings;
    assert!(warnings.iter().any(|w| w.starts_with("mallory:") && w.contains("refused")), "{warnings:#?}");
    let shown = bot::run(&["show", summary.folder.to_str().expect("UTF-8")]).await;
    assert_clean(&shown.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_candidates_are_not_tried() {
    needed!(tools(&["ffmpeg"]));
    let meeting = Meeting::start().await;
    let room = meeting.room.clone();
    let trouble = async {
        let (mut raw, recorder) = Raw::join_recorder(&room, "Mallory").await;
        let sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:abcd\r\n\
            a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\na=sctp-port:5000\r\na=fingerprint:sha-256 ";
        let fingerprint = vec!["AB"; 32].join(":");
        for text in
            ["", "candidate:", "candidate:1 1 udp 1 not-an-address 9 typ host", "\0", "candidate:1 1 tcp 1 ::1 0 typ x"]
        {
            raw.signal(&recorder, candidate(text)).await;
        }
        raw.signal(&recorder, description("offer", &format!("{sdp}{fingerprint}\r\n"))).await;
        for n in 0..10_000u32 {
            let last = n % 250 + 1;
            let address = format!("127.{}.{}.{last}", n / 250 + 1, n % 7);
            let text = format!("candidate:{n} 1 udp {} {address} 9 typ host", 2_000_000_000 - n);
            raw.signal(&recorder, candidate(&text)).await;
        }
        raw.signal(&recorder, Signal::Candidate(None)).await;
        pause(Duration::from_secs(2), "what is not refused at once may do harm later").await;
    };
    let (summary, _dir) = meeting.endure(trouble).await;
    let warnings = &summary.manifest.warnings;
    assert!(warnings.iter().any(|w| w.contains("more than 256 network addresses")), "{warnings:#?}");
}

/// Addresses in candidates and descriptions.
fn addresses(signals: &[Signal]) -> Vec<SocketAddr> {
    let lines = signals.iter().flat_map(|signal| match signal {
        Signal::Candidate(Some(candidate)) => vec![candidate.candidate.clone()],
        Signal::Description(description) => description.sdp.lines().map(str::to_owned).collect(),
        Signal::Candidate(None) | Signal::Refused(_) | Signal::Anew(_) => Vec::new(),
    });
    let parse = |line: String| {
        let words: Vec<&str> = line.split("candidate:").nth(1)?.split(' ').collect();
        Some(SocketAddr::new(words.get(4)?.parse().ok()?, words.get(5)?.parse().ok()?))
    };
    let mut found: Vec<SocketAddr> = lines.filter_map(parse).collect();
    found.sort();
    found.dedup();
    found
}

/// The first value of an attribute in the descriptions.
fn attribute(signals: &[Signal], name: &str) -> Option<String> {
    let start = format!("a={name}:");
    signals.iter().find_map(|signal| match signal {
        Signal::Description(d) => d.sdp.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned),
        Signal::Candidate(_) | Signal::Refused(_) | Signal::Anew(_) => None,
    })
}

/// A STUN message (RFC 8489) of this type with these attributes.
fn stun(kind: u16, attributes: &[(u16, &[u8])], random: &mut StdRng) -> Vec<u8> {
    let mut body = Vec::new();
    for (id, value) in attributes {
        body.extend_from_slice(&id.to_be_bytes());
        body.extend_from_slice(&(value.len() as u16).to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let id: [u8; 12] = random.random();
    [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), &[0x21, 0x12, 0xa4, 0x42], &id, &body].concat()
}

/// One packet of garbage that knows its victim.
fn garbage(random: &mut StdRng, overheard: &Overheard) -> Vec<u8> {
    let honest = attribute(&overheard.by_honest, "ssrc").and_then(|line| line.split(' ').next()?.parse::<u32>().ok());
    let ssrc = if random.random() { honest.expect("an SSRC in the offer") } else { random.random() };
    let ufrag = |signals: &[Signal]| attribute(signals, "ice-ufrag").unwrap_or_default();
    let user = format!("{}:{}", ufrag(&overheard.by_recorder), ufrag(&overheard.by_honest));
    let mut rest = vec![0; random.random_range(0..1400)];
    random.fill_bytes(&mut rest);
    let header = |first: u8, second: u8| [&[first, second][..], &random_pair(rest.len()), &ssrc.to_be_bytes()].concat();
    let mut packet = match random.random_range(0..10) {
        0 => rest,
        1 => [&[0x80, 96, 0, 1, 0, 0, 0, 9][..], &ssrc.to_be_bytes(), &rest].concat(),
        2 => [&[0xbf, 0xe0, 0, 1, 0, 0, 0, 9][..], &ssrc.to_be_bytes(), &rest].concat(),
        // A goodbye, a report, a request for a key frame.
        3 => [header(0x81, 203), rest].concat(),
        4 => [header(0x80, 200), rest].concat(),
        5 => [header(0x81, 206), rest].concat(),
        // Binding requests: without proof, and with a false one; and answers that nobody asked for.
        6 => stun(0x0001, &[(6, user.as_bytes()), (0x25, &[]), (8, &[7; 20])], random),
        7 => stun(*[0x0101, 0x0111, 0x0001, 0x0011].choose(random).expect("one"), &[(9, &[0, 0, 4, 1])], random),
        // DTLS in plain text: a fatal alert, a goodbye, a greeting of nonsense.
        8 => {
            let alert = *[[2, 40], [1, 0], [2, 0]].choose(random).expect("one");
            [&[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2][..], &alert].concat()
        }
        _ => [&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 3][..], &(rest.len() as u16).to_be_bytes(), &[1], &rest].concat(),
    };
    if random.random_ratio(1, 4) {
        packet.truncate(random.random_range(0..=packet.len()));
    }
    packet
}

/// The length field of an RTCP packet, right or nearly so.
fn random_pair(length: usize) -> [u8; 2] {
    ((length / 4) as u16).to_be_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_udp_ports_is_dropped() {
    needed!(tools(&["ffmpeg"]));
    let meeting = Meeting::start().await;
    let overheard = meeting.overheard.lock().expect("lock").clone();
    let targets = addresses(&overheard.by_recorder);
    assert!(!targets.is_empty(), "{overheard:#?}");
    let trouble = async {
        let mut random = StdRng::seed_from_u64(7);
        let mut sent = 0;
        for target in targets.iter().filter(|target| target.is_ipv4()).cycle().take(3000) {
            let packet = garbage(&mut random, &overheard);
            let socket = UdpSocket::bind("0.0.0.0:0").await.expect("a socket");
            sent += usize::from(socket.send_to(&packet, target).await.is_ok());
            if sent.is_multiple_of(20) {
                pause(Duration::from_millis(10), "a flood that sockets can hold").await;
            }
        }
        assert!(sent > 2900, "only {sent} packets of garbage were sent");
    };
    let (summary, _dir) = meeting.endure(trouble).await;
    assert_eq!(summary.manifest.tracks.len(), 2);
    assert!(summary.manifest.participants.iter().all(|p| p.present.len() == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_chat_is_cut_down() {
    needed!(tools(&["ffmpeg"]));
    let meeting = Meeting::start().await;
    let room = meeting.room.clone();
    let trouble = async {
        let chatter = Chatter::join(&room, "Chatty").await;
        let sent = chatter.flood(Duration::from_secs(4)).await;
        println!("{sent} messages in 4 s");
        assert!(sent > 1000, "no flood: {sent} messages");
        chatter.close().await;
    };
    let (summary, _dir) = meeting.endure(trouble).await;
    let timeline = std::fs::read_to_string(summary.folder.join("timeline.jsonl")).expect("a timeline");
    let chat = timeline.lines().filter(|line| line.contains(r#""event":"chat""#)).count();
    assert!((1..=300).contains(&chat), "{chat} texts are kept");
    assert!(summary.manifest.warnings.iter().any(|w| w.contains("too fast")), "{:#?}", summary.manifest.warnings);
    assert!(!timeline.contains('\u{1b}') && !timeline.contains('\u{7}'), "control characters are escaped");
}

/// Fails where text could steer a terminal.
fn assert_clean(text: &str) {
    let bad: Vec<char> = text.chars().filter(|c| c.is_control() && *c != '\n').collect();
    assert!(bad.is_empty(), "{bad:?} in {text:?}");
    for c in ['\u{202e}', '\u{2066}', '\u{200f}'] {
        assert!(!text.contains(c), "{c:?} in {text:?}");
    }
}

/// Everything below a folder.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
        if entry.is_dir() {
            found.extend(everything(&entry));
        } else {
            found.push(entry);
        }
    }
    found
}

const NAMES: [&str; 5] =
    ["../../../../tmp/escaped", "/etc/passwd", "\u{1b}]0;owned\u{7}\u{1b}[2J\r\nx", "\u{202e}gnp.exe", "CON"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_only_names() {
    needed!(tools(&["ffmpeg"]));
    let emoji = "💣".repeat(64);
    // A room of another kind may hand names on as they are: the recorder sees them so.
    let meeting = Meeting::start_seen(|room| {
        Box::new(Glass::clear(room).hearing(|event| match event {
            SignalEvent::Joined(mut p) => {
                if let Some(number) = p.name.strip_prefix("guest") {
                    p.name = number.parse().ok().and_then(|n: usize| NAMES.get(n)).unwrap_or(&"").to_string();
                }
                Some(SignalEvent::Joined(p))
            }
            other => Some(other),
        }))
    })
    .await;
    let (room, parent) = (meeting.room.clone(), meeting.parent().to_owned());
    // A second recorder, the binary, sees what the server makes of such names.
    let out = tempfile::tempdir().expect("a folder");
    let recorder = bot::Bot::record(&room, out.path(), &["--as", "Second \u{1b}[31m", "--color", "never"]);
    let second = std::sync::Mutex::new(None);
    let trouble = async {
        let names = (0..NAMES.len()).map(|n| format!("guest{n}")).chain([emoji, NAMES[0].into(), NAMES[2].into()]);
        let mut guests = Vec::new();
        for (n, name) in names.enumerate() {
            let voice = OutboundTrack::new(label(&format!("../{n}\u{1b}"), Source::Mic), Codec::Opus);
            let how = JoinAs { name, role: Role::Participant, token: None };
            let config = ClientConfig {
                publish: vec![voice.clone()],
                only: vec!["Recorder".into(), "Second [31m".into()],
                ..ClientConfig::default()
            };
            let guest = Client::join(for_url(&room).expect("a room").as_ref(), how, config).await.expect("joined");
            guests.push((guest, voice));
        }
        let voices: Vec<&OutboundTrack> = guests.iter().map(|(_, voice)| voice).collect();
        subscribed(&voices).await;
        let dump = crate::support::dump::Dump::load(Codec::Opus);
        dump.play_by(0..100, 0, |frame, _| voices.iter().for_each(|voice| voice.send(&frame))).await;
        for (guest, _) in guests {
            guest.leave().await;
        }
        recorder.interrupt();
        *second.lock().expect("lock") = Some(recorder.ended(Duration::from_secs(20)).await);
    };
    let (summary, _dir) = meeting.endure(trouble).await;
    let second = second.into_inner().expect("lock").expect("it ended");
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_clean(&second.stdout);
    assert_clean(&second.stderr);
    assert_eq!(summary.manifest.participants.iter().filter(|p| p.role == Role::Participant).count(), NAMES.len() + 4);

    for folder in [parent, out.path().to_owned()] {
        let files = everything(&folder);
        assert!(files.iter().filter(|file| file.parent().is_some_and(|p| p.ends_with("tracks"))).count() >= 8);
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str()).expect("UTF-8");
            assert!(file.starts_with(&folder) && !name.contains("..") && name.len() < 120, "{name}");
            assert_clean(name);
        }
    }
    assert!(!Path::new("/tmp/escaped.mic.1.webm").exists());
    let shown = bot::run(&["show", summary.folder.to_str().expect("UTF-8")]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert_clean(&shown.stdout);
    assert!(shown.stdout.contains("escaped"), "{}", shown.stdout);
}
