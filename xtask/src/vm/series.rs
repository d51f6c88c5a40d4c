//! The kernels that matter: one per Debian release, the newest there is, and one for another
//! architecture.

use super::architecture::Architecture;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Series {
    /// Debian 11: the oldest kernel that is supported
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13
    #[value(name = "6.12")]
    V6_12,
    /// Debian unstable
    Newest,
    /// Debian 13 for 64-bit ARM
    Aarch64,
}

impl Series {
    pub(crate) const ALL: [Self; 5] = [
        Self::V5_10,
        Self::V6_1,
        Self::V6_12,
        Self::Newest,
        Self::Aarch64,
    ];
    pub(crate) const OLDEST: Self = Self::V5_10;

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Newest => "newest",
            Self::Aarch64 => "aarch64",
        }
    }

    pub(crate) fn architecture(self) -> Architecture {
        match self {
            Self::V5_10 | Self::V6_1 | Self::V6_12 | Self::Newest => Architecture::Amd64,
            Self::Aarch64 => Architecture::Arm64,
        }
    }

    /// The suites that may hold the series. The second of a pair is the
    /// security archive, where the newer builds of an old series appear first,
    /// and where alone they stay once the release leaves normal support.
    pub(crate) fn suites(self) -> &'static [&'static str] {
        match self {
            Self::V5_10 => &["bullseye", "bullseye-security"],
            Self::V6_1 => &["bookworm", "bookworm-security"],
            Self::V6_12 | Self::Aarch64 => &["trixie", "trixie-security"],
            Self::Newest => &["sid"],
        }
    }

    /// Whether a kernel release such as `6.1.0-50` is of this series. The
    /// suites hold others too: backports, and release candidates.
    pub(crate) fn contains(self, release: &str) -> bool {
        let prefix = match self {
            Self::V5_10 => "5.10.",
            Self::V6_1 => "6.1.",
            Self::V6_12 | Self::Aarch64 => "6.12.",
            Self::Newest => return release.starts_with(|first: char| first.is_ascii_digit()),
        };
        release.starts_with(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Series;

    #[test]
    fn a_series_is_not_a_prefix_of_another() {
        assert!(Series::V6_1.contains("6.1.0-50"));
        assert!(!Series::V6_1.contains("6.12.117+deb13"));
        assert!(Series::Newest.contains("7.2.13+deb14"));
    }
}
