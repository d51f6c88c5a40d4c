//! A number of bytes as an operator writes it: `4194304`, `"4MiB"`, `"512 KiB"`.

use toml::de::DeValue;

use super::section::integer;

const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

pub(super) fn from_value(value: &DeValue<'_>) -> Option<u64> {
    integer(value).or_else(|| from_text(value.as_str()?))
}

/// The shortest way to write it.
pub(super) fn to_text(bytes: u64) -> String {
    let (unit, size) = UNITS
        .into_iter()
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size))
        .unwrap_or(("B", 1));
    format!("{}{unit}", bytes / size)
}

fn from_text(text: &str) -> Option<u64> {
    let (number, size) = UNITS
        .into_iter()
        .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))?;
    let number = number.strip_suffix(' ').unwrap_or(number);
    // `parse` alone would take a sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_digits_and_a_binary_unit() {
        let cases = [
            ("4MiB", Some(4 << 20)),
            ("512 KiB", Some(512 << 10)),
            ("1GiB", Some(1 << 30)),
            ("65536B", Some(65536)),
            ("65536", None),
            ("4MB", None),
            ("+4MiB", None),
            ("-4MiB", None),
            ("4  MiB", None),
            ("MiB", None),
            ("0.5MiB", None),
            ("99999999999999GiB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(from_text(text), expected, "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_in_the_largest_unit_that_fits() {
        assert_eq!(to_text(4 << 20), "4MiB");
        assert_eq!(to_text(64 << 10), "64KiB");
        assert_eq!(to_text(1 << 30), "1GiB");
        assert_eq!(to_text(1000), "1000B");
        assert_eq!(to_text(0), "0B");
    }
}
