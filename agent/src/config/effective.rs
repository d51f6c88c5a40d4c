//! What is in force, as a configuration file of its own: every key that has a value, and where it was written.
//!
//! It follows the rules of [`overlay`](super::overlay): a later key takes the place of the same one, `[[sections]]` are
//! added. Values stand as they were written, but for secrets.

use std::borrow::Cow;

use toml::de::{DeTable, DeValue};

use super::origin::Lines;
use super::shipped;
use super::sources::Source;

/// The sections whose keys may come from a rule's file.
const RULE: &str = "rules.linux_iptables_firewall_modification";

/// Of a rule's file, what the configuration may say too; the rest is shown by `wallwatch rules`.
const RULE_KEYS: [&str; 7] = [
    "not_parent_process_path",
    "ports",
    "port_count_min",
    "window",
    "window_span_s",
    "window_offset_s",
    "filter",
];

/// Lists of sections. An empty one is written as a key and says nothing.
const LISTS: [&str; 3] = ["sinks", "filters", "filter"];

/// Keys whose values nobody should see on a screen. Headers may carry a key of an API.
const SECRETS: [&str; 4] = ["token", "password", "api_key", "headers"];
const MASK: &str = "********";

/// One key with its value as it was written.
struct Entry<'t> {
    name: String,
    /// The same as it was written, quoted perhaps.
    key: &'t str,
    value: Cow<'t, str>,
    from: String,
}

/// A section, or one of a list.
struct Block<'t> {
    path: String,
    /// Where a section of a list begins.
    from: Option<String>,
    entries: Vec<Entry<'t>>,
}

/// A file that is being taken in.
struct Layer<'t> {
    text: &'t str,
    lines: Lines,
    /// `None`: the defaults.
    file: Option<String>,
}

#[derive(Default)]
struct Effective<'t> {
    blocks: Vec<Block<'t>>,
}

/// The configuration that `sources` make, the later over the earlier, all of which are valid; with what `rule_file`
/// says where the built-in rule has a default.
/// `window_offset_s` is what a rule's offset has come to under a shorter span.
pub(super) fn show(sources: &[Source], rule_file: Option<&Source>, window_offset_s: u64) -> String {
    let defaults = shipped::uncommented(false);
    let mut effective = Effective::default();
    effective.take_in(None, &defaults, "");
    if let Some(source) = rule_file {
        effective.blocks.retain(|block| block.path != RULE);
        effective.take_in(Some(source), &source.text, RULE);
        for block in &mut effective.blocks {
            if block.path == RULE {
                block
                    .entries
                    .retain(|entry| RULE_KEYS.contains(&&*entry.name));
            }
        }
    }
    for source in sources {
        effective.take_in(Some(source), &source.text, "");
    }
    let entries = effective
        .blocks
        .iter_mut()
        .flat_map(|block| &mut block.entries);
    for entry in entries.filter(|entry| entry.name == "window_offset_s") {
        entry.value = window_offset_s.to_string().into();
    }
    effective.to_text(sources)
}

impl<'t> Effective<'t> {
    /// A text that is no TOML has nothing in it; it was refused before.
    fn take_in(&mut self, source: Option<&Source>, text: &'t str, path: &str) {
        let Ok(table) = DeTable::parse(text) else {
            return;
        };
        let layer = Layer {
            text,
            lines: Lines::of(text),
            file: source.map(|source| source.file.display().to_string()),
        };
        self.take_in_table(&layer, path, None, table.get_ref());
    }

