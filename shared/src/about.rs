//! What a build of a plugin says of itself.

use std::{fmt, ops::RangeInclusive};

/// The releases of Kubernetes that all tests have passed with; how that was done is in `docs/development.md`.
pub const KUBERNETES: RangeInclusive<Minor> = Minor(1, 33)..=Minor(1, 37);

/// A minor release of Kubernetes, `1.36`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor(u32, u32);

impl Minor {
    /// From its numbers.
    pub fn of(major: u32, minor: u32) -> Self {
        Self(major, minor)
    }

    /// From the two numbers as a server tells them. Hosted clusters add something: `36+`, `36-gke.1`.
    pub fn parse(major: &str, minor: &str) -> Option<Self> {
        let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        Some(Self(number(major)?, number(minor)?))
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// What `--version` prints after the name: `v0.1.0 (commit 3f2a..., Kubernetes 1.33 to 1.37)`.
pub fn version(version: &str, commit: &str) -> String {
    let (first, last) = KUBERNETES.into_inner();
    format!("v{version} (commit {commit}, Kubernetes {first} to {last})")
}
