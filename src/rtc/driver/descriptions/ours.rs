//! Descriptions of ours, as they are sent.

use crate::room::media::Direction;
use crate::room::sdp::{Sdp, Section, SetupRole};
use crate::rtc::driver::descriptions::extensions;
use crate::rtc::driver::descriptions::formats::{offered, taken};
use crate::rtc::driver::descriptions::theirs::Theirs;
use crate::rtc::header_extensions::ExtensionIds;
use crate::rtc::payload_types::PayloadTypes;

/// Completes an offer of the library's. It lists in a section only the codec of the track that we send there, under numbers of its own, and
/// takes, when it answers itself, the codecs of the first section of a kind for all of them. So every section lists every codec, its own
/// first; which one is sent is the sender's choice anyway.
pub(super) fn complete_offer(
    sdp: &mut Sdp,
    theirs: Option<&Theirs>,
    payload_types: &PayloadTypes,
    ids: &mut ExtensionIds,
) {
    for section in &mut sdp.sections {
        let known = theirs.and_then(|theirs| theirs.sections.iter().find(|known| Some(known.mid()) == section.mid()));
        if known.is_some_and(|known| !known.accepted) && section.msid().is_none() {
            section.refuse();
        }
        if let Some(kind) = section.kind().filter(|_| !section.is_rejected()) {
            let already = known.map(|known| known.section.payload_formats()).unwrap_or_default();
            let preferred = section.payload_formats().into_iter().next();
            section.set_payload_formats(&offered(kind, preferred.as_ref(), &already, payload_types));
            let already = known.map(|known| known.extensions.as_slice()).unwrap_or_default();
            section.set_extensions(&extensions::offered(kind, already, ids));
        }
    }
    if let Some(theirs) = theirs {
        restore_unknown(sdp, theirs);
    }
    name_data_channels(sdp);
    bundle(sdp);
}

/// The library counts sections to name the one of its data channels; another may have that name.
fn name_data_channels(sdp: &mut Sdp) {
    let names: Vec<String> = sdp.sections.iter().filter_map(|section| Some(section.mid()?.to_owned())).collect();
    let taken = |mid: &str| names.iter().filter(|name| *name == mid).count() > 1;
    for section in sdp.sections.iter_mut().filter(|section| section.is_application()) {
        if section.mid().is_some_and(taken) {
            section.set("mid", "data");
        }
    }
}

/// Puts back sections of theirs that the library leaves out, so that each has the place that it has with them (RFC 3264 8).
fn restore_unknown(sdp: &mut Sdp, theirs: &Theirs) {
    for (index, known) in theirs.sections.iter().enumerate() {
        let here = sdp.sections.iter().any(|section| section.mid() == Some(known.mid()));
        if !here && index <= sdp.sections.len() {
            let mut section = known.section.clone();
            section.refuse();
            sdp.sections.insert(index, section);
        }
    }
}

fn bundle(sdp: &mut Sdp) {
    let used = sdp.sections.iter().filter(|section| !section.is_rejected());
    let mids: Vec<String> = used.filter_map(|section| Some(section.mid()?.to_owned())).collect();
    sdp.set_bundle(&mids);
}

/// The library's answer with a section for each of theirs: refused where theirs is, or where there is nothing that we could take.
pub(super) fn answer(mut sdp: Sdp, theirs: &Theirs, role: SetupRole) -> Sdp {
    let library = std::mem::take(&mut sdp.sections);
    for (index, known) in theirs.sections.iter().enumerate() {
        let of_library = library.iter().find(|section| section.mid() == Some(known.mid()));
        let section = match of_library {
            Some(section) if known.accepted && theirs.has_format(index) => {
                let mut section = section.clone();
                section.set_port(9);
                // Which of its names for the same packets an offer has is the offerer's to say (RFC 3264 6, RFC 8859 3).
                section.set_protocol(known.section.protocol());
                section.set("setup", role.value());
                if let Some(kind) = section.kind() {
                    section.set_payload_formats(&taken(kind, &known.section.payload_formats()));
                    section.set_extensions(&extensions::answered(&known.extensions));
                    fit_direction(&mut section, known.section.direction().unwrap_or_default());
                }
                section
            }
            _ => {
                let mut section = known.section.clone();
                section.refuse();
                section
            }
        };
        sdp.sections.push(section);
    }
    bundle(&mut sdp);
    if !theirs.mixes_extensions {
        sdp.retain_attributes(|name| name != "extmap-allow-mixed");
    }
    sdp
}

/// RFC 3264 6.1: what they do not send is not received, and what they do not receive is not sent.
fn fit_direction(section: &mut Section, theirs: Direction) {
    let ours = section.direction().unwrap_or_default();
    let fits = Direction::of(ours.sends() && theirs.receives(), ours.receives() && theirs.sends());
    if fits != ours {
        section.set_direction(fits);
    }
}

/// Takes out what an answer may have only if the offer has it: names of sections, and their group.
pub(super) fn hide_names(sdp: &mut Sdp, theirs: &Theirs) {
    for (section, known) in sdp.sections.iter_mut().zip(&theirs.sections) {
        if !known.named {
            section.retain_attributes(|name, _| name != "mid");
        }
    }
    if !theirs.bundles {
        sdp.set_bundle(&[] as &[&str]);
    }
}
