//! Objects of a list or a watch, each decoded by itself: one that does not decode is one object of which less is known, and not
//! the end of the list.
//!
//! What a parser refuses is written by others: dates beyond its calendar (a kubelet writes the status of its pods and its
//! node), values nested deeper than it goes (kinds with free fields), a form that a later release has given to a field. As much
//! as can be read is kept, in steps: without the status, then without the spec but for `nodeName`, then only who it is.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};

/// How much of an object could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// Its status.
    Status,
    /// Everything but its metadata and `spec.nodeName`.
    SpecAndStatus,
    /// Everything but its name, namespace, UID and resourceVersion, as far as it has them.
    AllButName,
}

impl Lost {
    /// What cannot be read, for a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Status => "the status",
            Self::SpecAndStatus => "the spec and the status",
            Self::AllButName => "anything but the name",
        }
    }
}

/// Why an object is not whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unread {
    /// What is missing.
    pub lost: Lost,
    /// The parser's words. They may repeat the object's own text.
    pub why: String,
}

/// How much of the parser's words is kept: they may repeat a long text of the object.
const WORDS: usize = 200;

impl Unread {
    fn new(lost: Lost, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // Line and column are those of a text that nobody has seen.
        let words = text.rsplit_once(" at line ").map_or(text.as_str(), |(words, _)| words);
        Self {
            lost,
            why: words.chars().take(WORDS).collect(),
        }
    }
}

/// Who an object is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Name {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: String,
}

/// One object as far as it can be decoded; nothing where not even its metadata fit its type.
pub struct Decoded<K> {
    /// The object.
    pub object: Option<K>,
    /// Why it is not whole.
    pub unread: Option<Unread>,
    /// Who it is; only filled in where it is not whole.
    pub name: Name,
}

impl<K: DeserializeOwned> Decoded<K> {
    /// Decodes the text of one object.
    pub fn read(text: &str) -> Self {
        let error = match serde_json::from_str(text) {
            Ok(object) => return Self::whole(object),
            Err(error) => error,
        };
        if let Some(object) = with_nearer_dates(text) {
            return Self::whole(object);
        }
        let parts: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).unwrap_or_default();
        let name = name(&parts);
        let salvaged = [
            (Lost::Status, without_status(&parts)),
            (Lost::SpecAndStatus, bare(&parts)),
        ];
        let salvaged = salvaged.into_iter().find_map(|(lost, text)| {
            let text = text?;
            let object = serde_json::from_str(&text).ok().or_else(|| with_nearer_dates(&text));
            Some((lost, object?))
        });
        let (lost, object) = match salvaged {
            Some((lost, object)) => (lost, Some(object)),
            None => (Lost::AllButName, None),
        };
        Self {
            object,
            unread: Some(Unread::new(lost, &error)),
            name,
        }
    }

    fn whole(object: K) -> Self {
        Self {
            object: Some(object),
            unread: None,
            name: Name::default(),
        }
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Decoded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Finding the end of a value takes no recursion, whatever is in it.
        Ok(Self::read(<&RawValue>::deserialize(deserializer)?.get()))
    }
}

// Lists of kube-rs ask for it; nothing is ever cloned.
impl<K: Clone> Clone for Decoded<K> {
    fn clone(&self) -> Self {
        Self {
            object: self.object.clone(),
            unread: self.unread.clone(),
            name: self.name.clone(),
        }
    }
}

/// The last moment that the calendar of this build knows: a date of the year 9999 that is later means the same, "never".
const LATEST: &str = "9999-12-30T22:00:00Z";

/// The object with dates that can be read, where nothing else is wrong with it.
fn with_nearer_dates<K: DeserializeOwned>(text: &str) -> Option<K> {
    fn nearer(value: &mut Value) {
        match value {
            Value::String(text) if text.starts_with("9999-12-3") && text.parse::<Timestamp>().is_err() => {
                LATEST.clone_into(text);
            }
            Value::Array(items) => items.iter_mut().for_each(nearer),
            Value::Object(map) => map.values_mut().for_each(nearer),
            _ => {}
        }
    }
    if !text.contains("9999-12-3") {
        return None;
    }
    // The parser bounds how deep this goes.
    let mut value: Value = serde_json::from_str(text).ok()?;
    nearer(&mut value);
    serde_json::from_value(value).ok()
}

type Parts<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

fn without_status(parts: &Parts<'_>) -> Option<String> {
    let mut parts = parts.clone();
    parts.remove("status")?;
    serde_json::to_string(&parts).ok()
}

fn bare(parts: &Parts<'_>) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec {
        node_name: Option<String>,
    }
    let metadata = parts.get("metadata")?.get();
    let spec = parts.get("spec").and_then(|spec| serde_json::from_str(spec.get()).ok());
    let spec = match spec {
        Some(Spec {
            node_name: Some(node), ..
        }) => json!({ "nodeName": node }),
        _ => json!({}),
    };
    Some(format!(r#"{{"metadata":{metadata},"spec":{spec}}}"#))
}

fn name(parts: &Parts<'_>) -> Name {
    let metadata = parts.get("metadata").map_or("{}", |metadata| metadata.get());
    let metadata: Parts<'_> = serde_json::from_str(metadata).unwrap_or_default();
    let text = |key: &str| {
        metadata
            .get(key)
            .and_then(|value| serde_json::from_str(value.get()).ok())
    };
    Name {
        namespace: text("namespace").unwrap_or_default(),
        name: text("name").unwrap_or_default(),
        uid: text("uid").unwrap_or_default(),
        version: text("resourceVersion").unwrap_or_default(),
    }
}
