//! Version by version: `APIVersions`, `APIGroupList`, and one `APIResourceList` for each.

use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::Value;

use super::{Content, Kind, Version, get};
use crate::client::Connection;

/// How many versions are asked for at the same time.
const AT_ONCE: usize = 16;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Known {
    /// Of `/api`.
    versions: Vec<String>,
    /// Of `/apis`.
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    #[serde(default)]
    versions: Vec<GroupVersion>,
    preferred_version: Option<GroupVersion>,
}

#[derive(Deserialize, PartialEq)]
struct GroupVersion {
    version: String,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: String,
    #[serde(default)]
    singular_name: String,
    #[serde(default)]
    namespaced: bool,
    kind: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
}

/// The versions without their kinds, which have to be asked for.
pub fn read(answer: &Value) -> Vec<Version> {
    let known = Known::deserialize(answer).unwrap_or_default();
    let unasked = |group: &str, version: String| Version {
        group: group.to_owned(),
        version,
        content: Content::Unknown(String::new()),
    };
    let core = known.versions.into_iter().map(|version| unasked("", version));
    let groups = known.groups.into_iter().flat_map(|mut group| {
        if let Some(preferred) = &group.preferred_version {
            group.versions.sort_by_key(|version| version != preferred);
        }
        let versions = group.versions.into_iter();
        versions.map(|v| unasked(&group.name, v.version)).collect::<Vec<_>>()
    });
    core.chain(groups).collect()
}

/// Asks for the kinds of those that have none yet. A version may be called stale although it answers by now.
pub async fn fill(connection: &Connection, versions: Vec<Version>) -> Vec<Version> {
    let each = versions.into_iter().map(|version| async move {
        let Content::Unknown(stale) = &version.content else {
            return version;
        };
        let content = match ask(connection, &version).await {
            Ok(kinds) => Content::Kinds(kinds),
            Err(error) => {
                let answer = connection.explain(&error).headline().to_owned();
                let said = [stale.as_str(), &answer].map(str::to_owned);
                Content::Unknown(
                    said.into_iter()
                        .filter(|s| !s.is_empty())
                        .collect::<Vec<_>>()
                        .join("; "),
                )
            }
        };
        Version { content, ..version }
    });
    futures::stream::iter(each).buffered(AT_ONCE).collect().await
}

async fn ask(connection: &Connection, version: &Version) -> kube::Result<Vec<Kind>> {
    let path = if version.group.is_empty() {
        format!("/api/{}", version.version)
    } else {
        format!("/apis/{}/{}", version.group, version.version)
    };
    let answer = get(&connection.client, &path, "application/json").await?;
    let list = List::deserialize(answer).map_err(kube::Error::SerdeError)?;
    Ok(kinds(&version.group, &version.version, list))
}

fn kinds(group: &str, version: &str, list: List) -> Vec<Kind> {
    let mut found = Vec::<Kind>::new();
    let (parts, wholes): (Vec<Resource>, Vec<Resource>) =
        list.resources.into_iter().partition(|r| r.name.contains('/'));
    for resource in wholes {
        let of_it = parts.iter().filter_map(|part| part.name.split_once('/'));
        let subresources = of_it.filter(|(whole, _)| *whole == resource.name);
        found.push(Kind {
            group: group.to_owned(),
            version: version.to_owned(),
            preferred: false,
            subresources: subresources.map(|(_, part)| part.to_owned()).collect(),
            kind: resource.kind,
            plural: resource.name,
            singular: resource.singular_name,
            short_names: resource.short_names,
            namespaced: resource.namespaced,
            verbs: resource.verbs,
        });
    }
    found
}
