//! Which versions of the contract this host speaks.
//!
//! Versions that a plugin cannot tell apart form a line: those of equal major, and below 1.0 of equal minor. Each line
//! stays as it was released; a host that speaks a newer one keeps the older ones beside it, each with the code that
//! connects it to what the host is now.

use semver::Version;

use super::CONTRACT;

/// A line of versions of the contract. Whoever adds one finds by the compiler's errors where it has to be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContractLine {
    /// 0.1.0 and what follows before 0.2.0.
    V0_1,
}

impl ContractLine {
    /// All that this host speaks, oldest first.
    pub const ALL: [Self; 1] = [Self::V0_1];

    /// The newest version of the line that this host speaks.
    pub const fn newest(self) -> Version {
        match self {
            Self::V0_1 => CONTRACT,
        }
    }

    /// The line of `contract`; none when this host does not speak it, or speaks only older versions of its line.
    pub fn of(contract: &Version) -> Option<Self> {
        let speaks = |line: &Self| {
            let newest = line.newest();
            let same_line =
                contract.major == newest.major && (newest.major > 0 || contract.minor == newest.minor);
            same_line && *contract <= newest && contract.pre.is_empty()
        };
        Self::ALL.into_iter().find(speaks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_belongs_to_the_line_that_it_cannot_be_told_from() {
        assert_eq!(ContractLine::of(&Version::new(0, 1, 0)), Some(ContractLine::V0_1));
        for other in ["0.1.1", "0.0.9", "0.2.0", "1.1.0", "0.1.0-alpha"] {
            assert_eq!(ContractLine::of(&other.parse().expect("a version")), None, "{other}");
        }
    }
}
