//! The formats that we take and send, as descriptions list them. Numbers are those of the connection.

use crate::room::media::MediaKind;
use crate::room::sdp::PayloadFormat;
use crate::rtc::driver::engine::{CODECS, Entry, describe};
use crate::rtc::payload_types::{Meaning, PayloadTypes, meaning};

/// Feedback on video that the library has beside that of [`describe`].
const TRANSPORT_WIDE: &str = "transport-cc";

/// What we know of a format of theirs.
pub(super) struct Known {
    entry: &'static Entry,
    /// Not only the codec but also its parameters are ours.
    exact: bool,
}

fn known(kind: MediaKind, format: &PayloadFormat) -> Option<Known> {
    let codec = format.codec(kind)?;
    let theirs = meaning(kind, format);
    let entries = || CODECS.iter().filter(|entry| entry.codec == codec);
    let exact = entries().find(|entry| meaning(kind, &plain(entry)) == theirs);
    let entry = exact.or_else(|| entries().next())?;
    Some(Known { entry, exact: exact.is_some() })
}

fn plain(entry: &Entry) -> PayloadFormat {
    let channels = if entry.codec.kind() == MediaKind::Audio { "/2" } else { "" };
    PayloadFormat {
        payload_type: entry.payload_type,
        encoding: format!("{}/{}{channels}", entry.codec.name(), entry.codec.clock_rate()),
        parameters: entry.fmtp.to_owned(),
        feedback: feedback(entry),
    }
}

fn feedback(entry: &Entry) -> Vec<String> {
    let described = describe(entry.codec, entry.fmtp).rtcp_feedback;
    let described = described.iter().map(|one| format!("{} {}", one.typ, one.parameter).trim_end().to_owned());
    let wide = (entry.codec.kind() == MediaKind::Video).then(|| TRANSPORT_WIDE.to_owned());
    described.chain(wide).collect()
}

fn repair(of: u8, payload_type: u8) -> PayloadFormat {
    PayloadFormat {
        payload_type,
        encoding: "rtx/90000".to_owned(),
        parameters: format!("apt={of}"),
        feedback: Vec::new(),
    }
}

/// Of the formats of a section of theirs, those that we take, in their order and with their parameters (RFC 3264 6.1). Where it has
/// formats just as we list them, it has others for those who know more.
pub(super) fn taken(kind: MediaKind, offered: &[PayloadFormat]) -> Vec<PayloadFormat> {
    let ours: Vec<(&PayloadFormat, Known)> =
        offered.iter().filter_map(|format| Some((format, known(kind, format)?))).collect();
    let any_exact = ours.iter().any(|(_, known)| known.exact);
    let media = ours.iter().filter(|(_, known)| known.exact || !any_exact);
    let numbers: Vec<u8> = media.clone().map(|(format, _)| format.payload_type).collect();
    let is_taken = |format: &&PayloadFormat| {
        numbers.contains(&format.payload_type) || format.repairs().is_some_and(|of| numbers.contains(&of))
    };
    let with_feedback = |format: &PayloadFormat| {
        let entry = ours.iter().find(|(known, _)| known.payload_type == format.payload_type);
        let wanted = entry.map(|(_, known)| feedback(known.entry)).unwrap_or_default();
        let feedback = format.feedback.iter().filter(|one| wanted.contains(one)).cloned().collect();
        PayloadFormat { feedback, ..format.clone() }
    };
    offered.iter().filter(is_taken).map(with_feedback).collect()
}

/// The formats of a section of theirs as the library must see them: those that we take, in a form that it finds in its list, then all the
/// others of ours, for it takes what the first section of a kind lists for all that there will ever be.
pub(super) fn for_library(
    kind: MediaKind,
    offered: &[PayloadFormat],
    payload_types: &PayloadTypes,
) -> Vec<PayloadFormat> {
    let mut formats: Vec<PayloadFormat> = Vec::new();
    let mut listed: Vec<&Entry> = Vec::new();
    let taken = taken(kind, offered);
    for format in &taken {
        let Some(Known { entry, .. }) = known(kind, format) else { continue };
        if listed.iter().any(|listed| std::ptr::eq(*listed, entry)) {
            continue;
        }
        listed.push(entry);
        formats.push(PayloadFormat { parameters: entry.fmtp.to_owned(), ..format.clone() });
        formats.extend(taken.iter().filter(|repair| repair.repairs() == Some(format.payload_type)).take(1).cloned());
    }
    let others = CODECS.iter().filter(|entry| entry.codec.kind() == kind);
    for entry in others.filter(|entry| !listed.iter().any(|listed| std::ptr::eq(*listed, *entry))) {
        let format = numbered(kind, entry, payload_types);
        if !formats.iter().any(|known| known.payload_type == format.payload_type) {
            formats.push(format);
        }
    }
    formats
}

/// Every format of ours for a section of our offer: first those that are like `preferred` (what we send there), and those that the section
/// has already as it has them.
pub(super) fn offered(
    kind: MediaKind,
    preferred: Option<&PayloadFormat>,
    already: &[PayloadFormat],
    payload_types: &PayloadTypes,
) -> Vec<PayloadFormat> {
    let mut media: Vec<PayloadFormat> =
        taken(kind, already).into_iter().filter(|format| format.repairs().is_none()).collect();
    for entry in CODECS.iter().filter(|entry| entry.codec.kind() == kind) {
        let same = |format: &PayloadFormat| meaning(kind, format) == meaning(kind, &plain(entry));
        if !media.iter().any(same) {
            media.push(numbered(kind, entry, payload_types));
        }
    }
    if let Some(preferred) = preferred.map(|format| meaning(kind, format)) {
        media.sort_by_key(|format| meaning(kind, format) != preferred);
    }
    let mut formats = Vec::new();
    for format in media {
        let number = format.payload_type;
        if let Some(Known { entry, .. }) = known(kind, &format) {
            formats.push(PayloadFormat { feedback: feedback(entry), ..format });
            if let Some(default) = entry.rtx {
                let of_theirs = already.iter().find(|repair| repair.repairs() == Some(number));
                let repairs = Meaning::Repair(number);
                let theirs = of_theirs.map(|repair| repair.payload_type);
                let payload_type = theirs.unwrap_or_else(|| payload_types.number(&repairs, default, &defaults()));
                formats.push(repair(number, payload_type));
            }
        }
    }
    formats
}

fn numbered(kind: MediaKind, entry: &Entry, payload_types: &PayloadTypes) -> PayloadFormat {
    let format = plain(entry);
    let payload_type = payload_types.number(&meaning(kind, &format), entry.payload_type, &defaults());
    PayloadFormat { payload_type, ..format }
}

/// Numbers that we use where nobody else does.
fn defaults() -> Vec<u8> {
    CODECS.iter().flat_map(|entry| [Some(entry.payload_type), entry.rtx]).flatten().collect()
}
