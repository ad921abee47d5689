//! Descriptions that the other side does not take: it is told by name, and begun anew.

use crate::support::browser::{Browser, Page};
use crate::support::needs::{needed, tools};
use crate::support::raw::Raw;
use crate::support::sender::PATIENCE;
use crate::support::server::TestServer;
use crate::support::tape::{Recorded, Tape};
use crate::support::within;
use roombot::recording::timeline::{Entry, Event};
use roombot::room::media::Source;
use roombot::signal::Signal;
use roombot::signal::protocol::{ServerMessage, SignalBody};

/// The page refuses so many answers.
fn refuses(answers: u32) -> String {
    format!(
        "{{
            const set = RTCPeerConnection.prototype.setRemoteDescription;
            let left = {answers};
            RTCPeerConnection.prototype.setRemoteDescription = async function (description) {{
                if (description.type === 'answer' && left-- > 0) throw new Error('this will not do');
                return set.call(this, description);
            }};
        }}"
    )
}

async fn join(browser: &Browser, server: &TestServer, room: &str, answers: u32) -> Page {
    let url = server.page(room, "name=Alice&auto=1&width=320&height=180&fps=10");
    let page = browser.page_with(&url, &refuses(answers)).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    page
}

fn warned(entry: &Entry) -> Option<()> {
    matches!(&entry.event, Event::Warning { message } if message.contains("alice") && message.contains("this will not do"))
        .then_some(())
}

fn warnings(recorded: &Recorded) -> usize {
    recorded.manifest.warnings.iter().filter(|warning| warning.contains("this will not do")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_refused_is_told_and_another_connection_is_made() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let tape = Tape::start(&server.room("refused"));
    let _page = join(&browser, &server, "refused", 1).await;
    tape.until("the refusal", warned).await;
    crate::recorded::records(&tape, "alice").await;
    let recorded = tape.finish().await;
    assert_eq!(warnings(&recorded), 1);
    assert!(recorded.track("alice", Source::Camera).frames > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_refuses_every_answer_is_told_of_and_not_tried_for_ever() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let tape = Tape::start(&server.room("refused"));
    let page = join(&browser, &server, "refused", 1000).await;
    let all = |entry: &Entry| warned(entry);
    let mut seen = 0;
    within(40, "four refusals", async {
        while seen < 4 {
            seen = tape.timeline().iter().filter_map(all).count();
            crate::support::moment().await;
        }
    })
    .await;
    crate::support::pause(std::time::Duration::from_secs(2), "no fifth one").await;
    assert_eq!(tape.timeline().iter().filter_map(all).count(), 4);
    page.close().await;
}

/// A stranger that does not know the message gets it and goes on; one that sends nonsense is told what is wrong with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_description_that_makes_no_sense_is_refused_aloud() {
    let server = TestServer::start().await;
    let tape = Tape::start(&server.room("refused"));
    within(40, "the recorder joins", async {
        while tape.timeline().is_empty() {
            crate::support::moment().await;
        }
    })
    .await;
    let (mut raw, recorder) = Raw::join_recorder(&server.room("refused"), "Alice").await;
    raw.signal(&recorder, Signal::description("offer", "v=0\r\nnonsense")).await;
    let why = loop {
        if let ServerMessage::Signal { body: SignalBody::Refused { refused, .. }, .. } =
            raw.hear().await.expect("the socket lives")
        {
            break refused;
        }
    };
    assert!(!why.is_empty());
    tape.until("the warning", |entry| {
        matches!(&entry.event, Event::Warning { message } if message.contains("alice") && message.contains("refused"))
            .then_some(())
    })
    .await;
}
