//! Objects of a list or a watch, each decoded by itself: one that does not decode is one object of which less is known, and not
//! the end of the list.
//!
//! What a parser refuses is written by others: dates beyond its calendar (a kubelet writes the status of its pods and its
//! node), values nested deeper than it goes (kinds with free fields), a form that a later release has given to a field. As much
//! as can be read is kept, in steps: without the status, then without the spec but for `nodeName`, then only who it is.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use kube::Resource;
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

/// An object of a kind of Kubernetes as far as it can be decoded: a whole one, or one of which less is known. It is what
/// [`kube::Api`] reads in place of the kind itself.
#[derive(Debug, Clone)]
pub struct Item<K> {
    object: K,
    unread: Option<Unread>,
}

impl<K> Item<K> {
    /// Why it is not whole.
    pub const fn unread(&self) -> Option<&Unread> {
        self.unread.as_ref()
    }

    /// The object.
    pub fn into_inner(self) -> K {
        self.object
    }
}

impl<K: Resource> Item<K> {
    /// Whether it is known who it is: then something can be done with it.
    pub fn has_name(&self) -> bool {
        self.object.meta().name.is_some()
    }
}

impl<'de, K: DeserializeOwned + Resource + Default> Deserialize<'de> for Item<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Decoded { object, unread, name } = Decoded::<K>::deserialize(deserializer)?;
        let object = object.unwrap_or_else(|| {
            let text = |text: String| Some(text).filter(|text| !text.is_empty());
            let mut object = K::default();
            *object.meta_mut() = ObjectMeta {
                namespace: text(name.namespace),
                name: text(name.name),
                uid: text(name.uid),
                resource_version: text(name.version),
                ..ObjectMeta::default()
            };
            object
        });
        Ok(Self { object, unread })
    }
}

impl<K> Deref for Item<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.object
    }
}

impl<K> DerefMut for Item<K> {
    fn deref_mut(&mut self) -> &mut K {
        &mut self.object
    }
}

impl<K: Resource> Resource for Item<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.object.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.object.meta_mut()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::api::core::v1::{Node, Pod};
    use kube::{
        api::WatchEvent,
        core::{ObjectList, PartialObjectMeta},
    };

    use super::*;

    fn deep() -> String {
        format!("{}{}", "[".repeat(200), "]".repeat(200))
    }

    fn list(items: &[String]) -> Vec<Item<Pod>> {
        let items = items.join(",");
        let text =
            format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"9"}},"items":[{items}]}}"#);
        serde_json::from_str::<ObjectList<Item<Pod>>>(&text).unwrap().items
    }

    const META: &str =
        r#""metadata":{"namespace":"shop","name":"a","uid":"u","resourceVersion":"7","labels":{"app":"x"}}"#;

    #[test]
    fn r44_one_object_of_a_list_is_read_as_far_as_it_can_be() {
        let table = [
            (
                r#""spec":{"nodeName":"n","containers":[{"name":"c"}]},"status":{"phase":"Pending"}"#.to_owned(),
                None,
                "n",
                1,
            ),
            // The last day of the calendar, as whoever writes a status may set it.
            (
                r#""spec":{"nodeName":"n","containers":[{"name":"c"}]},"status":{"startTime":"9999-12-31T23:59:59Z"}"#
                    .into(),
                None,
                "n",
                1,
            ),
            (
                r#""spec":{"nodeName":"n","containers":[{"name":"c"}]},"status":{"phase":7}"#.into(),
                Some(Lost::Status),
                "n",
                1,
            ),
            (
                format!(
                    r#""spec":{{"nodeName":"n","containers":[{{"name":"c"}}]}},"status":{{"conditions":{}}}"#,
                    deep()
                ),
                Some(Lost::Status),
                "n",
                1,
            ),
            (
                r#""spec":{"nodeName":"n","containers":{}},"status":{"phase":"Running"}"#.into(),
                Some(Lost::SpecAndStatus),
                "n",
                0,
            ),
            (
                format!(r#""spec":{{"containers":[{{"name":{}}}]}}"#, deep()),
                Some(Lost::SpecAndStatus),
                "",
                0,
            ),
        ];
        for (rest, lost, node, containers) in table {
            let good = format!("{{{META},\"spec\":{{}}}}");
            let found = list(&[good.clone(), format!("{{{META},{rest}}}"), good]);
            let item = &found[1];
            assert_eq!(found.len(), 3);
            assert_eq!(item.unread().map(|u| u.lost), lost, "{rest}");
            assert_eq!(item.metadata.name.as_deref(), Some("a"), "{rest}");
            assert_eq!(item.metadata.labels.as_ref().unwrap()["app"], "x", "{rest}");
            let spec = item.spec.clone().unwrap_or_default();
            assert_eq!(
                (spec.node_name.as_deref().unwrap_or(""), spec.containers.len()),
                (node, containers),
                "{rest}"
            );
        }
    }

    #[test]
    fn r44_who_it_is_survives_metadata_that_do_not_decode() {
        let text = r#"{"metadata":{"namespace":"shop","name":"a","uid":"u","resourceVersion":"7","creationTimestamp":"soon"}}"#;
        let found = list(&[text.into(), r#"{"metadata":[]}"#.into(), "[]".into()]);
        let (named, nameless) = (&found[0], &found[1]);
        assert_eq!(named.unread().map(|u| u.lost), Some(Lost::AllButName));
        assert!(named.has_name() && named.metadata.uid.as_deref() == Some("u"));
        assert_eq!(named.metadata.resource_version.as_deref(), Some("7"));
        assert!(!nameless.has_name() && !found[2].has_name());
        assert!(!named.unread().unwrap().why.contains(" at line "));
    }

    #[test]
    fn r44_events_of_a_watch_and_metadata_decode_in_the_same_way() {
        let text = format!(r#"{{"type":"MODIFIED","object":{{"kind":"Node",{META},"status":{{"conditions":3}}}}}}"#);
        let WatchEvent::Modified(node) = serde_json::from_str::<WatchEvent<Item<Node>>>(&text).unwrap() else {
            panic!("{text}");
        };
        assert_eq!(node.unread().map(|u| u.lost), Some(Lost::Status));
        assert_eq!(node.meta().resource_version.as_deref(), Some("7"));
        let text = format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",{META}}}"#);
        let meta: Item<PartialObjectMeta<Pod>> = serde_json::from_str(&text).unwrap();
        assert!(meta.unread().is_none() && meta.metadata.uid.as_deref() == Some("u"));
        assert!(Item::<PartialObjectMeta<Pod>>::metadata_api());
    }
}
