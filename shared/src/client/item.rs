//! What [`kube::Api`] reads in place of a kind itself, so that one object that cannot be decoded is not the end of a list.

use std::{
    borrow::Cow,
    ops::{Deref, DerefMut},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{Decoded, Unread};

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

    use super::{super::Lost, *};

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
