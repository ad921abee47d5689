//! `docs/interop.md`, made of what the tests of this program say: `ROOMBOT_INTEROP=1 cargo test --test suite -- the_page_of_interop` runs those that
//! are named here, one after the other, and writes the page anew. Otherwise it is looked whether the page is of these tests.

use crate::support::foreign::Stack;
use crate::support::needs::find;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a member does, by the names of its tests; those of `foreign.rs` are there once for each stack.
const MEMBER: &[(&str, &str)] = &[
    (
        "joins late, sends VP8 and Opus, a chat message and a file, leaves; recorded",
        "joins_late_and_is_recorded_with_chat_and_file",
    ),
    ("in the room before the recorder; shares a screen in mid-call and stops that", "shares_a_screen_and_unshares_it"),
    ("adds H.264 to a call with VP8, and a microphone, in mid-call", "adds_tracks_of_another_codec_in_mid_call"),
    ("gets camera, microphone and screen back from `echo`", "gets_its_media_and_its_screen_back"),
    ("in the room before `echo`, gets its media back", "gets_its_media_back_from_a_bot_that_comes_later"),
    ("receives a person's media, chat both ways, takes a file of `send`", "hears_and_tells_people_and_takes_a_file"),
];

/// The same of our page in Chromium, and what other servers and clients do.
const OTHERS: &[(&str, &str, &str)] = &[
    ("Chromium", "sends VP8 and Opus; recorded", "recorded::a_browser_is_recorded_whole_in_vp8"),
    ("Chromium", "sends VP9; recorded", "recorded::a_browser_is_recorded_whole_in_vp9"),
    ("Chromium", "sends H.264; recorded", "recorded::a_browser_is_recorded_whole_in_h264"),
    ("Chromium", "sends AV1; recorded", "recorded::a_browser_is_recorded_whole_in_av1"),
    ("Chromium", "sends stereo; recorded", "stereo::a_browser_sends_stereo_and_every_output_keeps_it"),
    ("Chromium", "shares a screen and stops that, twice", "page::a_screen_is_shared_and_unshared_twice"),
    ("Chromium", "gets its media back from `echo`", "echo::an_echo_comes_back_soon_and_whole"),
    ("Chromium", "chat and files to the recorder", "talk::what_is_said_and_sent_in_the_page_is_recorded"),
    ("Chromium", "takes a file of `send`", "talk::a_sent_file_reaches_the_page"),
    ("simple-peer 9", "group call, recorded and filtered", "guide::a_group_call_with_what_simple_peer_nine_asks_for"),
    ("Janus", "three browsers, recorded by both", "janus::three_browsers_are_recorded_by_the_bot_and_by_janus_itself"),
];

/// Kinds of input that the recorder is tried with.
const INPUTS: &[(&str, &str)] = &[
    ("a picture that changes its size, in four codecs", "recorded::a_picture_that_changes_its_size_stays_in_its_file"),
    ("a jump of the RTP time", "senders::a_jump_of_the_timestamp_is_a_gap_and_no_splice"),
    (
        "sequence numbers and times that begin anew on the same SSRC",
        "senders::a_sender_that_begins_anew_gets_a_new_file",
    ),
    ("simulcast: a camera in three layers, in a room", "layers::a_camera_in_three_layers_is_recorded_once_and_whole"),
    ("the same by WHIP", "layers::a_camera_in_three_layers_comes_whole_by_whip"),
    ("a larger layer in another codec", "raw_layers::a_better_layer_in_another_codec_is_the_one_that_is_recorded"),
    ("layers that start and stop", "raw_layers::layers_that_start_and_stop_leave_no_hole_that_another_could_fill"),
    (
        "another codec on the same SSRC in mid-call: what `echo` gives back",
        "codec_changes::what_changes_its_codec_is_given_back_all_along",
    ),
    ("the same: viewers over WHEP", "codec_changes::viewers_follow_a_sender_into_another_codec"),
    ("the same: `verify` of a room", "codec_changes::the_judge_goes_on_counting_when_the_codec_changes"),
    (
        "H.264 with B-frames: film, `--each`, `verify`",
        "bframes::pictures_that_are_sent_before_earlier_ones_are_shown_in_order_by_everything",
    ),
    (
        "H.264 with parameter sets in the description only",
        "odd_inputs::parameter_sets_of_the_description_make_a_playable_file",
    ),
    ("another SSRC without a word", "odd_inputs::a_source_that_changes_in_silence_is_recorded_and_given_back"),
    ("G.711, G.722 and H.265 only", "odd_inputs::what_is_offered_in_codecs_that_are_not_recorded_is_told"),
    ("RED, FEC and video orientation are offered", "odd_inputs::what_is_not_understood_is_not_accepted"),
    (
        "padding, payloads of no length, DTX, an RTP time that jumps by an hour",
        "odd_inputs::padding_silence_and_jumps_of_the_clock_lose_nothing",
    ),
    (
        "media that cannot be begun: no parameter sets, noise, unknown payload type",
        "losses::what_cannot_be_begun_is_told_in_seconds_and_by_the_exit_code",
    ),
    (
        "a screen that is drawn once and then sends nothing",
        "still::a_screen_that_was_drawn_once_is_shared_until_it_is_unshared",
    ),
    ("a track that is taken away and comes again", "connection::a_track_that_is_taken_away_ends_and_may_come_again"),
    (
        "an answer that the other side refuses",
        "refused::an_answer_that_was_refused_is_told_and_another_connection_is_made",
    ),
    ("a description that makes no sense", "refused::a_description_that_makes_no_sense_is_refused_aloud"),
];

