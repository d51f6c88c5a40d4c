//! Reads the keys of one TOML table by name and type, and gathers what is wrong instead of stopping
//! at it. A key is known when it was asked for; `finish` names the others.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::origin::{Lines, Origin, Written};
use super::problem::{Fault, Problem};
use super::suggest;

/// One parsed file and everything found wrong with it so far.
pub(super) struct Document<'t> {
    file: Arc<Path>,
    root: DeTable<'t>,
    lines: Lines,
    /// Lines that are not TOML: what the parser made of them is not judged a second time.
    broken_lines: BTreeSet<usize>,
    /// The first broken line that was to be a header. Keys below it may seem to be where they are
    /// not.
    broken_header: Option<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Document<'t> {
    pub(super) fn parse(file: Arc<Path>, text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut document = Self {
            file,
            root: root.into_inner(),
            lines: Lines::of(text),
            broken_lines: BTreeSet::new(),
            broken_header: None,
            problems: RefCell::default(),
        };
        for error in errors {
            let line = document.line_at(error.span().map_or(0, |span| span.start));
            // The first error on a line tends to cause the others.
            if document.broken_lines.insert(line) {
                document.problems.get_mut().push(Problem {
                    file: Arc::clone(&document.file),
                    line: Some(line),
                    key: None,
                    fault: Fault::Syntax {
                        message: error.message().to_owned(),
                    },
                });
            }
        }
        document.broken_header = (1..)
            .zip(text.lines())
            .find(|(line, text)| {
                text.trim_start().starts_with('[') && document.broken_lines.contains(line)
            })
            .map(|(line, _)| line);
        document
    }

    /// The keys outside of any section, the sections among them.
    pub(super) fn root(&self) -> Section<'_> {
        Section {
            document: self,
            table: &self.root,
            path: String::new(),
            line: 1,
            known: Vec::new(),
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    fn line_at(&self, offset: usize) -> usize {
        self.lines.at(offset)
    }

    fn report(&self, origin: &Origin, fault: Fault) {
        if !self.broken_lines.contains(&origin.line) {
            self.problems
                .borrow_mut()
                .push(Problem::of_key(origin, fault));
        }
    }
}

/// What a list of texts must be.
pub(super) struct Texts {
    /// How many.
    pub(super) count: RangeInclusive<usize>,
    /// Each of them, in words: "a glob of 1 to 4096 bytes".
    pub(super) each: &'static str,
    pub(super) fits: fn(&str) -> bool,
}