    /// `list_item`: the block that a section of a list has made.
    fn take_in_table(
        &mut self,
        layer: &Layer<'t>,
        path: &str,
        list_item: Option<usize>,
        table: &DeTable<'t>,
    ) {
        let mut items: Vec<_> = table.iter().collect();
        items.sort_by_key(|(_, value)| value.span().start);
        for (key, value) in items {
            let name: &str = key.get_ref();
            let inner = match path {
                "" => name.to_owned(),
                _ => format!("{path}.{name}"),
            };
            let span = value.span();
            match value.get_ref() {
                DeValue::Table(table) => self.take_in_table(layer, &inner, None, table),
                DeValue::Array(list) if LISTS.contains(&name) => {
                    for item in list {
                        let DeValue::Table(table) = item.get_ref() else {
                            continue;
                        };
                        self.blocks.push(Block {
                            path: inner.clone(),
                            from: Some(layer.place(item.span().start)),
                            entries: Vec::new(),
                        });
                        let block = self.blocks.len() - 1;
                        self.take_in_table(layer, &inner, Some(block), table);
                    }
                }
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => {
                    let entry = Entry {
                        name: name.to_owned(),
                        key: layer.text.get(key.span()).unwrap_or_default(),
                        value: shown(name, layer.text.get(span.clone()).unwrap_or_default()),
                        from: layer.place(span.start),
                    };
                    let block = list_item.unwrap_or_else(|| self.section(path));
                    if let Some(block) = self.blocks.get_mut(block) {
                        block.put(entry);
                    }
                }
            }
        }
    }

    /// The index of the section at `path`, which is made where there is none.
    fn section(&mut self, path: &str) -> usize {
        let known = |block: &Block<'_>| block.from.is_none() && block.path == path;
        if let Some(index) = self.blocks.iter().position(known) {
            return index;
        }
        self.blocks.push(Block {
            path: path.to_owned(),
            from: None,
            entries: Vec::new(),
        });
        self.blocks.len() - 1
    }

    fn to_text(&self, sources: &[Source]) -> String {
        let mut lines = vec!["# What is in force, and where it was written.".to_owned()];
        if sources.is_empty() {
            lines.push("# There is no configuration file: these are the defaults.".to_owned());
        }
        let files = sources
            .iter()
            .map(|source| source.file.display().to_string());
        lines.extend(files.map(|file| format!("# {}", printable(&file))));
        for block in &self.blocks {
            lines.extend(block.lines());
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

impl<'t> Block<'t> {
    fn put(&mut self, entry: Entry<'t>) {
        match self
            .entries
            .iter_mut()
            .find(|known| known.name == entry.name)
        {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    /// What is one of a list was written in one place, and what is not has each key from a place of its own.
    fn lines(&self) -> Vec<String> {
        let path = &self.path;
        let header = match &self.from {
            None => format!("\n[{path}]"),
            Some(from) => format!("\n[[{path}]] # {}", printable(from)),
        };
        let entries = self.entries.iter().map(|entry| {
            let Entry {
                name: _,
                key,
                value,
                from,
            } = entry;
            match self.from {
                None => format!("{key} = {value} # {}", printable(from)),
                Some(_) => format!("{key} = {value}"),
            }
        });
        std::iter::once(header).chain(entries).collect()
    }
}

impl Layer<'_> {
    fn place(&self, offset: usize) -> String {
        match &self.file {
            None => "default".to_owned(),
            Some(file) => format!("{file}:{}", self.lines.at(offset)),
        }
    }
}

/// A value as it may be shown.
fn shown<'t>(key: &str, value: &'t str) -> Cow<'t, str> {
    if SECRETS.contains(&key) {
        return match value.starts_with('[') {
            true => format!("[\"{MASK}: {MASK}\"]").into(),
            false => format!("\"{MASK}\"").into(),
        };
    }
    without_password(value)
}

/// A password in a URL masked (RFC 3986, section 3.2.1).
fn without_password(value: &str) -> Cow<'_, str> {
    let masked = || {
        let (scheme, rest) = value.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (user_info, _) = authority.rsplit_once('@')?;
        let (user, _) = user_info.split_once(':')?;
        let rest = rest.get(user_info.len()..)?;
        Some(format!("{scheme}://{user}:{MASK}{rest}"))
    };
    masked().map_or(Cow::Borrowed(value), Cow::Owned)
}

/// A path in a comment, which ends with its line.
fn printable(path: &str) -> String {
    path.escape_debug().to_string()
}
