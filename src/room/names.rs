//! What must not be a file name anywhere. Pure text.

/// True for a name, without its extensions and in lower case, that Windows takes for a device: `con`, `lpt1`.
pub fn is_device(name: &str) -> bool {
    let numbered = matches!(name.strip_prefix("com").or(name.strip_prefix("lpt")), Some(n) if n.chars().count() == 1);
    numbered || ["con", "prn", "aux", "nul"].contains(&name)
}
