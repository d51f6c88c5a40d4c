//! A Debian `Packages` index: its paragraphs, its version order, and the choice
//! of one kernel from it.

use std::cmp::Ordering;

use anyhow::{Context, Result};

use super::series::Series;

/// What one paragraph of the index says, as far as a kernel needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The repository's address, which the index does not hold itself.
    pub(crate) repository: String,
    /// The file below that address.
    pub(crate) file: String,
    pub(crate) sha256: String,
    /// Names alone; of alternatives the first.
    pub(crate) depends: Vec<String>,
}

/// The kernels that are made for virtual machines.
const FLAVOURS: [&str; 2] = ["-cloud-amd64", "-cloud-arm64"];

/// The packages of the index whose name is wanted.
pub(crate) fn parse(
    index: &str,
    repository: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Package>> {
    index
        .split("\n\n")
        .filter(|paragraph| {
            let first = paragraph.trim_start().lines().next().unwrap_or_default();
            first.strip_prefix("Package: ").is_some_and(&wanted)
        })
        .map(|paragraph| parse_paragraph(paragraph, repository))
        .collect()
}

/// The newest kernel of the series, and the packages that its files are spread
/// over: newer ones keep the image and the modules in packages of their own,
/// recognised by the same release in their names.
pub(crate) fn choose(packages: &[Package], series: Series) -> Result<Vec<&Package>> {
    let image = packages
        .iter()
        .filter(|package| {
            package
                .release()
                .is_some_and(|release| series.contains(release))
        })
        .max_by(|a, b| {
            compare_versions(&a.version, &b.version).then(a.is_signed().cmp(&b.is_signed()))
        })
        .with_context(|| {
            format!(
                "find a package linux-image-…-cloud-{} of series {} among {} packages",
                series.architecture().debian(),
                series.name(),
                packages.len()
            )
        })?;
    let release = image.release().unwrap_or_default();

    let suffix = format!("-{release}");
    let mut chosen = vec![image];
    for name in image.depends.iter().filter(|name| name.ends_with(&suffix)) {
        let dependency = packages
            .iter()
            .find(|package| package.name == *name && package.version == image.version)
            .with_context(|| {
                format!(
                    "find {name} {}, which {} depends on",
                    image.version, image.name
                )
            })?;
        chosen.push(dependency);
    }
    Ok(chosen)
}

impl Package {
    /// What `uname -r` says of the kernel: `6.1.0-50-cloud-amd64` for
    /// `linux-image-6.1.0-50-cloud-amd64`, signed or not; nothing for debug
    /// symbols and for packages that only name the current kernel.
    pub(crate) fn release(&self) -> Option<&str> {
        let name = self.name.strip_suffix("-unsigned").unwrap_or(&self.name);
        let release = name.strip_prefix("linux-image-")?;
        FLAVOURS
            .iter()
            .any(|flavour| release.ends_with(flavour))
            .then_some(release)
    }

    fn is_signed(&self) -> bool {
        !self.name.ends_with("-unsigned")
    }

    pub(crate) fn address(&self) -> String {
        format!("{}/{}", self.repository.trim_end_matches('/'), self.file)
    }
}

fn parse_paragraph(paragraph: &str, repository: &str) -> Result<Package> {
    let field = |name: &str| {
        paragraph
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    let needed = |name: &str| {
        field(name).with_context(|| {
            let first = paragraph.trim_start().lines().next().unwrap_or_default();
            format!("read field {name} of the index paragraph `{first}`")
        })
    };
    Ok(Package {
        name: needed("Package")?,
        version: needed("Version")?,
        repository: repository.to_owned(),
        file: needed("Filename")?,
        sha256: needed("SHA256")?,
        depends: ["Pre-Depends", "Depends"]
            .iter()
            .flat_map(|name| dependency_names(&field(name).unwrap_or_default()))
            .collect(),
    })
}

/// `a (= 1), b:any | c` as `a`, `b`: of alternatives the first.
fn dependency_names(depends: &str) -> Vec<String> {
    depends
        .split(',')
        .filter_map(|dependency| dependency.split_whitespace().next())
        .filter_map(|name| name.split(':').next())
        .map(str::to_owned)
        .collect()
}

/// Debian's order of versions, `[epoch:]upstream[-revision]`:
/// <https://www.debian.org/doc/debian-policy/ch-controlfields.html#version>
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    let (a_epoch, a_upstream, a_revision) = version_parts(a);
    let (b_epoch, b_upstream, b_revision) = version_parts(b);
    a_epoch
        .cmp(&b_epoch)
        .then_with(|| compare_part(a_upstream, b_upstream))
        .then_with(|| compare_part(a_revision, b_revision))
}

fn version_parts(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    (epoch.parse().unwrap_or(0), upstream, revision)
}

/// Text and numbers in turn, beginning with text, which may be empty.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (a_text, a_rest) = split_at_first(a, |c| c.is_ascii_digit());
        let (b_text, b_rest) = split_at_first(b, |c| c.is_ascii_digit());
        let (a_number, a_rest) = split_at_first(a_rest, |c| !c.is_ascii_digit());
        let (b_number, b_rest) = split_at_first(b_rest, |c| !c.is_ascii_digit());
        let order = compare_text(a_text, b_text).then(number(a_number).cmp(&number(b_number)));
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    Ordering::Equal
}