/// One table and where it stands.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    table: &'d DeTable<'d>,
    /// Empty for the root.
    path: String,
    line: usize,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    /// Where the section itself begins.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            file: Arc::clone(&self.document.file),
            line: self.line,
            key: self.path.clone(),
        }
    }

    pub(super) fn report(&self, origin: &Origin, fault: Fault) {
        self.document.report(origin, fault);
    }

    pub(super) fn has_any(&self, keys: impl IntoIterator<Item = &'static str>) -> bool {
        keys.into_iter().any(|key| self.table.contains_key(key))
    }

    /// Says so when `key` is not there at all.
    pub(super) fn require(&self, key: &'static str, expected: impl Display) {
        if self.table.get(key).is_none() {
            self.document.report(
                &Origin {
                    key: self.path_of(key),
                    ..self.origin()
                },
                Fault::Unfit {
                    expected: expected.to_string(),
                    found: "nothing".to_owned(),
                },
            );
        }
    }

    pub(super) fn integer<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Option<Written<T>> {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        self.read(key, expected, |value| {
            let number = integer(value).filter(|number| bounds.contains(number))?;
            T::try_from(number).ok()
        })
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<Written<bool>> {
        self.read(key, "`true` or `false`", DeValue::as_bool)
    }

    pub(super) fn text(
        &mut self,
        key: &'static str,
        expected: impl Display,
        fits: impl FnOnce(&str) -> bool,
    ) -> Option<Written<String>> {
        self.read(key, expected, |value| {
            value.as_str().filter(|text| fits(text)).map(str::to_owned)
        })
    }

    /// The same, and a problem does not show what was found.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        expected: impl Display,
        fits: impl FnOnce(&str) -> bool,
    ) -> Option<Written<String>> {
        self.known.push(key);
        let value = self.table.get(key)?;
        let origin = self.origin_of(key, value.span());
        let text = value.get_ref().as_str().filter(|text| fits(text));
        if text.is_none() {
            let expected = expected.to_string();
            let found = "another one, which is not shown".to_owned();
            self.report(&origin, Fault::Unfit { expected, found });
        }
        let value = text?.to_owned();
        Some(Written { value, origin })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<Written<T>> {
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("{word:?}"))
            .collect();
        self.read(key, format!("one of {}", words.join(", ")), |value| {
            let text = value.as_str()?;
            choices
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, meant)| *meant)
        })
    }

    /// A list of texts, none of them twice.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        texts: &Texts,
    ) -> Option<Written<Vec<String>>> {
        let expected = format!(
            "a list of {} to {} texts",
            texts.count.start(),
            texts.count.end()
        );
        let list = self.read(key, &expected, |value| {
            value
                .as_array()
                .filter(|list| texts.count.contains(&list.len()))
                .map(|list| list.iter().collect::<Vec<_>>())
        })?;
        let mut values: Vec<String> = Vec::with_capacity(list.value.len());
        let mut unfit = false;
        for item in &list.value {
            let (expected, text) = match item.get_ref().as_str() {
                Some(text) if !(texts.fits)(text) => (texts.each, None),
                Some(text) if values.iter().any(|value| value == text) => ("each once", None),
                Some(text) => ("", Some(text)),
                None => (texts.each, None),
            };
            if let Some(text) = text {
                values.push(text.to_owned());
                continue;
            }
            unfit = true;
            let origin = self.origin_of(key, item.span());
            self.document.report(
                &origin,
                Fault::Unfit {
                    expected: expected.to_owned(),
                    found: found(item.get_ref()),
                },
            );
        }
        (!unfit).then(|| list.map(|_| values))
    }

    /// A section inside this one.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'d>> {
        let table = self.read(key, "a section", |value| value.as_table())?;
        Some(self.inner(table.origin, table.value))
    }

    /// The sections of a list, `[[key]]`.
    pub(super) fn sections(
        &mut self,
        key: &'static str,
        count_max: usize,
    ) -> Option<Written<Vec<Section<'d>>>> {
        let expected = format!("at most {count_max} sections");
        let list = self.read(key, expected, |value| {
            let list = value.as_array().filter(|list| list.len() <= count_max)?;
            list.iter()
                .map(|item| Some((item.span(), item.get_ref().as_table()?)))
                .collect::<Option<Vec<_>>>()
        })?;
        let sections = list
            .value
            .iter()
            .map(|(span, table)| self.inner(self.origin_of(key, span.clone()), table))
            .collect();
        Some(Written {
            value: sections,
            origin: list.origin,
        })
    }

    /// The value of `key`, or a problem when `parse` makes nothing of it.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        expected: impl Display,
        parse: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<Written<T>> {
        self.known.push(key);
        let value: &'d Spanned<DeValue<'d>> = self.table.get(key)?;
        let origin = self.origin_of(key, value.span());
        let Some(parsed) = parse(value.get_ref()) else {
            self.document.report(
                &origin,
                Fault::Unfit {
                    expected: expected.to_string(),
                    found: found(value.get_ref()),
                },
            );
            return None;
        };
        Some(Written {
            value: parsed,
            origin,
        })
    }

    /// The texts of a section whose keys the operator chooses. What keys and texts must be, in words and as a test.
    pub(super) fn free_texts(
        self,
        count_max: usize,
        (named, is_name): (&str, fn(&str) -> bool),
        (told, fits): (&str, fn(&str) -> bool),
    ) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        if self.table.len() > count_max {
            let expected = format!("at most {count_max} keys");
            let found = self.table.len().to_string();
            self.report(&self.origin(), Fault::Unfit { expected, found });
            return texts;
        }
        for (key, value) in self.table {
            let name: &str = key.get_ref();
            let origin = self.origin_of(name, key.span());
            let text = value.get_ref().as_str().filter(|text| fits(text));
            let (expected, found) = match text {
                Some(text) if is_name(name) => {
                    texts.insert(name.to_owned(), text.to_owned());
                    continue;
                }
                Some(_) => (named, found(&DeValue::String(name.into()))),
                None => (told, found(value.get_ref())),
            };
            let expected = expected.to_owned();
            self.report(&origin, Fault::Unfit { expected, found });
        }
        texts
    }

    /// Names the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            let origin = self.origin_of(name, key.span());
            let header = self.document.broken_header;
            let misplaced = header.is_some_and(|header| header < origin.line);
            if !self.known.contains(&name) && !misplaced {
                let hint = self.hint(name);
                self.document.report(&origin, Fault::UnknownKey { hint });
            }
        }
    }

    fn hint(&self, name: &str) -> String {
        if let Some(nearest) = suggest::nearest(name, &self.known) {
            return format!("did you mean `{nearest}`?");
        }
        let known: Vec<String> = self.known.iter().map(|key| format!("`{key}`")).collect();
        format!("known here: {}", known.join(", "))
    }

    fn inner(&self, origin: Origin, table: &'d DeTable<'d>) -> Section<'d> {
        Section {
            document: self.document,
            table,
            path: origin.key,
            line: origin.line,
            known: Vec::new(),
        }
    }

    fn origin_of(&self, key: &str, span: Range<usize>) -> Origin {
        Origin {
            file: Arc::clone(&self.document.file),
            line: self.document.line_at(span.start),
            key: self.path_of(key),
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// `value` as a whole number that is not negative.
pub(super) fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A value as a problem shows it: short, and harmless on a terminal.
fn found(value: &DeValue<'_>) -> String {
    const CHARS_MAX: usize = 60;
    match value {
        DeValue::String(text) => {
            let shown: String = text.chars().take(CHARS_MAX).collect();
            let more = if shown.len() < text.len() { "…" } else { "" };
            format!("{shown:?}{more}")
        }
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(datetime) => format!("the time {datetime}"),
        DeValue::Array(list) => format!("a list of {}", list.len()),
        DeValue::Table(_) => "a section".to_owned(),
    }
}
