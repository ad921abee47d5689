//! The header extensions that we take and send, as descriptions list them (RFC 8285). Numbers are those of the other side, whoever offers;
//! the library gets the ones that it was given first.

use crate::room::media::{Direction, MediaKind};
use crate::room::sdp::HeaderExtension;
use crate::rtc::driver::engine::{EXTENSIONS, KnownExtension};
use crate::rtc::header_extensions::ExtensionIds;

/// The greatest number that one-byte headers can have.
const ONE_BYTE: u8 = 14;

/// The number, if packets can have it: not the ones that only offer an extension (4096 to 4351, RFC 8285 6).
fn id(extension: &HeaderExtension) -> Option<u8> {
    u8::try_from(extension.id).ok().filter(|id| *id > 0)
}

fn known(uri: &str) -> Option<&'static KnownExtension> {
    EXTENSIONS.iter().find(|known| known.uri == uri)
}

/// Of the header extensions of a section of theirs, those that we take: the first of each kind, under the number that they give it. Where
/// another section, or another line, gave that number to something else before (`bundle`, which learns), it is left out.
pub(super) fn taken(
    kind: MediaKind,
    offered: &[HeaderExtension],
    bundle: &mut Vec<(u8, String)>,
) -> Vec<HeaderExtension> {
    let mut taken: Vec<HeaderExtension> = Vec::new();
    for extension in offered {
        let Some(id) = id(extension) else { continue };
        match bundle.iter().find(|(known, _)| *known == id) {
            Some((_, meaning)) if *meaning != extension.uri => continue,
            Some(_) => {}
            None => bundle.push((id, extension.uri.clone())),
        }
        if known(&extension.uri).is_some_and(|known| known.is_for(kind))
            && !taken.iter().any(|taken| taken.uri == extension.uri)
        {
            taken.push(extension.clone());
        }
    }
    taken
}

/// What an answer says of those: who sends to them receives from us.
pub(super) fn answered(taken: &[HeaderExtension]) -> Vec<HeaderExtension> {
    let turn = |direction: Direction| Direction::of(direction.receives(), direction.sends());
    taken.iter().map(|one| HeaderExtension { direction: one.direction.map(turn), ..one.clone() }).collect()
}

/// What the library is told of those.
pub(super) fn for_library(taken: &[HeaderExtension], library: &mut ExtensionIds) -> Vec<HeaderExtension> {
    let used = taken.iter().filter(|one| one.direction != Some(Direction::Inactive));
    let told = used.filter_map(|one| {
        let only_read = known(&one.uri).is_some_and(|known| known.only_read);
        let theirs = id(one).filter(|id| only_read || *id <= ONE_BYTE).unwrap_or(ONE_BYTE);
        let id = library.number(&one.uri, theirs, &[])?;
        Some(HeaderExtension { id: id.into(), uri: one.uri.clone(), direction: None })
    });
    told.collect()
}

/// Every header extension of ours for a section of our offer; those that it has already (`already`) under the same numbers.
pub(super) fn offered(kind: MediaKind, already: &[HeaderExtension], ids: &mut ExtensionIds) -> Vec<HeaderExtension> {
    let defaults: Vec<u8> = (1..).zip(EXTENSIONS).map(|(id, _)| id).collect();
    let ours = (1..).zip(EXTENSIONS).filter(|(_, known)| known.is_for(kind));
    let offered = ours.filter_map(|(default, known)| {
        let before = already.iter().find(|one| one.uri == known.uri).map(|one| one.id);
        let id = before.or_else(|| Some(ids.number(known.uri, default, &defaults)?.into()))?;
        Some(HeaderExtension { id, uri: known.uri.to_owned(), direction: None })
    });
    offered.collect()
}
