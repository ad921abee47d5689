//! Files over data channels: what arrives is what was sent, whatever happens on the way.

use crate::support::cargo::{below, file, received};
use crate::support::studio::{Studio, finish};
use crate::support::{pair, within};
use bytes::BytesMut;
use roombot::rtc::{ChannelSpec, Wake};
use roombot::session::{FileSend, Outcome};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_size_arrive_in_both_orders() {
    let studio = Studio::new();
    let alice = studio.sender("Alice", vec![]).await;
    let recording = studio.recorder(None).await;
    let out = tempfile::tempdir().expect("a folder");
    let mut sendings = Vec::new();
    let sizes = [0, 1, 1199, 65_536, 65_537, 1 << 20, 9_999_999];
    for (n, size) in sizes.into_iter().enumerate() {
        for ordered in [true, false] {
            let name = format!("{size}-{ordered}.bin");
            let path = file(out.path(), &name, size, n as u64);
            let sending = alice.send_file(recording.me(), FileSend { ordered, ..FileSend::new(&path) });
            sendings.push((name, path, sending));
        }
    }
    for (name, _, sending) in &mut sendings {
        let outcome = within(30, name, sending.outcome()).await;
        assert!(matches!(outcome, Outcome::Received { .. }), "{name}: {outcome:?}");
    }
    let summary = finish(recording).await;
    for (name, path, _) in &sendings {
        received(&summary, &format!("files/alice/{name}"), path);
    }
    assert_eq!(below(&summary.folder.join("files")).len(), sendings.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore]
async fn speed() {
    for (wake, name) in [(Wake::default(), "batched"), (Wake::OnArrival, "arrival")] {
        for size in [16 << 10, 64 << 10, 256 << 10] {
            let (mut a, mut b) = pair::connect(vec![], wake, None).await;
            within(10, "a", a.connected()).await;
            let spec = ChannelSpec { label: "x".into(), protocol: "p".into(), ordered: true };
            let ours = a.peer.open_channel(spec).await.opened().await.expect("open");
            let theirs = within(10, "b", b.channel("p")).await;
            let total = 200 << 20;
            let start = Instant::now();
            let chunk = vec![7u8; size];
            let send = async {
                for _ in 0..total / size {
                    assert!(ours.send(BytesMut::from(&chunk[..])).await);
                }
            };
            let recv = async move {
                let mut got = 0;
                while got < total {
                    got += theirs.recv().await.expect("message").data.len();
                }
            };
            let handle = tokio::spawn(recv);
            send.await;
            handle.await.unwrap();
            let s = start.elapsed().as_secs_f64();
            println!("{name} {size}: {:.1} MB/s (max {})", total as f64 / 1e6 / s, ours.max_message_size());
        }
    }
}
