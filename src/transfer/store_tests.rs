//! The store on a real disk: what it accepts, what it refuses, and what it leaves.

use super::*;
use crate::transfer::message::Digest;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn offer(name: &str, size: u64) -> Offer {
    Offer {
        id: format!("id-{name:.20}-{size:08}").replace(|c: char| !c.is_ascii_alphanumeric(), "-"),
        name: name.into(),
        size,
        ..Offer::default()
    }
}
fn store(dir: &Path, limits: Limits) -> Arc<FileStore> {
    let limits = Limits { reserve: 0, ..limits };
    FileStore::new(File::open(dir).unwrap().into(), "files", limits)
}
fn admit(store: &Arc<FileStore>, owner: &str, offer: &Offer) -> Result<Part, Reason> {
    store.admit(owner, offer, Instant::now()).map_err(|refusal| refusal.reason)
}
/// Sends a file to its end; its path.
fn send(store: &Arc<FileStore>, owner: &str, name: &str, data: &[u8]) -> String {
    let mut part = admit(store, owner, &offer(name, data.len() as u64)).unwrap();
    part.append(data).unwrap();
    part.keep(Some(Digest::of(data))).unwrap().path
}

#[test]
fn a_file_gets_its_name_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), Limits::default());
    let mut part = admit(&store, "alice", &offer("../x/report.pdf", 6)).unwrap();
    let path = dir.path().join("files/alice/report.pdf");
    part.append(b"abc").unwrap();
    assert_eq!(part.path(), "alice/report.pdf.part");
    assert!(!path.exists());
    assert_eq!(part.keep(None), Err(StoreError::Mismatch), "too short");
    part.append(b"def").unwrap();
    assert_eq!(part.append(b"g").unwrap_err().reason, Reason::Flood);
    assert_eq!(part.keep(Some(Digest::of(b"other"))), Err(StoreError::Mismatch));
    let kept = part.keep(Some(Digest::of(b"abcdef"))).unwrap();
    assert_eq!(
        kept,
        StoredFile { path: "alice/report.pdf".into(), size: 6, sha256: Digest::of(b"abcdef"), offered_on: false }
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o7133,
        0,
        "not executable, for nobody else to write"
    );
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn nothing_is_made_for_what_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), Limits { file: 10, total: 30, ..Limits::default() });
    assert_eq!(admit(&store, "alice", &offer("a", 11)).unwrap_err(), Reason::TooLarge);
    assert_eq!(admit(&store, "alice", &Offer { id: "../..".into(), ..offer("a", 1) }).unwrap_err(), Reason::BadOffer);
    assert!(!dir.path().join("files").exists());
}

#[test]
fn quotas_hold_for_one_and_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { file: 10, files: 3, total: 42, at_once: 2, at_once_in_all: 3, ..Limits::default() };
    let store = store(dir.path(), limits);
    let first = admit(&store, "alice", &offer("1", 10)).unwrap();
    let second = admit(&store, "alice", &offer("2", 1)).unwrap();
    assert_eq!(admit(&store, "alice", &offer("3", 1)).unwrap_err(), Reason::TooMany, "two at once");
    let third = admit(&store, "bob", &offer("1", 10)).unwrap();
    assert_eq!(admit(&store, "carol", &offer("1", 1)).unwrap_err(), Reason::TooMany, "three at once in all");
    drop((first, second, third));
    assert_eq!(admit(&store, "alice", &offer("1", 10)).unwrap().written(), 0, "what went on is not new");
    send(&store, "alice", "4", &[0; 10]);
    assert_eq!(admit(&store, "alice", &offer("5", 1)).unwrap_err(), Reason::TooMany, "three files in all");
    send(&store, "bob", "6", &[0; 10]);
    send(&store, "bob", "7", &[0; 10]);
    assert_eq!(admit(&store, "bob", &offer("8", 1)).unwrap_err(), Reason::TooMany);
    send(&store, "carol", "9", &[0; 9]);
    assert_eq!(admit(&store, "carol", &offer("10", 9)).unwrap_err(), Reason::TooLarge, "forty bytes in all");
    assert!(admit(&store, "carol", &offer("10", 1)).is_ok());
}

#[test]
fn one_participant_fills_half_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), Limits { total: 20, ..Limits::default() });
    send(&store, "alice", "1", &[0; 6]);
    assert_eq!(admit(&store, "alice", &offer("2", 5)).unwrap_err(), Reason::TooLarge);
    send(&store, "alice", "2", &[0; 4]);
}