fn split_at_first(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is_end).unwrap_or(text.len()))
}

fn number(digits: &str) -> u64 {
    digits.parse().unwrap_or(0)
}

/// A tilde sorts before the end, the end before letters, letters before the rest.
fn compare_text(a: &str, b: &str) -> Ordering {
    let weight = |character: Option<char>| match character {
        Some('~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i64::from(u32::from(letter)),
        Some(other) => i64::from(u32::from(other)) + 0x11_0000,
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (next_a, next_b) = (a.next(), b.next());
        let order = weight(next_a).cmp(&weight(next_b));
        if order.is_ne() || next_a.is_none() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::super::series::Series;
    use super::{Package, choose, compare_versions, parse};

    fn parse_kernels(index: &str) -> Vec<Package> {
        let is_kernel = |name: &str| name.starts_with("linux-");
        parse(index, "http://mirror.example/debian/", is_kernel).unwrap()
    }

    fn paragraph(name: &str, version: &str, depends: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nDepends: {depends}\n\
             Description: a kernel: with a colon\n\
             Filename: pool/{name}_{version}.deb\nSHA256: {name}-{version}\n\n"
        )
    }

    fn check(paragraphs: &[String], series: Series, expect: &[&str]) {
        let packages = parse_kernels(&paragraphs.concat());
        let chosen = choose(&packages, series).unwrap();
        let addresses: Vec<_> = chosen.iter().map(|package| package.address()).collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|file| format!("http://mirror.example/debian/pool/{file}.deb"))
            .collect();
        assert_eq!(addresses, expect);
    }

    #[test]
    fn the_newest_of_the_series_is_chosen_and_nothing_of_its_neighbours() {
        let index = [
            paragraph("bash", "5.2-1", ""),
            paragraph("linux-image-6.1.0-9-cloud-amd64", "6.1.27-1", "kmod"),
            paragraph(
                "linux-image-6.1.0-50-cloud-amd64",
                "6.1.176-1",
                "kmod, b | c",
            ),
            paragraph("linux-image-6.1.0-50-cloud-amd64-dbg", "6.1.176-1", ""),
            paragraph("linux-image-6.1.0-51-rt-amd64", "6.1.177-1", ""),
            paragraph("linux-image-6.12.9+deb12-cloud-amd64", "6.12.9-1", ""),
            paragraph("linux-image-cloud-amd64", "6.1.176-1", ""),
        ];
        check(
            &index,
            Series::V6_1,
            &["linux-image-6.1.0-50-cloud-amd64_6.1.176-1"],
        );
    }

    #[test]
    fn a_signed_kernel_is_preferred_and_an_unsigned_one_is_enough() {
        let unsigned = paragraph(
            "linux-image-5.10.0-32-cloud-amd64-unsigned",
            "5.10.223-1",
            "",
        );
        let signed = paragraph("linux-image-5.10.0-32-cloud-amd64", "5.10.223-1", "");
        check(
            std::slice::from_ref(&unsigned),
            Series::V5_10,
            &["linux-image-5.10.0-32-cloud-amd64-unsigned_5.10.223-1"],
        );
        check(
            &[signed, unsigned],
            Series::V5_10,
            &["linux-image-5.10.0-32-cloud-amd64_5.10.223-1"],
        );
    }

    #[test]
    fn packages_of_the_same_release_come_along() {
        let index = [
            paragraph("linux-modules-7.2.13+deb14-cloud-amd64", "7.2.13-1", ""),
            paragraph("linux-binary-7.2.13+deb14-cloud-amd64", "7.2.13-1", ""),
            paragraph(
                "linux-image-7.2.13+deb14-cloud-amd64",
                "7.2.13-1",
                "dracut | initramfs-tools, linux-binary-7.2.13+deb14-cloud-amd64 (= 7.2.13-1), \
                 linux-modules-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)",
            ),
        ];
        check(
            &index,
            Series::Newest,
            &[
                "linux-image-7.2.13+deb14-cloud-amd64_7.2.13-1",
                "linux-binary-7.2.13+deb14-cloud-amd64_7.2.13-1",
                "linux-modules-7.2.13+deb14-cloud-amd64_7.2.13-1",
            ],
        );
    }

    #[test]
    fn an_index_without_the_series_is_an_error() {
        let index = paragraph("linux-image-6.1.0-50-cloud-amd64", "6.1.176-1", "");
        let packages = parse_kernels(&index);
        assert!(choose(&packages, Series::V5_10).is_err());
    }

    #[test]
    fn versions_are_ordered_as_debian_orders_them() {
        for (older, newer) in [
            ("5.10.9-1", "5.10.223-1"),
            ("6.12.115+deb13-1", "6.12.115+deb13.1-1"),
            ("7.0~rc3-1", "7.0-1"),
            ("7.0-1~exp1", "7.0-1"),
            ("9.0-1", "1:1.0-1"),
            ("1.0a-1", "1.0+a-1"),
        ] {
            assert_eq!(
                compare_versions(older, newer),
                Ordering::Less,
                "{older} {newer}"
            );
            assert_eq!(
                compare_versions(newer, older),
                Ordering::Greater,
                "{older} {newer}"
            );
        }
        assert_eq!(compare_versions("6.1.176-1", "6.1.176-1"), Ordering::Equal);
    }
}
