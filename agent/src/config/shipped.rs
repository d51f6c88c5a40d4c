//! The configuration file that is shipped: each key with its default, commented out; where a key has none, an indented
//! example stands in its place.

pub(super) const TEXT: &str = include_str!("../../packaging/wallwatch.toml");

/// The shipped file with its keys, and if asked its examples, no longer commented out. With the examples it shows every
/// key, without them it means the defaults.
pub(super) fn uncommented(with_examples: bool) -> String {
    let lines = TEXT.lines().map(|line| {
        let bare = line.strip_prefix('#').unwrap_or(line);
        let example = bare.starts_with("     ");
        let prose = !example && (bare.starts_with(' ') || bare.is_empty());
        if prose || (example && !with_examples) {
            line
        } else {
            bare
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
