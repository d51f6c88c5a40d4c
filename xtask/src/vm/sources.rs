//! apt's own source lists, read for one thing: which mirror serves Debian here.
//!
//! Two formats are in use: one line per source (`*.list`), and paragraphs of
//! `Key: value` (`*.sources`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One `deb` source: where it is, what it offers, how it is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) uri: String,
    suites: Vec<String>,
    components: Vec<String>,
    /// A key file or, in a paragraph, a whole key with its continuation lines.
    pub(crate) signed_by: Option<String>,
    pub(crate) trusted: Option<String>,
}

/// The two halves of a Debian mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    pub(crate) main: Source,
    /// Absent where apt knows none; the main archive then has to do.
    pub(crate) security: Option<Source>,
}

const RELEASE_NAMES: [&str; 11] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

impl Mirror {
    /// Reads `/etc/apt`, or another folder of that shape.
    pub(crate) fn read(apt_dir: &Path) -> Result<Self> {
        let mut sources = Vec::new();
        for path in source_files(apt_dir)? {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            if path
                .extension()
                .is_some_and(|extension| extension == "sources")
            {
                sources.extend(parse_paragraphs(&text));
            } else {
                sources.extend(parse_lines(&text));
            }
        }
        Self::choose(&sources).with_context(|| {
            format!(
                "find a Debian mirror: no source in {} has a Debian release as suite \
                 and `main` as component",
                apt_dir.display()
            )
        })
    }

    fn choose(sources: &[Source]) -> Option<Self> {
        let best = |wanted: fn(&str) -> bool| {
            sources
                .iter()
                .filter(|source| source.components.iter().any(|name| name == "main"))
                .filter(|source| source.suites.iter().any(|suite| wanted(suite)))
                .min_by_key(|source| source.strangeness())
                .cloned()
        };
        Some(Self {
            main: best(is_release)?,
            security: best(is_security),
        })
    }

    #[cfg(test)]
    pub(crate) fn from_lines(text: &str) -> Self {
        Self::choose(&parse_lines(text)).expect("a mirror")
    }
}

impl Source {
    /// Other vendors name their suites after Debian's releases too. They bring
    /// their own key; Debian's sources have its archive keyring or none.
    fn strangeness(&self) -> u8 {
        match &self.signed_by {
            Some(key) if key.contains("debian-archive-") => 0,
            None => 1,
            Some(_) => 2,
        }
    }
}

fn is_release(suite: &str) -> bool {
    RELEASE_NAMES.contains(&suite)
}

fn is_security(suite: &str) -> bool {
    suite
        .strip_suffix("-security")
        .or_else(|| suite.strip_suffix("/updates"))
        .is_some_and(is_release)
}

fn source_files(apt_dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let parts_dir = apt_dir.join("sources.list.d");
    if parts_dir.is_dir() {
        let entries =
            fs::read_dir(&parts_dir).with_context(|| format!("list {}", parts_dir.display()))?;
        for entry in entries {
            let path = entry.context("list apt sources")?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "list" || extension == "sources")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    let list = apt_dir.join("sources.list");
    if list.is_file() {
        files.insert(0, list);
    }
    Ok(files)
}

/// `deb [signed-by=/a/key trusted=yes] http://mirror/debian bookworm main`
fn parse_lines(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let option = |name: &str| {
        options
            .split_whitespace()
            .filter_map(|option| option.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: option("signed-by"),
        trusted: option("trusted"),
    })
}

fn parse_paragraphs(text: &str) -> Vec<Source> {
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    without_comments
        .split(|line| line.trim().is_empty())
        .flat_map(parse_paragraph)
        .collect()
}

/// One source for each URI of the paragraph.
fn parse_paragraph(lines: &[&str]) -> Vec<Source> {
    let field = |name: &str| field(lines, name);
    let words = |name: &str| -> Vec<String> {
        let value = field(name).unwrap_or_default();
        value.split_whitespace().map(str::to_owned).collect()
    };
    let is_enabled = field("Enabled").is_none_or(|value| value.trim() != "no");
    let has_binaries = words("Types").iter().any(|kind| kind == "deb");
    if !is_enabled || !has_binaries {
        return Vec::new();
    }
    words("URIs")
        .into_iter()
        .map(|uri| Source {
            uri,
            suites: words("Suites"),
            components: words("Components"),
            signed_by: field("Signed-By"),
            trusted: field("Trusted"),
        })
        .collect()
}

/// A field's value with its continuation lines, which begin with white space.
fn field(lines: &[&str], name: &str) -> Option<String> {
    let start = lines.iter().position(|line| {
        line.split_once(':')
            .is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
    })?;
    let (_, first) = lines[start].split_once(':')?;
    let mut value = first.trim().to_owned();
    for line in &lines[start + 1..] {
        if !line.starts_with(char::is_whitespace) {
            break;
        }
        value.push('\n');
        value.push_str(line);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::{Mirror, parse_lines, parse_paragraphs};

    #[test]
    fn both_formats_name_the_same_mirror() {
        let lines = parse_lines(
            "# a comment\n\
             deb-src http://mirror.example/debian bookworm main\n\
             deb [arch=amd64 signed-by=/k/debian-archive-keyring.gpg] \
             http://mirror.example/debian bookworm main contrib # trailing\n\
             deb [signed-by=/k/debian-archive-keyring.gpg] \
             http://mirror.example/debian-security bookworm-security main\n",
        );
        let paragraphs = parse_paragraphs(
            "Types: deb deb-src\n\
             URIs: http://mirror.example/debian\n\
             # a comment inside\n\
             suites: bookworm bookworm-updates\n\
             Components: main\n\
             Signed-By: /k/debian-archive-keyring.gpg\n\
             \n\
             Types: deb\n\
             URIs: http://mirror.example/debian-security\n\
             Suites: bookworm-security\n\
             Components: main\n\
             Signed-By: /k/debian-archive-keyring.gpg\n",
        );
        for sources in [lines, paragraphs] {
            let mirror = Mirror::choose(&sources).expect("a mirror");
            assert_eq!(mirror.main.uri, "http://mirror.example/debian");
            let security = mirror.security.expect("a security archive");
            assert_eq!(security.uri, "http://mirror.example/debian-security");
            assert_eq!(
                mirror.main.signed_by.as_deref(),
                Some("/k/debian-archive-keyring.gpg")
            );
        }
    }

    #[test]
    fn another_vendor_with_debian_suites_is_not_the_mirror() {
        let sources = parse_lines(
            "deb [signed-by=/k/vendor.gpg] http://vendor.example/debian bookworm main\n\
             deb http://mirror.example/debian bookworm main\n",
        );
        let mirror = Mirror::choose(&sources).expect("a mirror");
        assert_eq!(mirror.main.uri, "http://mirror.example/debian");
        assert_eq!(mirror.security, None);
    }

    #[test]
    fn disabled_and_foreign_sources_give_no_mirror() {
        let disabled = parse_paragraphs(
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: sid\n\
             Components: main\nEnabled: no\n",
        );
        let foreign = parse_lines("deb http://vendor.example/apt nodistro main\n");
        assert_eq!(Mirror::choose(&disabled), None);
        assert_eq!(Mirror::choose(&foreign), None);
    }

    #[test]
    fn an_inline_key_keeps_its_continuation_lines() {
        let sources = parse_paragraphs(
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: sid\nComponents: main\n\
             Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\nTrusted: no\n",
        );
        assert_eq!(
            sources[0].signed_by.as_deref(),
            Some("\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF")
        );
    }
}
