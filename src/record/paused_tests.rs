//! A recorder that is paused does not tell what is missing, and counts what comes.

use super::*;
use crate::recording::account::PAUSED;

/// Seconds pass in which the recorder looks, as the capture thread does, what does not come.
fn pass(rig: &mut Rig, unconnected: &mut Unconnected, seconds: u32) {
    for _ in 0..seconds {
        if !rig.shared.context.is_paused() {
            rig.connection.watch(rig.now, &mut rig.shared);
            unconnected.watch(|_| false, rig.now, &mut rig.shared);
        }
        rig.now += SECOND;
    }
}

fn pause(rig: &mut Rig, unconnected: &mut Unconnected, paused: bool) {
    rig.shared.context.set_paused(paused, rig.now);
    if !paused {
        rig.connection.resume(rig.now);
        unconnected.resume(rig.now);
    }
}

#[test]
fn a_pause_is_no_time_in_which_media_is_waited_for() {
    let (mut rig, mut unconnected) = (Rig::new(&[CAMERA]), Unconnected::default());
    pass(&mut rig, &mut unconnected, 3);
    pause(&mut rig, &mut unconnected, true);
    pass(&mut rig, &mut unconnected, 60);
    pause(&mut rig, &mut unconnected, false);
    pass(&mut rig, &mut unconnected, 4);
    assert_eq!(rig.warnings(), [""; 0], "only 4 s have passed since the pause");
    pass(&mut rig, &mut unconnected, 3);
    let warnings = rig.warnings();
    assert!(warnings[0].starts_with("alice camera: labelled, nothing arrived for "), "{warnings:?}");
    let manifest = rig.end_unconnected(unconnected);
    assert_eq!((manifest.status, manifest.reasons[0].cause.as_str()), (Status::Partial, "nothing-arrived"));
}

#[test]
fn what_nobody_owns_is_no_loss_during_a_pause() {
    let mut rig = Rig::new(&[]);
    let mut unowned = Unowned::default();
    let (start, log) = (rig.start, &mut rig.shared.context.log);
    let mut add = |unowned: &mut Unowned, ssrc, reason, second: u64| {
        let at = start + Duration::from_secs(second);
        unowned.add(Counted { ssrc, reason, packets: 10, bytes: 100, first: at, last: at }, log);
    };
    (0..9).for_each(|n| add(&mut unowned, 1, PAUSED, n));
    // One of which the word of whose it is came a moment after the pause.
    (0..9).for_each(|n| add(&mut unowned, 2, PAUSED, n));
    add(&mut unowned, 2, "unowned", 9);
    assert_eq!(rig.warnings(), [""; 0]);
    unowned.end(rig.now, &mut rig.shared.context.log);
    rig.sent = 190;
    let (manifest, ..) = rig.end();
    assert_eq!((manifest.status, manifest.reasons.len(), manifest.unrecorded.len()), (Status::Complete, 0, 2));
    let paused = |ssrc| manifest.unrecorded.iter().find(|stream| stream.ssrc == ssrc).map(|s| s.dropped[PAUSED]);
    assert_eq!((paused(1), paused(2)), (Some(90), Some(90)));
}

#[test]
fn what_nobody_owns_for_long_is_a_loss_beside_a_pause() {
    let mut rig = Rig::new(&[]);
    let mut unowned = Unowned::default();
    let start = rig.start;
    for second in 0..9 {
        let at = start + Duration::from_secs(second);
        let reason = if second < 5 { PAUSED } else { "unowned" };
        unowned.add(
            Counted { ssrc: 1, reason, packets: 10, bytes: 100, first: at, last: at },
            &mut rig.shared.context.log,
        );
    }
    unowned.end(rig.now, &mut rig.shared.context.log);
    rig.sent = 90;
    let (manifest, ..) = rig.end();
    assert_eq!((manifest.status, manifest.reasons.len()), (Status::Partial, 1), "{manifest:#?}");
}
