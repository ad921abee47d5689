//! The judge of the house is judged: small crates with a fault each, which must be found, and some without.

use super::graph::Graph;
use super::source::{Source, without_comment};
use super::{floor, uphill, with_library, without_token};

fn circles(sources: &[(&str, &str)]) -> Vec<Vec<String>> {
    Graph::of(sources.iter().copied()).circles().into_iter().map(|circle| circle.files).collect()
}

#[test]
fn code_is_what_is_left_without_tests_and_comments() {
    let source = |text: &str| Source { path: "room/x.rs".into(), text: text.into() };
    let code = source("a\n#[cfg(test)]\nmod tests {\n    x.unwrap();\n}\nb // c.unwrap()\n").code();
    assert_eq!(code, [(1, "a".to_owned()), (6, "b ".to_owned())]);
    let code = source("#[cfg(test)]\nmod tests;\nb\n").code();
    assert_eq!(code, [(3, "b".to_owned())]);
    assert_eq!(without_comment(r#"let a = "http://x"; // why"#), r#"let a = "http://x"; "#);
}

#[test]
fn two_files_that_name_each_other_are_a_circle_however_they_do_it() {
    let lib = ("lib.rs", "mod a; mod b; macro_rules! m { () => {} }");
    for names_b in [
        "use crate::b::B; pub struct A;",
        "use super::b::B; pub struct A;",
        "use crate::{\n    b::{B, C},\n}; pub struct A;",
        "use crate::b; pub struct A(b::B);",
        "use crate::b as other; pub struct A(other::B);",
        "use crate::b::*; pub struct A;",
        "pub struct A(crate::b::B);",
        "pub struct A; fn f() { super::b::g() }",
        "pub struct A; fn f() { m!(x, { crate::b::g() }) }",
        "pub use crate::b::B; pub struct A;",
        "pub struct A { #[serde(with = \"crate::b::g\")] a: u8 }",
        "mod inner { use super::super::b::B; } pub struct A;",
    ] {
        let found =
            circles(&[lib, ("a.rs", names_b), ("b.rs", "use crate::a::A; pub struct B; pub struct C; pub fn g() {}")]);
        assert_eq!(found, [["a.rs", "b.rs"]], "{names_b}");
    }
}

#[test]
fn what_only_tests_and_comments_name_is_no_circle() {
    let b = ("b.rs", "use crate::a::A; pub struct B;");
    for innocent in [
        "//! [`crate::b::B`]\npub struct A; // crate::b::B",
        "pub struct A; #[cfg(test)] mod tests { use super::*; use crate::b::B; }",
        "pub struct A; #[cfg(test)] use crate::b::B;",
        "pub struct A; #[cfg(test)] impl A { fn b() -> crate::b::B { crate::b::B } }",
        "pub struct A; impl A { #[cfg(test)] fn b() -> crate::b::B { crate::b::B } }",
        "pub struct A; #[cfg(test)] mod tests;",
        "pub struct A; #[cfg(test)] #[path = \"a_tests.rs\"] mod tests;",
        "pub struct A; const B: &str = \"crate::b::B\";",
    ] {
        let tests = "use super::*; use crate::b::B; use crate::a::A;";
        let mut sources = vec![("lib.rs", "mod a; mod b;"), ("a.rs", innocent), b];
        sources.extend(innocent.contains("mod tests;").then_some(("a/tests.rs", tests)));
        if innocent.contains("path") {
            sources[3].0 = "a_tests.rs";
        }
        assert_eq!(circles(&sources), Vec::<Vec<String>>::new(), "{innocent}");
    }
}

#[test]
fn a_long_way_round_is_a_circle_too_and_the_way_is_told() {
    let sources = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "pub struct B;\nuse crate::c::C;"),
        ("c.rs", "use crate::a::A; use crate::d::D; pub struct C;"),
        ("d.rs", "pub struct D;"),
    ];
    let found = Graph::of(sources).circles();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].files, ["a.rs", "b.rs", "c.rs"]);
    assert!(found[0].way.contains(&"b.rs:2 names crate::c::C of c.rs".to_owned()), "{:?}", found[0].way);
    assert_eq!(found[0].way.len(), 3);
}

#[test]
fn a_parent_that_only_declares_and_re_exports_is_in_no_circle() {
    let children = [
        ("lib.rs", "mod room;"),
        ("room/clock.rs", "use super::Name; use crate::room::names; pub struct Clock; fn f() { names::g() }"),
        ("room/names.rs", "pub struct Name; pub fn g() {}"),
    ];
    let plain = ("room/mod.rs", "mod clock; pub mod names; pub use clock::Clock; pub use names::Name;");
    assert_eq!(circles(&[&children[..], &[plain]].concat()), Vec::<Vec<String>>::new());
    // It defines what a child takes, and takes what the child defines.
    let both = ("room/mod.rs", "mod clock; pub mod names; use clock::Clock; pub struct Name(Clock);");
    assert_eq!(circles(&[&children[..], &[both]].concat()), [["room/clock.rs", "room/mod.rs"]]);
    // Two children do, over the parent's re-exports.
    let twins = [
        ("room/clock.rs", "use super::Name; pub struct Clock;"),
        ("room/names.rs", "use super::Clock; pub struct Name;"),
    ];
    assert_eq!(circles(&[&[children[0], plain], &twins[..]].concat()), [["room/clock.rs", "room/names.rs"]]);
}

