//! A bin of elements from a pipeline template. Nothing runs yet.

use super::runtime::init;
use super::transform::registry;
use super::{Template, Value, packages};
use crate::error::{Error, Result};
use gstreamer as gst;
use gstreamer::prelude::*;

/// Fills `template` and builds it as a bin, its texts set and its code in place; loose ends are ghosted as pads where `ghost`
/// says so.
pub(super) fn build_bin(template: &Template, values: &[(&str, Value)], ghost: bool) -> Result<gst::Bin> {
    let bin = parse(template, &template.fill(values)?, ghost)?;
    for (element, property, text) in template.texts(values)? {
        let wrong = || Error::user(format!("{}: no element `{element}` has a text `{property}`", template.file));
        let set = bin.by_name(element).and_then(|element| set_text(&element, property, &plain(&element, &text)));
        set.ok_or_else(wrong)?;
    }
    registry::attach_all(template, &bin, values)?;
    Ok(bin)
}

/// Sets a text property; `None` where there is no such property, or it takes no text.
pub(super) fn set_text(element: &gst::Element, property: &str, text: &str) -> Option<()> {
    let spec = element.find_property(property)?;
    (spec.value_type() == gst::glib::Type::STRING).then(|| element.set_property(property, text))
}

/// Text for an element as people write it: text overlays take markup, where `&` and `<` are not what they look like.
fn plain(element: &gst::Element, text: &str) -> String {
    let is_overlay =
        gst::glib::Type::from_name("GstBaseTextOverlay").is_some_and(|overlay| element.type_().is_a(overlay));
    if is_overlay { gst::glib::markup_escape_text(text).into() } else { text.into() }
}

fn parse(template: &Template, description: &str, ghost: bool) -> Result<gst::Bin> {
    init()?;
    let mut context = gst::ParseContext::new();
    let flags = gst::ParseFlags::FATAL_ERRORS;
    let built = gst::parse::bin_from_description_full(description, ghost, Some(&mut context), flags);
    // Elements that refuse a property are counted among the missing ones too.
    let is_missing = |name: &String| gst::ElementFactory::find(name).is_none();
    let element = built.map_err(|e| match context.missing_elements().iter().find(|n| is_missing(n)) {
        Some(name) => Error::user(format!("{}: {}", template.place_of(name), packages::missing(name))),
        None => Error::user(format!("{}: {}", place_of_quoted(template, e.message()), e.message())),
    })?;
    match element.downcast::<gst::Bin>() {
        Ok(bin) => Ok(bin),
        Err(single) => {
            // A description of one element may come back as that element.
            let bin = gst::Bin::new();
            bin.add(&single).map_err(|e| Error::us(format!("{}: cannot be put to work", template.file)).because(e))?;
            Ok(bin)
        }
    }
}

/// GStreamer quotes the words that it stumbled over: the place of the last one that the template has.
fn place_of_quoted(template: &Template, message: &str) -> String {
    let words = message.split('"').skip(1).step_by(2);
    words.map(|w| template.place_of(w)).filter(|p| *p != template.file).last().unwrap_or_else(|| template.file.clone())
}
