//! What the caller may do, asked before anything is done.

use std::collections::BTreeSet;

use futures::future::{join_all, try_join_all};
use k8s_openapi::{
    api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    apimachinery::pkg::apis::meta::v1::APIResourceList,
};
use kube::api::{Api, PostParams};
use upkeep::{Error, Result, client::Connection};

/// One right that the work needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The verb.
    pub verb: &'static str,
    /// The API group, or nothing.
    pub group: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The subresource, or nothing.
    pub subresource: &'static str,
    /// Asked per namespace where it is not held everywhere.
    pub namespaced: bool,
}

/// Cordoning.
pub const PATCH_NODES: Right = Right {
    verb: "patch",
    group: "",
    resource: "nodes",
    subresource: "",
    namespaced: false,
};
/// Removing nodes.
pub const DELETE_NODES: Right = Right {
    verb: "delete",
    group: "",
    resource: "nodes",
    subresource: "",
    namespaced: false,
};
/// Evicting.
pub const EVICT_PODS: Right = Right {
    verb: "create",
    group: "",
    resource: "pods",
    subresource: "eviction",
    namespaced: true,
};
/// Deleting.
pub const DELETE_PODS: Right = Right {
    verb: "delete",
    group: "",
    resource: "pods",
    subresource: "",
    namespaced: true,
};

/// Surging a Deployment that has an autoscaler.
pub const PATCH_AUTOSCALERS: Right = Right {
    verb: "patch",
    group: "autoscaling",
    resource: "horizontalpodautoscalers",
    subresource: "",
    namespaced: true,
};
/// Surging a Deployment.
pub const SURGE: [Right; 3] = [
    Right {
        verb: "patch",
        group: "",
        resource: "pods",
        subresource: "",
        namespaced: true,
    },
    Right {
        verb: "patch",
        group: "apps",
        resource: "deployments",
        subresource: "",
        namespaced: true,
    },
    Right {
        verb: "update",
        group: "apps",
        resource: "deployments",
        subresource: "scale",
        namespaced: true,
    },
];

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        let dot = if self.group.is_empty() { "" } else { "." };
        let Self {
            verb,
            group,
            resource,
            subresource,
            ..
        } = self;
        write!(f, "{verb} {resource}{dot}{group}{slash}{subresource}")
    }
}

/// Fails with the rights that are missing, each with where it is missing.
///
/// # Errors
/// Missing rights; no answer.
pub async fn require(
    connection: &Connection,
    rights: &[Right],
    nodes: &[String],
    namespaces: &BTreeSet<String>,
) -> Result<()> {
    let missing = try_join_all(rights.iter().map(|right| missing(connection, right, nodes, namespaces))).await?;
    let missing: Vec<String> = missing.into_iter().flatten().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let who = connection.user.as_deref().map_or(String::new(), |user| {
        format!(" with the user {user:?} of the kubeconfig")
    });
    let error = Error::failed(format!("you may not do what this needs{who}; nothing was changed"));
    let error = missing.into_iter().fold(error, |error, text| error.caused_by(text));
    Err(error.hint("ask for these rights (docs/rbac has ClusterRoles with all that evacuate needs), or see what you have with 'kubectl auth can-i --list'"))
}

async fn missing(
    connection: &Connection,
    right: &Right,
    nodes: &[String],
    namespaces: &BTreeSet<String>,
) -> Result<Option<String>> {
    if allowed(connection, right, None, None).await? {
        return Ok(None);
    }
    let (word, places): (&str, Vec<&String>) = if right.namespaced {
        ("namespace", namespaces.iter().collect())
    } else {
        ("node", nodes.iter().collect())
    };
    let answers = join_all(places.iter().map(|place| {
        let (namespace, name) = if right.namespaced {
            (Some(place.as_str()), None)
        } else {
            (None, Some(place.as_str()))
        };
        allowed(connection, right, namespace, name)
    }));
    let mut denied = Vec::new();
    for (place, answer) in places.iter().zip(answers.await) {
        if !answer? {
            denied.push(place.as_str());
        }
    }
    if denied.is_empty() {
        return Ok(None);
    }
    let more = denied.len().saturating_sub(5);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    denied.truncate(5);
    let plural = if denied.len() > 1 { "s" } else { "" };
    Ok(Some(format!(
        "missing: {right} ({word}{plural} {}{more})",
        denied.join(", ")
    )))
}

async fn allowed(connection: &Connection, right: &Right, namespace: Option<&str>, name: Option<&str>) -> Result<bool> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(right.verb.into()),
                group: Some(right.group.into()),
                resource: Some(right.resource.into()),
                subresource: Some(right.subresource.to_owned()).filter(|s| !s.is_empty()),
                namespace: namespace.map(Into::into),
                name: name.map(Into::into),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(connection.client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    match answer {
        Ok(review) => Ok(review.status.is_some_and(|s| s.allowed)),
        // Who may not even ask is told by the first real request.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(true),
        Err(error) => Err(connection.explain(&error)),
    }
}

/// How this server evicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// The group and version of the eviction object.
    Served(&'static str),
    /// It has no eviction API: pods can only be deleted.
    Absent,
}

/// Asks the server whether pods have an eviction subresource, and in which version.
///
/// # Errors
/// The server's.
pub async fn eviction_support(connection: &Connection) -> Result<Eviction> {
    let resources = connection
        .client
        .list_core_api_resources("v1")
        .await
        .map_err(|e| connection.explain(&e))?;
    Ok(read_support(&resources))
}

fn read_support(list: &APIResourceList) -> Eviction {
    let found = list
        .resources
        .iter()
        .find(|r| r.name == "pods/eviction" && r.kind == "Eviction");
    match found.map(|r| (r.group.as_deref(), r.version.as_deref())) {
        None => Eviction::Absent,
        Some((Some("policy"), Some("v1beta1"))) => Eviction::Served("policy/v1beta1"),
        Some(_) => Eviction::Served("policy/v1"),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;

    use super::*;

    fn list(version: Option<&str>) -> APIResourceList {
        let eviction = version.map(|version| APIResource {
            name: "pods/eviction".into(),
            kind: "Eviction".into(),
            group: Some("policy".into()),
            version: Some(version.into()),
            ..APIResource::default()
        });
        APIResourceList {
            group_version: "v1".into(),
            resources: eviction.into_iter().collect(),
        }
    }

    /// Only the newest of the three still exists as a server, so the discovery document stands in for the others.
    #[test]
    fn v1_v2_v3_the_eviction_version_is_discovered() {
        assert_eq!(read_support(&list(None)), Eviction::Absent);
        assert_eq!(read_support(&list(Some("v1"))), Eviction::Served("policy/v1"));
        assert_eq!(read_support(&list(Some("v1beta1"))), Eviction::Served("policy/v1beta1"));
    }
}