/// All rows: who, what, and the test.
fn rows() -> Vec<(String, &'static str, String)> {
    let mut rows = Vec::new();
    for (stack, module) in [(Stack::Aiortc, "aiortc"), (Stack::Libdatachannel, "libdatachannel")] {
        rows.extend(MEMBER.iter().map(|(what, test)| (stack.name(), *what, format!("foreign::{module}::{test}"))));
    }
    rows.extend(OTHERS.iter().map(|(who, what, test)| ((*who).to_owned(), *what, (*test).to_owned())));
    rows.extend(INPUTS.iter().map(|(what, test)| (String::new(), *what, (*test).to_owned())));
    rows
}

/// What a test of this program comes to.
fn outcome(test: &str) -> &'static str {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--exact", test]).env_remove("ROOMBOT_INTEROP").env_remove("ROOMBOT_SKIPPED");
    let output = command.output().expect("it runs");
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    match output.status.success() {
        true if words.contains("skipped: ") => "not tried here",
        true if words.contains("1 passed") => "works",
        true if words.contains("1 ignored") => "does not work yet",
        true => panic!("there is no test {test}"),
        false => "fails",
    }
}

fn chromium() -> String {
    let output = find("chromium").and_then(|program| Command::new(program).arg("--version").output().ok());
    let words = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    words.split_whitespace().nth(1).map_or("Chromium".into(), |version| format!("Chromium {version}"))
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/interop.md")
}

/// The page, with what was found out of each row.
fn written(found: impl Fn(&str) -> &'static str) -> String {
    let mut text = "# Interop

Made by `ROOMBOT_INTEROP=1 cargo test --test suite -- the_page_of_interop`, which runs the tests of the last column. The members on aiortc and
libdatachannel (`tests/foreign`) are written from [the room protocol](protocol.md) alone and run against a real room, recorder, `echo` and `send`: a
recording counts if it is complete, without a warning, and ffmpeg decodes every frame of it.

| stack | behaviour | result | test |
|---|---|---|---|
"
    .to_owned();
    let mut inputs = false;
    for (who, what, test) in rows() {
        if who.is_empty() && !std::mem::replace(&mut inputs, true) {
            text += "\n## Kinds of input\n\nWhat a sender may do, and the recorder has to get right or to tell. Unit tests of `src/rtc` have more, at the level of packets.\n\n| input | result | test |\n|---|---|---|\n";
        }
        let result = found(&test);
        let who = if who == "Chromium" { chromium() } else { who };
        let _ = match inputs {
            true => writeln!(text, "| {what} | {result} | `{test}` |"),
            false => writeln!(text, "| {who} | {what} | {result} | `{test}` |"),
        };
    }
    text
}

#[test]
fn the_page_of_interop_is_of_tests_that_there_are() {
    if std::env::var_os("ROOMBOT_INTEROP").is_some() {
        std::fs::write(page(), written(outcome)).expect("written");
    }
    let text = std::fs::read_to_string(page()).expect("docs/interop.md");
    for (who, what, test) in rows() {
        let line = text.lines().find(|line| line.contains(&format!("| `{test}` |")));
        let line = line.unwrap_or_else(|| panic!("docs/interop.md has no {test}: make it anew"));
        assert!(line.contains(&format!("| {what} |")) && line.starts_with(&format!("| {who}")), "{test}: {line}");
        let (module, name) =
            (test.split("::").next().unwrap_or_default(), test.rsplit("::").next().unwrap_or_default());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/suite/{module}.rs"));
        let source = std::fs::read_to_string(source).expect("a module of the suite");
        assert!(source.contains(&format!("fn {name}()")), "there is no {test}");
    }
}
