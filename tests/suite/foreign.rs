//! Members on WebRTC stacks that are not ours, in a real room, with the program's recorder, `echo` and `send`: each behaviour on each.

use crate::support::behaviour;
use crate::support::foreign::Stack;
use crate::support::needs::{needed, tools};

macro_rules! behaviours {
    ($($stack:ident is $kind:expr;)*) => {
        $(mod $stack {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn joins_late_and_is_recorded_with_chat_and_file() {
                needed!(tools(&["ffmpeg"]));
                needed!(behaviour::recorded($kind).await);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn shares_a_screen_and_unshares_it() {
                needed!(tools(&["ffmpeg"]));
                needed!(behaviour::screen($kind).await);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn adds_tracks_of_another_codec_in_mid_call() {
                needed!(tools(&["ffmpeg"]));
                needed!(behaviour::codecs($kind).await);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn gets_its_media_and_its_screen_back() {
                needed!(behaviour::echo($kind).await);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn gets_its_media_back_from_a_bot_that_comes_later() {
                needed!(behaviour::bot($kind).await);
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn hears_and_tells_people_and_takes_a_file() {
                needed!(behaviour::talk($kind).await);
            }
        })*
    };
}

behaviours! {
    aiortc is Stack::Aiortc;
    libdatachannel is Stack::Libdatachannel;
}