#[test]
fn files_that_hold_one_type_between_them_count_as_one() {
    let parent = ("client/mod.rs", "mod members; use members::count; pub struct Actor; fn f() { count() }");
    let child = ("client/members.rs", "use super::Actor; impl Actor { fn join(&self) {} } pub fn count() {}");
    let lib = ("lib.rs", "mod client; mod other;");
    assert_eq!(circles(&[lib, parent, child]), Vec::<Vec<String>>::new());
    // Not with an `impl` of a trait or of another type.
    for not in [
        "use super::Actor; impl Clone for Actor {} pub fn count() {}",
        "use super::Actor; struct Own(Actor); impl Own {} pub fn count() {}",
    ] {
        assert_eq!(
            circles(&[lib, parent, ("client/members.rs", not)]),
            [["client/members.rs", "client/mod.rs"]],
            "{not}"
        );
    }
    // Together they may be in a circle with a third.
    let third = ("other.rs", "use crate::client::Actor; pub struct Other;");
    let child = (
        "client/members.rs",
        "use super::Actor; use crate::other::Other; impl Actor { fn join(&self) {} } pub fn count() {}",
    );
    assert_eq!(circles(&[lib, parent, child, third]), [["client/members.rs", "client/mod.rs", "other.rs"]]);
}

#[test]
fn an_import_uphill_or_sideways_is_seen() {
    assert!(floor("client") > floor("rtc") && floor("record") == floor("bot"));
    let lib = ("lib.rs", "mod bot; mod record; mod room; mod client;");
    let rest = [
        ("bot.rs", "pub struct Bot;"),
        ("client.rs", "use crate::room::Name; pub use crate::record::Recorder as Hidden; pub struct Client;"),
    ];
    let of = |path: &'static str, text: &'static str| {
        let mut sources = vec![lib, ("room.rs", "pub struct Name;"), ("record.rs", "pub struct Recorder;")];
        sources.extend(rest);
        sources.retain(|(other, _)| *other != path);
        sources.push((path, text));
        let wrong = uphill(&Graph::of(sources)).1;
        wrong.into_iter().filter(|line| line.starts_with(path)).collect::<Vec<_>>()
    };
    assert_eq!(of("record.rs", "use crate::client::Client; pub struct Recorder;"), Vec::<String>::new());
    assert_eq!(of("record.rs", "use crate::{\n    bot::Bot,\n}; pub struct Recorder;").len(), 1, "a sibling");
    assert_eq!(of("record.rs", "pub struct Recorder; fn f() { super::bot::Bot; }").len(), 1, "a sibling by a path");
    assert_eq!(of("room.rs", "use crate::client::Client; pub struct Name;").len(), 1, "uphill");
    assert_eq!(
        of("bot.rs", "use crate::client::Hidden; pub struct Bot;").len(),
        1,
        "a sibling over somebody's re-export"
    );
}

#[test]
fn a_library_out_of_its_folder_is_seen() {
    let lib = ("lib.rs", "mod rtc; mod bot;");
    let rest = [
        ("rtc/mod.rs", "pub mod driver;"),
        ("rtc/driver/mod.rs", "use rtc::sdp; pub use webrtc::Track; pub struct Own;"),
    ];
    let of = |text: &'static str| {
        let found = with_library(&Graph::of([&[lib, ("bot.rs", text)], &rest[..]].concat()));
        found.into_iter().filter(|line| line.starts_with("bot.rs")).count()
    };
    assert_eq!(of("use crate::rtc::driver::Own; use crate::rtc; fn f(own: rtc::driver::Own) {}"), 0);
    assert_eq!(of("fn f() { webrtc::peer(); }"), 1);
    assert_eq!(of("use rtc::{peer_connection::Peer, sdp};"), 2);
    assert_eq!(of("use crate::rtc::driver::Track;"), 1, "a type that leaves it");
    assert_eq!(of("use gstreamer as gst; fn f() { gst::init(); }"), 2);
}

#[test]
fn objects_of_gstreamer_need_the_token() {
    let lib = ("lib.rs", "mod media;");
    for made in [
        "use gstreamer as gst; fn f() { gst::Sample::builder(); }",
        "use gstreamer::Caps; fn f() { Caps::builder(\"a\"); }",
        "use gstreamer as gst; fn f() { send(gst::event::Caps::new(&caps)); }",
        "use gstreamer as gst; fn f() { list.map(gst::Buffer::from_slice); }",
    ] {
        let graph = Graph::of([lib, ("media/mod.rs", made)]);
        assert_eq!(without_token(&graph).len(), 1, "{made}");
    }
    let innocent =
        "use gstreamer as gst; fn f(gst: Gst) { gst.caps(\"a\"); Caps::of(1); gst::ClockTime::from_seconds(1); }";
    assert_eq!(without_token(&Graph::of([lib, ("media/mod.rs", innocent)])), Vec::<String>::new());
}
