//! A bin of elements from a pipeline template. Nothing runs yet.

use super::runtime::Gst;
use super::transform::registry;
use super::{Template, Value, packages};
use crate::error::{Error, Result};
use gstreamer as gst;
use gstreamer::prelude::*;

/// Fills `template` and builds it as a bin, with its texts set and its Rust code attached. Loose ends become pads of the bin if
/// `ghost` is set.
///
/// # Errors
/// The user's, naming file and line, and the package of an element that is missing.
pub(super) fn build_bin(template: &Template, values: &[(&str, Value)], ghost: bool) -> Result<gst::Bin> {
    let bin = parse(template, &template.fill(values)?, ghost)?;
    for (element, property, text) in template.texts(values)? {
        let wrong = || Error::user(format!("{}: no element `{element}` has a text `{property}`", template.file));
        let set = bin.by_name(element).and_then(|element| set_text(&element, property, &escaped(&element, &text)));
        set.ok_or_else(wrong)?;
    }
    registry::attach_all(template, &bin, values)?;
    Ok(bin)
}

/// Sets a text property; `None` if there is no such property or it takes no text.
pub(super) fn set_text(element: &gst::Element, property: &str, text: &str) -> Option<()> {
    let spec = element.find_property(property)?;
    (spec.value_type() == gst::glib::Type::STRING).then(|| element.set_property(property, text))
}

/// Escapes `text` for text overlays, which take markup; other elements get it unchanged.
fn escaped(element: &gst::Element, text: &str) -> String {
    let is_overlay =
        gst::glib::Type::from_name("GstBaseTextOverlay").is_some_and(|overlay| element.type_().is_a(overlay));
    if is_overlay { gst::glib::markup_escape_text(text).into() } else { text.into() }
}

fn parse(template: &Template, description: &str, ghost: bool) -> Result<gst::Bin> {
    let gst = Gst::init()?;
    let mut context = gst.parse_context();
    let built = gst.parse(description, ghost, &mut context);
    // GStreamer also lists elements whose property was refused.
    let is_missing = |name: &String| !gst.has_element(name);
    let element = built.map_err(|e| match context.missing_elements().iter().find(|n| is_missing(n)) {
        Some(name) => Error::user(format!("{}: {}", template.place_of(name), packages::missing(name))),
        None => Error::user(format!("{}: {}", place_of_quoted(template, e.message()), e.message())),
    })?;
    match element.downcast::<gst::Bin>() {
        Ok(bin) => Ok(bin),
        Err(single) => {
            // A description of one element is returned as that element.
            gst.bin_of(&single).map_err(|e| Error::internal(format!("{}: cannot be built", template.file)).because(e))
        }
    }
}

/// GStreamer quotes the words of an error: the place of the last one that is in the template.
fn place_of_quoted(template: &Template, message: &str) -> String {
    let words = message.split('"').skip(1).step_by(2);
    words.map(|w| template.place_of(w)).filter(|p| *p != template.file).last().unwrap_or_else(|| template.file.clone())
}