#[test]
fn it_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), Limits::default());
    let offer = offer("a", 6);
    let mut part = admit(&store, "alice", &offer).unwrap();
    part.append(b"abc").unwrap();
    assert_eq!(admit(&store, "alice", &offer).unwrap_err(), Reason::Busy);
    drop(part);
    assert_eq!(admit(&store, "mallory", &offer).unwrap().written(), 0, "a stranger who has the id has nothing");
    let mut part = admit(&store, "alice", &offer).unwrap();
    assert_eq!(part.written(), 3);
    part.append(b"def").unwrap();
    assert_eq!(part.keep(Some(Digest::of(b"abcdef"))).unwrap().path, "alice/a");
    // Too late, it is another file; what there was stays.
    let mut part = admit(&store, "alice", &Offer { id: "87654321".into(), ..offer.clone() }).unwrap();
    part.append(b"abc").unwrap();
    drop(part);
    let later = Instant::now() + RESUME_WITHIN;
    let part = store.admit("alice", &Offer { id: "87654321".into(), ..offer }, later).unwrap();
    assert_eq!((part.written(), part.path().as_str()), (0, "alice/a (3).part"));
    assert_eq!(std::fs::read(dir.path().join("files/alice/a (2).part")).unwrap(), b"abc");
}

#[test]
fn what_was_interrupted_holds_no_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let path = std::fs::canonicalize(dir.path()).unwrap();
    let store = store(dir.path(), Limits::default());
    let held = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.starts_with(path.join("files"))).count()
    };
    for owner in ["alice", "bob"] {
        for n in 0..20 {
            let mut part = admit(&store, owner, &offer(&n.to_string(), 6)).unwrap();
            part.append(b"abc").unwrap();
            assert!(held() > 0);
        }
    }
    assert_eq!(held(), 0);
    assert_eq!(admit(&store, "alice", &offer("0", 6)).unwrap().written(), 3);
}

#[test]
fn what_was_removed_or_changed_meanwhile_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files/alice");
    let store = store(dir.path(), Limits { total: 24, ..Limits::default() });
    let begin = |name: &str| {
        let mut part = admit(&store, "alice", &offer(name, 6)).unwrap();
        part.append(b"abc").unwrap();
        drop(part);
        files.join(format!("{name}.part"))
    };
    let resume = |name: &str| {
        let mut part = admit(&store, "alice", &offer(name, 6)).unwrap();
        let written = part.written();
        part.append(&b"abcdef"[written as usize..]).unwrap();
        let path = part.keep(Some(Digest::of(b"abcdef"))).unwrap().path;
        store.release("alice", 6);
        assert_eq!(std::fs::read(dir.path().join("files").join(&path)).unwrap(), b"abcdef");
        (written, path)
    };
    std::fs::remove_file(begin("removed")).unwrap();
    assert_eq!(resume("removed"), (0, "alice/removed (2)".to_owned()));
    // A link to it is not followed, and what it leads to is left alone.
    let (part, moved) = (begin("linked"), files.join("moved"));
    std::fs::rename(&part, &moved).unwrap();
    symlink(&moved, &part).unwrap();
    assert_eq!(resume("linked"), (0, "alice/linked (2)".to_owned()));
    assert_eq!(std::fs::read(&moved).unwrap(), b"abc");
    let part = begin("another");
    std::fs::write(files.join("new"), "mine").unwrap();
    std::fs::rename(files.join("new"), &part).unwrap();
    assert_eq!(resume("another"), (0, "alice/another (2)".to_owned()));
    assert_eq!(std::fs::read(&part).unwrap(), b"mine");
    File::options().write(true).open(begin("shorter")).unwrap().set_len(2).unwrap();
    assert_eq!(resume("shorter"), (0, "alice/shorter (2)".to_owned()));
    // What a write left that failed half way is cut off.
    File::options().write(true).open(begin("longer")).unwrap().set_len(5).unwrap();
    assert_eq!(resume("longer"), (3, "alice/longer".to_owned()));
}

#[test]
fn a_folder_that_cannot_be_opened_costs_nothing_that_was_received() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), Limits::default());
    let mut part = admit(&store, "alice", &offer("a", 6)).unwrap();
    part.append(b"abc").unwrap();
    drop(part);
    let (folder, away) = (dir.path().join("files/alice"), dir.path().join("away"));
    std::fs::rename(&folder, &away).unwrap();
    symlink(&away, &folder).unwrap();
    assert_eq!(admit(&store, "alice", &offer("a", 6)).unwrap_err(), Reason::Broken);
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    assert_eq!(admit(&store, "alice", &offer("a", 6)).unwrap().written(), 3);
}

#[test]
fn restarting_forgets_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), Limits::default());
    let mut part = admit(&store, "alice", &offer("a", 4)).unwrap();
    part.append(b"xxxx").unwrap();
    part.restart().unwrap();
    part.append(b"good").unwrap();
    part.keep(Some(Digest::of(b"good"))).unwrap();
    assert_eq!(std::fs::read(dir.path().join("files/alice/a")).unwrap(), b"good");
}

