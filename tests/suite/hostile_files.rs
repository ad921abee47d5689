//! Offers that are lies, floods or nonsense: each ends in its named refusal, nothing exists outside the folder, and an honest
//! participant loses neither a frame nor a file.

use crate::support::cargo::{below, file, hash, received};
use crate::support::chatter::Chatter;
use crate::support::line::Line;
use crate::support::meeting::Meeting;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::within;
use futures_util::future::join_all;
use roombot::client::Outcome;
use roombot::recording::manifest::FileState;
use roombot::transfer::PROTOCOL;
use roombot::transfer::store::Limits;
use serde_json::json;
use std::time::Duration;

/// What a hostile sender does on a channel of its own.
enum Act {
    Say(String),
    Send(Vec<u8>),
    /// Waits for a message of this type.
    Await(&'static str),
}
use Act::{Await, Say, Send};

/// One hostile offer: what it is, whether on an ordered channel, what is done, and the word that it ends with.
struct Row(&'static str, bool, Vec<Act>, &'static str);

/// The largest file that is taken, in bytes.
const LARGEST: u64 = 1 << 20;

fn offer_with(change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> Act {
    let id = format!("{:032x}", rand::random::<u128>());
    let mut offer = json!({ "type": "offer", "id": id, "name": "evil.bin", "size": 100 });
    change(offer.as_object_mut().expect("an object"));
    Say(offer.to_string())
}
fn put(key: &str, value: serde_json::Value) -> Act {
    offer_with(|offer| {
        offer.insert(key.into(), value);
    })
}
fn lack(key: &str) -> Act {
    offer_with(|offer| {
        offer.remove(key);
    })
}
fn offer(size: u64) -> Act {
    put("size", size.into())
}
fn say(text: &str) -> Act {
    Say(text.to_owned())
}
fn end(data: &[u8]) -> Act {
    Say(json!({ "type": "end", "sha256": hash(data) }).to_string())
}
fn piece(at: u64, data: &[u8]) -> Act {
    Send([&at.to_be_bytes()[..], data].concat())
}

/// Everything that is refused.
fn refused() -> Vec<Row> {
    let bad = |what, act| Row(what, true, vec![act], "bad-offer");
    let breach = |what, acts, word| Row(what, true, acts, word);
    let loose = |what, acts, word| Row(what, false, acts, word);
    let accepted = |size| vec![offer(size), Await("accept")];
    let then = |mut acts: Vec<Act>, more: Vec<Act>| {
        acts.extend(more);
        acts
    };
    let mut rows = vec![
        bad("nothing", say("")),
        bad("no JSON", say("hello \u{1b}[2J")),
        bad("an empty object", say("{}")),
        bad("an array", say(r#"["offer", {}]"#)),
        bad("null", say("null")),
        bad("deep nesting", say(&"[".repeat(8000))),
        bad("an unknown message", say(r#"{"type":"moon"}"#)),
        bad("an acceptance first", say(r#"{"type":"accept","offset":0,"until":5}"#)),
        bad("an end first", end(b"")),
        bad("bytes first", Send(vec![0; 5000])),
        bad("no id", lack("id")),
        bad("a short id", put("id", "x".into())),
        bad("a long id", put("id", "x".repeat(65).into())),
        bad("a path for an id", put("id", "../../../../etc/cron.d/x".into())),
        bad("a number for an id", put("id", 12_345_678.into())),
        bad("no name", lack("name")),
        bad("a number for a name", put("name", 7.into())),
        bad("a list for a name", put("name", json!(["a", "b"]))),
        bad("a name without end", put("name", "n".repeat(1025).into())),
        bad("no size", lack("size")),
        bad("a negative size", put("size", json!(-1))),
        bad("half a byte", put("size", json!(1.5))),
        bad("a size beyond numbers", put("size", json!(1e30))),
        bad("a size beyond JavaScript's", put("size", json!(1u64 << 53))),
        bad("a text for a size", put("size", "100".into())),
        bad("null for a size", put("size", json!(null))),
        bad("not a number", say(r#"{"type":"offer","id":"12345678","name":"a","size":NaN}"#)),
        bad("two sizes", say(r#"{"type":"offer","id":"12345678","name":"a","size":1,"size":99999999999}"#)),
        bad("a long MIME type", put("mime", "m".repeat(129).into())),
        bad("a number for a MIME type", put("mime", 1.into())),
        bad("a short hash", put("sha256", "abc".into())),
        bad("a hash that is none", put("sha256", "z".repeat(64).into())),
        bad("an offer without end", put("more", "x".repeat(9000).into())),
        breach("a file that is too large", vec![offer(LARGEST + 1)], "too-large"),
        breach("the largest number", vec![offer((1 << 53) - 1)], "too-large"),
        breach("more bytes than announced", then(accepted(100), vec![Send(vec![0; 101])]), "flood"),
        breach("bytes for an empty file", then(accepted(0), vec![Send(vec![0; 1])]), "flood"),
        breach("an empty chunk", then(accepted(100), vec![Send(vec![])]), "bad-message"),
        breach("an offer in the middle", then(accepted(100), vec![offer(100)]), "bad-message"),
        breach("credit for itself", then(accepted(100), vec![say(r#"{"type":"more","until":9}"#)]), "bad-message"),
        breach(
            "an acknowledgement",
            then(accepted(100), vec![say(&json!({"type":"ack","sha256":hash(b"")}).to_string())]),
            "bad-message",
        ),
        breach("chat in the middle", then(accepted(100), vec![say("hello")]), "bad-message"),
        breach("an end without a hash", then(accepted(100), vec![say(r#"{"type":"end"}"#)]), "bad-message"),
        breach(
            "too few bytes, again and again",
            then(
                accepted(100),
                vec![
                    Send(vec![0; 50]),
                    end(&[0; 50]),
                    Await("again"),
                    Send(vec![0; 50]),
                    end(&[0; 50]),
                    Await("again"),
                    end(b""),
                ],
            ),
            "mismatch",
        ),
        breach(
            "a wrong hash, again and again",
            then(
                accepted(3),
                vec![
                    Send(b"abc".to_vec()),
                    end(b"x"),
                    Await("again"),
                    Send(b"abc".to_vec()),
                    end(b"y"),
                    Await("again"),
                    Send(b"abc".to_vec()),
                    end(b"z"),
                ],
            ),
            "mismatch",
        ),
        breach(
            "another hash than was offered",
            vec![
                offer_with(|o| {
                    o.insert("size".into(), 1.into());
                    o.insert("sha256".into(), hash(b"other").into());
                }),
                Await("accept"),
                Send(b"a".to_vec()),
                end(b"a"),
                Await("again"),
                Send(b"a".to_vec()),
                end(b"a"),
                Await("again"),
                Send(b"a".to_vec()),
                end(b"a"),
            ],
            "mismatch",
        ),
        loose("a chunk without a position", then(accepted(100), vec![Send(vec![0; 7])]), "bad-message"),
        loose("a position without a chunk", then(accepted(100), vec![piece(0, b"")]), "bad-message"),
        loose("a chunk beyond the end", then(accepted(100), vec![piece(98, b"abc")]), "flood"),
        loose("a position beyond numbers", then(accepted(100), vec![piece(u64::MAX, b"abc")]), "flood"),
        loose("a position that turns over", then(accepted(100), vec![piece(u64::MAX - 1, b"abc")]), "flood"),
        loose("chunks that overlap", then(accepted(100), vec![piece(10, b"abc"), piece(11, b"abc")]), "bad-message"),
        loose("the same chunk twice", then(accepted(100), vec![piece(0, b"abc"), piece(0, b"abc")]), "bad-message"),
        breach("silence after the offer", accepted(100), "idle"),
        breach("silence before the offer", vec![], "idle"),
        breach("silence before the end", then(accepted(1), vec![Send(vec![1])]), "idle"),
    ];
    let tiny = (1..=5000).map(|n| piece(200 * n, &[0; 100])).collect();
    rows.push(loose("thousands of small chunks out of order", then(accepted(LARGEST), tiny), "flood"));
    rows
}

/// Names that lie, and where their files end up.
const NAMES: &[(&str, &str)] = &[
    ("../../../../tmp/evil", "evil"),
    ("/etc/passwd", "passwd"),
    ("..\\..\\boot.ini", "boot.ini"),
    (".ssh/authorized_keys", "authorized_keys"),
    ("..", "file"),
    ("", "file (2)"),
    (".bashrc", "bashrc"),
    ("CON", "_CON"),
    ("-rf", "_-rf"),
    ("a\0b\nc\u{1b}[2J", "abc[2J"),
    ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
    ("manifest.json", "manifest.json"),
    ("Manifest.JSON", "Manifest (2).JSON"),
    ("x.part", "x.part_"),
    ("timeline.jsonl/", "timeline.jsonl"),
];

async fn perform(line: &Line, acts: &[Act]) -> Option<String> {
    for act in acts {
        match act {
            Say(text) => line.say(text).await,
            Send(bytes) => line.send(bytes).await,
            Await(kind) => drop(line.hear_of(kind).await?),
        }
    }
    Some(line.verdict().await).filter(|verdict| verdict != "closed")
}

/// The same on a new channel; on the next one where it was closed without a word. The library uses the number of a closed channel
/// again before the other side has reset it, which ends the new one: `rtc/channel.rs` tries again as well.
async fn perform_surely(chatter: &Chatter, ordered: bool, acts: &[Act]) -> Option<String> {
    for _ in 0..3 {
        let verdict = perform(&chatter.line(PROTOCOL, ordered).await, acts).await;
        if verdict.is_some() {
            return verdict;
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_offer_ends_in_its_named_refusal() {
    needed!(tools(&["ffmpeg"]));
    let rows = refused();
    assert!(rows.len() >= 40, "{}", rows.len());
    let limits =
        Limits { file: LARGEST, at_once: 4, idle: Duration::from_millis(800), reserve: 0, ..Limits::default() };
    let meeting = Meeting::start_taking(limits).await;
    let room = meeting.room.clone();
    let out = tempfile::tempdir().expect("a folder");
    let honest: Vec<_> = (0..3).map(|n| file(out.path(), &format!("honest-{n}.bin"), 900_000, n)).collect();
    let mut sendings: Vec<_> = honest.iter().map(|path| meeting.send(path)).collect();
    let parent = meeting.parent().to_owned();
    let trouble = async {
        let chatter = Chatter::join(&room, "Mallory").await;
        for Row(what, ordered, acts, word) in &rows {
            let verdict = within(30, what, perform_surely(&chatter, *ordered, acts)).await;
            assert_eq!(verdict.as_deref(), Some(*word), "{what}");
        }
        for (name, _) in NAMES {
            // PK: an archive is bytes like any other; nobody unpacks it.
            let zip = b"PK\x03\x04 ../../../../evil.txt";
            let acts = [
                offer_with(|o| {
                    o.insert("name".into(), (*name).into());
                    o.insert("size".into(), zip.len().into());
                }),
                Await("accept"),
                Send(zip.to_vec()),
                end(zip),
            ];
            assert_eq!(perform_surely(&chatter, true, &acts).await.as_deref(), Some("ack"), "{name:?}");
        }
        // As many as may come at once, and one more; and one of them twice.
        let mut open = Vec::new();
        for _ in 0..4 {
            let line = chatter.line(PROTOCOL, true).await;
            line.say(
                &json!({"type":"offer","id":format!("slot-{:08}", open.len()),"name":"slot","size":9}).to_string(),
            )
            .await;
            line.hear_of("accept").await.expect("accepted");
            open.push(line);
        }
        for (id, word) in [("one-more-1", "too-many"), ("slot-00000003", "busy")] {
            let line = chatter.line(PROTOCOL, true).await;
            // None of them is idle yet, however slow this machine is.
            for slot in &open {
                slot.send(b"x").await;
            }
            line.say(&json!({"type":"offer","id":id,"name":"slot","size":9}).to_string()).await;
            assert_eq!(line.verdict().await, word);
        }
        drop(open);
        for sending in &mut sendings {
            let outcome = within(20, "the honest file", sending.outcome()).await;
            assert!(matches!(outcome, Outcome::Received { .. }), "{outcome:?}");
        }
        chatter.close().await;
    };
    let (summary, _folder) = meeting.endure(trouble).await;
    for (n, path) in honest.iter().enumerate() {
        received(&summary, &format!("files/alice/honest-{n}.bin"), path);
    }
    let theirs = below(&summary.folder.join("files/mallory"));
    for (_, name) in NAMES {
        assert!(theirs.iter().any(|found| found == name), "{name} is not among {theirs:?}");
    }
    let others: Vec<_> = theirs.iter().filter(|found| NAMES.iter().all(|(_, name)| name != found)).collect();
    assert!(others.iter().all(|found| found.ends_with(".part")), "{others:?}");
    let kept = summary.manifest.files.iter().filter(|entry| entry.participant == "mallory");
    assert_eq!(kept.filter(|entry| entry.state == FileState::Received).count(), NAMES.len());
    // Nothing beside the recording, nothing beside its own.
    assert_eq!(std::fs::read_dir(&parent).expect("the folder").count(), 1);
    let mut own: Vec<_> = below(&summary.folder).into_iter().filter(|path| !path.contains('/')).collect();
    own.sort();
    assert_eq!(own, ["manifest.json", "timeline.jsonl"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_offers_are_a_thousand_refusals() {
    needed!(tools(&["ffmpeg"]));
    let meeting = Meeting::start_taking(Limits { file: 10, reserve: 0, ..Limits::default() }).await;
    let room = meeting.room.clone();
    let trouble = async {
        let chatter = Chatter::join(&room, "Mallory").await;
        for _ in 0..10 {
            let one = async || perform_surely(&chatter, true, &[offer(11)]).await;
            let verdicts = join_all((0..100).map(|_| one())).await;
            assert!(verdicts.iter().all(|verdict| verdict.as_deref() == Some("too-large")), "{verdicts:?}");
        }
        // And all of them on one channel, where only the first is one.
        let line = chatter.line(PROTOCOL, true).await;
        for _ in 0..10_000 {
            if let Say(text) = offer(11) {
                line.say(&text).await;
            }
        }
        assert_eq!(line.verdict().await, "too-large");
        chatter.close().await;
    };
    let (summary, _folder) = meeting.endure(trouble).await;
    assert!(summary.manifest.files.is_empty());
    let timeline = std::fs::read_to_string(summary.folder.join("timeline.jsonl")).expect("a timeline");
    assert_eq!(timeline.lines().filter(|line| line.contains("too-large")).count(), 100, "the rest is not worth a line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_framing_is_not_believed_either() {
    needed!(tools(&["ffmpeg"]));
    let limits = Limits { file: LARGEST, idle: Duration::from_secs(1), reserve: 0, ..Limits::default() };
    let meeting = Meeting::start_taking(limits).await;
    let room = meeting.room.clone();
    let announce = |name: &str, size: u64| json!({ "fileName": name, "fileSize": size }).to_string();
    let trouble = async {
        let chatter = Chatter::join(&room, "Mallory").await;
        let line = chatter.line("", true).await;
        line.say(&announce("../good", 5)).await;
        line.send(b"abc").await;
        line.say("how are you?").await;
        line.send(b"de").await;
        line.say(&announce("empty", 0)).await;
        line.send(b"").await;
        line.say(&announce("overshoot", 5)).await;
        line.send(b"abcdef").await;
        line.say(&announce("huge", LARGEST + 1)).await;
        line.send(&[0; 10_000]).await;
        line.say(&announce("interrupted", 5)).await;
        line.send(b"ab").await;
        line.say(&announce("after", 2)).await;
        line.send(b"ab").await;
        line.say(&announce("idle", 5)).await;
        line.send(b"ab").await;
        pause(Duration::from_millis(2500), "longer than a sender may be idle").await;
        line.send(b"cde").await;
        line.say(&announce("closed", 5)).await;
        line.send(b"ab").await;
        line.say("goodbye").await;
        line.flush().await;
        chatter.close().await;
    };
    let (summary, _folder) = meeting.endure(trouble).await;
    let files = below(&summary.folder.join("files/mallory"));
    assert_eq!(files, ["after", "closed.part", "empty", "good", "idle.part", "interrupted.part", "overshoot.part"]);
    assert_eq!(std::fs::read(summary.folder.join("files/mallory/good")).expect("read"), b"abcde");
    let timeline = std::fs::read_to_string(summary.folder.join("timeline.jsonl")).expect("a timeline");
    let chats = timeline.lines().filter(|line| line.contains(r#""event":"chat""#)).count();
    assert_eq!(chats, 2, "{timeline}");
    let vtt = std::fs::read_to_string(summary.folder.join("chat.vtt")).expect("subtitles");
    assert!(vtt.contains("<v Mallory>how are you?") && vtt.contains("<v Mallory>goodbye"), "{vtt}");
}
