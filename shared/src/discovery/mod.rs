//! What the server serves: groups, versions and kinds, and of which it cannot say so.
//!
//! One request each to `/api` and `/apis` in the aggregated form (KEP-3352). It alone tells that a version is stale, which is
//! how a dead aggregated API shows: kubectl leaves such a group out without a word, and kube-rs either fails as a whole or
//! drops the mark. What is stale, and everything on servers without that form, is asked for version by version, and each
//! failure is kept.

mod aggregated;
mod names;
#[cfg(test)]
mod tests;
mod versions;

use http::{Request, header::ACCEPT};
use kube::{Client, api::ApiResource};
use serde_json::Value;

use crate::client::Connection;
use crate::error::{Error, Result};

/// Both forms; a server without the first gives the second.
const BOTH: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// What the server serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Every kind in every version, in the order of the server: the core group first, the preferred version of a group
    /// before its others.
    pub kinds: Vec<Kind>,
    /// Versions of which the server cannot say what is in them.
    pub dark: Vec<Dark>,
}

/// One kind, as one version of its group serves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kind {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its version: `v1`.
    pub version: String,
    /// Whether this version is the one that the server prefers among those of its group that have this kind.
    pub preferred: bool,
    /// `Pod`.
    pub kind: String,
    /// `pods`.
    pub plural: String,
    /// `pod`; empty where an old server does not tell.
    pub singular: String,
    /// `po`.
    pub short_names: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// `list`, `delete` and so on.
    pub verbs: Vec<String>,
    /// `status`, `scale`.
    pub subresources: Vec<String>,
}

/// A version of which the server cannot say what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dark {
    /// Its group.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Why, in the server's words.
    pub reason: String,
}

impl Dark {
    /// The name of the APIService, and what kubectl calls such a version.
    pub fn api_service(&self) -> String {
        format!("{}.{}", self.version, self.group)
    }
}

impl Kind {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// As RBAC and kubectl spell it: `pods`, `deployments.apps`.
    pub fn resource(&self) -> String {
        dotted(&self.plural, &self.group)
    }

    /// As an [`crate::report::ObjRef`] calls one of its objects: `pod`, `deployment.apps`.
    pub fn one(&self) -> String {
        let singular = if self.singular.is_empty() {
            self.kind.to_ascii_lowercase()
        } else {
            self.singular.clone()
        };
        dotted(&singular, &self.group)
    }

    /// Whether the server does this with it.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// Whether it is this kind of this group, in whatever version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// What kube-rs wants to know for a request.
    pub fn api_resource(&self) -> ApiResource {
        ApiResource {
            group: self.group.clone(),
            version: self.version.clone(),
            api_version: self.api_version(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
        }
    }

    /// The same kind in another version.
    pub fn in_version(&self, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            preferred: false,
            ..self.clone()
        }
    }
}

fn dotted(name: &str, group: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{group}")
    }
}

impl Discovery {
    /// Asks the server.
    ///
    /// # Errors
    /// A server that answers neither `/api` nor `/apis`. One version that does not answer is no error, see
    /// [`Discovery::dark`].
    pub async fn ask(connection: &Connection) -> Result<Self> {
        let client = &connection.client;
        let (core, groups) = futures::join!(get(client, "/api", BOTH), get(client, "/apis", BOTH));
        let explain = |error: kube::Error| connection.explain(&error);
        let answers = [core.map_err(explain)?, groups.map_err(explain)?];
        let mut versions = Vec::new();
        for answer in answers {
            versions.extend(aggregated::read(&answer).unwrap_or_else(|| versions::read(&answer)));
        }
        let found = Self::from_versions(versions::fill(connection, versions).await);
        if found.find("namespaces").is_none() {
            let error = Error::failed(format!(
                "{} serves no namespaces, so that it is no Kubernetes API",
                connection.server
            ));
            return Err(error.hint("look at the address of the server in the kubeconfig"));
        }
        Ok(found)
    }

    fn from_versions(versions: Vec<Version>) -> Self {
        let mut found = Self::default();
        for version in versions {
            match version.content {
                Content::Kinds(kinds) => {
                    for mut kind in kinds {
                        let known = |other: &Kind| other.group == kind.group && other.plural == kind.plural;
                        kind.preferred = !found.kinds.iter().any(known);
                        found.kinds.push(kind);
                    }
                }
                Content::Unknown(reason) => found.dark.push(Dark {
                    group: version.group,
                    version: version.version,
                    reason,
                }),
            }
        }
        found
    }

    /// The kinds in the version that the server prefers: each kind once.
    pub fn preferred(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter().filter(|kind| kind.preferred)
    }

    /// All versions of a kind, the preferred one first.
    pub fn versions<'a>(&'a self, group: &'a str, plural: &'a str) -> impl Iterator<Item = &'a Kind> {
        self.kinds
            .iter()
            .filter(move |kind| kind.group == group && kind.plural == plural)
    }
}

/// One version of one group, before it is known whether its kinds are.
struct Version {
    group: String,
    version: String,
    content: Content,
}

enum Content {
    Kinds(Vec<Kind>),
    /// Why not.
    Unknown(String),
}

async fn get(client: &Client, path: &str, accept: &str) -> kube::Result<Value> {
    let request = Request::get(path).header(ACCEPT, accept).body(Vec::new());
    let request = request.map_err(kube::Error::HttpError)?;
    client.request(request).await
}
