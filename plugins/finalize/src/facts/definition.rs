//! What is kept of a CustomResourceDefinition: not its schemas, which are most of the text.

use serde::Deserialize;
use serde_json::Value;

use super::{Object, object::Meta};

/// A definition.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Read")]
pub struct Definition {
    /// Its metadata.
    pub object: Object,
    /// `spec.conversion`.
    pub conversion: Value,
}

#[derive(Deserialize)]
struct Read {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    conversion: Value,
}

impl From<Read> for Definition {
    fn from(read: Read) -> Self {
        Self {
            object: read.metadata.into(),
            conversion: read.spec.conversion,
        }
    }
}
