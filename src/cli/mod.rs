//! See the crate's guide.
pub mod show;
