//! Who speaks in a film: people, not what else is heard from them, and several at once.

use crate::film::{Made, job};
use crate::support::needs::{needed, tools};
use roombot::film::layout::Policy;
use roombot::film::{Job, compose};
use roombot::media::Library;
use roombot::recording::timeline::Event;
use roombot::room::media::Source;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A sound of ffmpeg's as Opus.
fn sound(folder: &Path, name: &str, source: &str) -> PathBuf {
    let path = folder.join(name);
    let words = format!("-v error -y -f lavfi -i {source} -t 8 -c:a libopus");
    let done = Command::new("ffmpeg").args(words.split_whitespace()).arg(&path).status().expect("ffmpeg runs");
    assert!(done.success(), "ffmpeg {words}");
    path
}

/// The cues of a participant as seconds from and to.
fn cues(document: &str, who: &str) -> Vec<(f64, f64)> {
    let seconds = |text: &str| {
        let parts = text.trim().split(':').map(|part| part.parse::<f64>().expect("a number"));
        parts.fold(0.0, |sum, part| sum * 60.0 + part)
    };
    let lines: Vec<&str> = document.lines().collect();
    let cues = lines.windows(2).filter(|pair| pair[1] == format!("<v {who}>{who}"));
    cues.map(|pair| pair[0].split_once("-->").map(|(from, to)| (seconds(from), seconds(to))).expect("times")).collect()
}

#[test]
fn people_speak_at_once_and_noise_and_tones_do_not() {
    needed!(tools(&["ffmpeg"]));
    let folder = tempfile::tempdir().expect("a folder");
    let pink = sound(folder.path(), "pink.webm", "anoisesrc=color=pink:amplitude=0.02");
    let loud = sound(folder.path(), "loud.webm", "anoisesrc=color=brown:amplitude=0.5");
    let tone = sound(folder.path(), "tone.webm", "sine=frequency=440");
    let mut made = Made::new(folder.path());
    made.manifest.duration_ms = 8000;
    for who in ["alice", "bob", "carol", "pink", "loud", "tone"] {
        made.person(who, 0, 8000);
    }
    made.track("alice.webm", "alice", Source::Mic, (0, 8000));
    // Bob speaks from 3 s to 5.3 s of his file, Carol from 5.4 s to 7.2 s of hers.
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    made.part_of(&fixture("bob.webm"), "bob", Source::Mic, (0, 6000), 2000, None);
    made.track("carol.mkv", "carol", Source::Mic, (0, 8000));
    for (path, who) in [(&pink, "pink"), (&loud, "loud"), (&tone, "tone")] {
        made.part_of(path, who, Source::Mic, (0, 8000), 0, None);
    }
    // What a recorder took for speech.
    made.event(0, Event::Speech { participant: "tone".into(), speaks: true });
    made.event(0, Event::Speaker { participant: Some("tone".into()) });
    let recording = made.save();
    let out = folder.path().join("sound.opus");
    let summary =
        compose(&Library::default(), &Job { video: None, out: Some(out), ..job(&recording, Policy::Speaker) }, |_| {
            Ok(())
        });
    let subtitles = summary.expect("a film").subtitles;
    let speakers = subtitles.iter().find(|path| path.to_string_lossy().contains("speakers")).expect("speakers");
    let document = std::fs::read_to_string(speakers).expect("written");
    for who in ["pink", "loud", "tone"] {
        assert_eq!(cues(&document, who), [], "{who}: {document}");
    }
    // With what is still the same speech after its end.
    for (who, from, to) in [("alice", 0.3, 2.7), ("bob", 1.0, 3.3), ("carol", 5.4, 7.2)] {
        let cues = cues(&document, who);
        let [(first, last)] = cues[..] else { panic!("{who}: {document}") };
        assert!((from - 0.1..from + 0.6).contains(&first) && (to..to + 1.3).contains(&last), "{who}: {document}");
    }
}
