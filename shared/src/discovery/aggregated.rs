//! The aggregated form: `APIGroupDiscoveryList`.

use serde::Deserialize;
use serde_json::Value;

use super::{Content, Kind, Version};

#[derive(Deserialize)]
struct List {
    kind: String,
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    /// The core group has none.
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct GroupVersion {
    version: String,
    #[serde(default)]
    resources: Vec<Resource>,
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    singular_resource: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    subresources: Vec<Subresource>,
}

#[derive(Deserialize)]
struct ResponseKind {
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct Subresource {
    subresource: String,
}

/// Reads it; nothing where the answer has the older form.
pub fn read(answer: &Value) -> Option<Vec<Version>> {
    let list = List::deserialize(answer).ok()?;
    (list.kind == "APIGroupDiscoveryList").then(|| {
        let groups = list.items.into_iter();
        groups
            .flat_map(|group| {
                let name = group.metadata.name;
                let versions = group.versions.into_iter();
                versions.map(move |version| one(&name, version)).collect::<Vec<_>>()
            })
            .collect()
    })
}

fn one(group: &str, version: GroupVersion) -> Version {
    let content = if version.freshness == "Stale" {
        Content::Unknown("stale GroupVersion discovery".into())
    } else {
        let kinds = version.resources.into_iter();
        Content::Kinds(kinds.filter_map(|r| kind(group, &version.version, r)).collect())
    };
    Version {
        group: group.to_owned(),
        version: version.version,
        content,
    }
}

/// A resource that has only subresources has no kind of its own.
fn kind(group: &str, version: &str, resource: Resource) -> Option<Kind> {
    let kind = resource.response_kind?.kind;
    (!kind.is_empty()).then(|| Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        preferred: false,
        kind,
        plural: resource.resource,
        singular: resource.singular_resource,
        short_names: resource.short_names,
        namespaced: resource.scope == "Namespaced",
        verbs: resource.verbs,
        subresources: resource.subresources.into_iter().map(|s| s.subresource).collect(),
    })
}