#[test]
fn nothing_is_overwritten_and_no_link_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let files = dir.path().join("files");
    std::fs::create_dir_all(files.join("alice")).unwrap();
    symlink(&outside, files.join("bob")).unwrap();
    symlink(outside.join("new"), files.join("alice/link")).unwrap();
    symlink(outside.join("new"), files.join("alice/part.part")).unwrap();
    std::fs::write(files.join("alice/there"), "mine").unwrap();
    let store = store(dir.path(), Limits::default());
    assert_eq!(admit(&store, "bob", &offer("a", 1)).unwrap_err(), Reason::Broken);
    assert_eq!(send(&store, "alice", "link", b"1"), "alice/link (2)");
    assert_eq!(send(&store, "alice", "part", b"1"), "alice/part (2)");
    assert_eq!(send(&store, "alice", "THERE", b"1"), "alice/THERE", "another name, on this file system");
    assert_eq!(send(&store, "alice", "there", b"1"), "alice/there (2)");
    // Somebody takes the name while the part grows.
    let mut part = admit(&store, "alice", &offer("race", 1)).unwrap();
    std::fs::write(files.join("alice/race"), "mine").unwrap();
    part.append(b"1").unwrap();
    assert_eq!(part.keep(None).unwrap().path, "alice/race (2)");
    assert_eq!(std::fs::read(files.join("alice/there")).unwrap(), b"mine");
    assert_eq!(std::fs::read(files.join("alice/race")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    for owner in ["", "..", "a/b", ".hidden"] {
        assert_eq!(admit(&store, owner, &offer("a", 1)).unwrap_err(), Reason::Broken, "{owner:?}");
    }
}

#[test]
fn a_full_disk_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { reserve: u64::MAX / 2, ..Limits::default() };
    let store = FileStore::new(File::open(dir.path()).unwrap().into(), "files", limits);
    assert_eq!(admit(&store, "alice", &offer("a", 1)).unwrap_err(), Reason::NoSpace);
    assert!(!dir.path().join("files").exists());
}

#[test]
fn windows_narrow_as_more_files_come() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), Limits { at_once: 100, ..Limits::default() });
    assert_eq!(store.window(), 4 << 20);
    let parts: Vec<Part> = (0..32).map(|n| admit(&store, "alice", &offer(&n.to_string(), 1)).unwrap()).collect();
    assert_eq!(store.window(), 1 << 20);
    drop(parts);
    assert_eq!(store.window(), 4 << 20);
}

/// An offer of a file that everybody is offered; `from`: by somebody else than its sharer.
fn shared(data: &[u8], from: Option<&str>) -> Offer {
    let from = from.map(str::to_owned);
    Offer { shared: true, sha256: Some(Digest::of(data)), from, ..offer("a", data.len() as u64) }
}

#[test]
fn a_shared_file_goes_on_from_another_source() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), Limits::default());
    let mut part = admit(&store, "alice", &shared(b"abcdef", None)).unwrap();
    part.append(b"abc").unwrap();
    let offered_on = shared(b"abcdef", Some("Alice"));
    assert_eq!(admit(&store, "recorder", &offered_on).unwrap_err(), Reason::Busy);
    assert_eq!(store.present("recorder", &offered_on), None);
    drop(part);
    // Another hash, id or size is another file, and so is one that is not shared.
    let other = Offer { sha256: Some(Digest::of(b"fedcba")), ..offered_on.clone() };
    let private = Offer { shared: false, ..offered_on.clone() };
    let unknown = Offer { sha256: None, ..offered_on.clone() };
    for other in [other, private, unknown, Offer { id: "another-id".into(), ..offered_on.clone() }] {
        let part = admit(&store, "mallory", &other).unwrap();
        assert_eq!((part.written(), part.owner()), (0, "mallory"), "{other:?}");
    }
    let mine = admit(&store, "mallory", &shared(b"abcdef", None)).unwrap();
    assert_eq!((mine.written(), mine.owner()), (0, "mallory"), "who says that it is theirs begins a file of theirs");
    drop(mine);
    let mut part = admit(&store, "recorder", &offered_on).unwrap();
    assert_eq!((part.written(), part.owner()), (3, "alice"));
    part.append(b"def").unwrap();
    assert_eq!(part.keep(Some(Digest::of(b"abcdef"))).unwrap().path, "alice/a");
    assert_eq!(store.present("recorder", &offered_on), Some(false));
    assert_eq!(store.present("alice", &shared(b"abcdef", None)), Some(false));
    assert_eq!(store.present("mallory", &shared(b"abcdef", None)), None, "theirs is not there");
    assert_eq!(store.present("alice", &Offer { shared: false, ..shared(b"abcdef", None) }), None);
}

#[test]
fn so_much_is_offered_on() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { share: Some(ShareLimits { files: 2, bytes: 10 }), ..Limits::default() };
    let store = store(dir.path(), limits);
    let send = |offer: &Offer, data: &[u8]| {
        let mut part = admit(&store, "alice", offer).unwrap();
        part.append(data).unwrap();
        part.keep(offer.sha256).unwrap().offered_on
    };
    assert!(!send(&offer("private", 3), b"abc"));
    assert!(!send(&Offer { sha256: None, id: "no-hash-".into(), ..shared(b"abc", None) }, b"abc"));
    assert!(!send(&shared(b"xyz", Some("Bob")), b"xyz"), "what somebody else offers on is not passed on");
    assert!(send(&shared(b"abc", None), b"abc"));
    assert!(!send(&shared(b"eight by", None), b"eight by"), "eleven bytes");
    assert!(send(&shared(b"abcd", None), b"abcd"));
    assert!(!send(&shared(b"a", None), b"a"), "three files");
    assert_eq!(store.present("alice", &shared(b"abc", None)), Some(true));
}
