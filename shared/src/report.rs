//! The vocabulary that all plugins share: what an object is called, what was found about it, and what could not be seen.
//!
//! These are plain data. Nothing here prints, and nothing here decides.

use serde::Serialize;

/// One object of the cluster. `uid` is empty only where the object was never read (a dangling reference).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ObjRef {
    /// Kind in kubectl's lower-case resource spelling, with its group where that is not the core group: `pod`,
    /// `deployment.apps`.
    pub kind: String,
    /// Namespace; `None` for cluster-scoped kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

impl ObjRef {
    /// A namespaced object.
    pub fn namespaced(kind: &str, namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            kind: kind.into(),
            namespace: Some(namespace.into()),
            name: name.into(),
            uid: uid.into(),
        }
    }

    /// A cluster-scoped object.
    pub fn cluster(kind: &str, name: &str, uid: &str) -> Self {
        Self {
            kind: kind.into(),
            namespace: None,
            name: name.into(),
            uid: uid.into(),
        }
    }
}

/// `pod/ns/name` or `node/name`: unambiguous, and close to what kubectl prints.
impl std::fmt::Display for ObjRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(ns) => write!(f, "{} {}/{}", self.kind, ns, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; changes nothing.
    Info,
    /// The work goes on, but a person should know before it does.
    Warning,
    /// The work must not start: a safety rule says no.
    Refusal,
}

/// One thing that decide found out, as data: the same finding is a warning line, a preview row and a JSON element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable, documented identifier: `budget-never`, `local-data`.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about; several objects with the same finding are kept together.
    pub subjects: Vec<ObjRef>,
    /// What was seen, as one sentence fragment without a final period.
    pub evidence: String,
    /// What a person can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Something that was to be read from the cluster: either read, or known to be unknown. Never an empty list in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    /// Read completely.
    Known(T),
    /// Could not be read.
    Unknown {
        /// The verb that failed: `list`, `watch`, `get`.
        verb: &'static str,
        /// The resource, as RBAC spells it: `poddisruptionbudgets.policy`.
        resource: String,
        /// Why, in the server's words.
        reason: String,
    },
}

impl<T> Seen<T> {
    /// The value, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// Verb, resource and reason, where it is not known.
    pub fn unknown(&self) -> Option<(&'static str, &str, &str)> {
        match self {
            Self::Known(_) => None,
            Self::Unknown { verb, resource, reason } => Some((verb, resource, reason)),
        }
    }

    /// The same with the known value changed.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Known(value) => Seen::Known(change(value)),
            Self::Unknown { verb, resource, reason } => Seen::Unknown { verb, resource, reason },
        }
    }
}
