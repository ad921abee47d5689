//! What is wrong with a request. Values only.

/// A value that cannot be used: the field, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidField {
    /// Its path: `outputs.film.size`.
    pub field: &'static str,
    pub problem: String,
}
