//! The code of ours that a template may run on what flows through an `identity` of it, by name: a table. Runs nothing itself.

use super::stage::{self, Stage};
use super::{frames, samples};
use crate::error::{Error, Result};
use crate::media::{Template, Value};
use gstreamer as gst;
use gstreamer::prelude::*;

/// A name that `@code` may have, and how the stage is made from the template's values.
type Code = (&'static str, fn(&Given) -> Result<Box<dyn Stage>>);

/// Every name, by the alphabet.
const CODES: &[Code] = &[
    ("average-grey", |_| Ok(Box::new(stage::Frames(Box::new(frames::AverageGrey))))),
    ("ring-modulator", |given| {
        Ok(Box::new(stage::Samples(Box::new(samples::RingModulator::new(given.number("frequency")?)))))
    }),
];

/// The values of a template that its code reads.
pub(super) struct Given<'a> {
    template: &'a Template,
    values: &'a [(&'a str, Value)],
}

impl Given<'_> {
    fn value(&self, name: &str) -> Result<Value> {
        let missing = || Error::user(format!("{}: its code needs a parameter `{name}`", self.template.file));
        self.template.value(name, self.values).ok().flatten().ok_or_else(missing)
    }

    /// A number, whole or not.
    pub fn number(&self, name: &str) -> Result<f64> {
        match self.value(name)? {
            Value::Double(v) => Ok(v),
            Value::Int(v) => Ok(v as f64),
            _ => Err(Error::user(format!("{}: its code needs `{name}` as a number", self.template.file))),
        }
    }
}

/// Lets the code that `template` names run in its elements.
///
/// # Errors
/// The user's: no such code, no such element, or a parameter that the code needs.
pub(in crate::media) fn attach_codes(template: &Template, bin: &gst::Bin, values: &[(&str, Value)]) -> Result<()> {
    for (name, element) in template.codes() {
        let at = || template.place_of(element);
        let unknown = || {
            let known: Vec<_> = CODES.iter().map(|(n, _)| *n).collect();
            Error::user(format!("{}: no code `{name}`; there is {}", template.file, known.join(", ")))
        };
        let (_, make) = CODES.iter().find(|(n, _)| n == name).ok_or_else(unknown)?;
        let element = bin.by_name(element);
        let element = element.filter(|e| e.factory().is_some_and(|f| f.name() == "identity"));
        let element =
            element.ok_or_else(|| Error::user(format!("{}: `{name}` runs in an identity that is there", at())))?;
        stage::attach(&element, make(&Given { template, values })?)?;
    }
    Ok(())
}
