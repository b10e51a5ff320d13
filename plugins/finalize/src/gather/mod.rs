//! Answers the questions of the diagnosis, many at the same time.

mod paths;

pub use self::paths::{of_kind, of_object, segment};

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, future::try_join_all};
use http::Request;
use k8s_openapi::api::core::v1::Node;
use kube::{
    api::{ListParams, ObjectList, Patch, PatchParams},
    core::{Request as Requests, params::DeleteParams, request::Error as RequestError},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use upkeep::{
    client::{Connection, Decoded, Shallow, pages},
    discovery::{Discovery, Kind},
    error::is_transient,
    node::Ready,
};

use crate::facts::answer::{NO_ANSWER, UNREADABLE};
use crate::facts::{Answer, Ask, Definition, Key, Object, Pod, ReadPod, ReadWorkload, Reply, Right, Said, Workload};

/// How many questions are asked at the same time: few enough that a server's fairness lets other clients pass.
const AT_ONCE: usize = 16;
/// Kubelets renew theirs in a namespace of their own.
const NOT_OF_NODES: &str = "metadata.namespace!=kube-node-lease";
/// What a patch would write that is only to find out whether one is let through.
const TOUCH: &str = "kubectl-upkeep/touch";

/// Who patches, for `managedFields`.
pub const MANAGER: &str = "kubectl-finalize";

/// The JSON patch that removes one finalizer from the object that was looked at, and from no other.
pub fn removal(uid: &str, finalizer: &str, at: usize) -> Value {
    let place = format!("/metadata/finalizers/{at}");
    json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": place, "value": finalizer},
        {"op": "remove", "path": place},
    ])
}

/// Asks one cluster.
pub struct Cluster<'a> {
    connection: &'a Connection,
    discovery: &'a Discovery,
    chunk: u32,
}

impl<'a> Cluster<'a> {
    /// `chunk` is the size of a page; 0 asks for everything at once.
    pub fn new(connection: &'a Connection, discovery: &'a Discovery, chunk: u32) -> Self {
        Self {
            connection,
            discovery,
            chunk,
        }
    }

    /// Answers all of them.
    pub async fn answer(&self, asks: BTreeSet<Ask>) -> BTreeMap<Ask, Answer> {
        let each = asks.into_iter().map(|ask| async move {
            let answer = self.one(&ask).await;
            (ask, answer)
        });
        futures::stream::iter(each).buffer_unordered(AT_ONCE).collect().await
    }

    async fn one(&self, ask: &Ask) -> Answer {
        match ask {
            Ask::Get(key) => self.get(key).await,
            Ask::List {
                group,
                plural,
                namespace,
            } => {
                let kind = self.kind(group, plural, None)?;
                let found = self
                    .list::<Value, Value>(&kind, namespace.as_deref(), |r, p| r.list(p))
                    .await;
                found.map(Reply::All)
            }
            Ask::Metadata {
                group,
                plural,
                version,
                namespace,
            } => {
                let kind = self.kind(group, plural, version.as_deref())?;
                let found = self
                    .list::<Object, Object>(&kind, namespace.as_deref(), |r, p| r.list_metadata(p))
                    .await;
                found.map(Reply::Metadata)
            }
            Ask::Pods(namespace) => {
                let pods = self.kind("", "pods", None)?;
                let found = self
                    .list::<ReadPod, Pod>(&pods, namespace.as_deref(), |r, p| r.list(p))
                    .await;
                found.map(Reply::Pods)
            }
            Ask::PodsOn(node) => {
                let pods = self.kind("", "pods", None)?;
                let on = format!("spec.nodeName={node}");
                let form = |r: &Requests, p: &ListParams| r.list(&p.clone().fields(&on));
                let found = self.list::<ReadPod, Pod>(&pods, None, form).await;
                found.map(Reply::Pods)
            }
            Ask::Ready => {
                let nodes = self.kind("", "nodes", None)?;
                let found = self.list::<Node, Condition>(&nodes, None, |r, p| r.list(p)).await?;
                Ok(Reply::Ready(found.into_iter().map(|condition| condition.0).collect()))
            }
            Ask::Workloads => {
                let each = ["deployments", "statefulsets", "daemonsets"].map(async |plural| {
                    let kind = self.kind("apps", plural, None)?;
                    let found = self
                        .list::<ReadWorkload, ReadWorkload>(&kind, None, |r, p| r.list(p))
                        .await?;
                    Ok::<_, Said>(found.into_iter().map(|read| read.of(plural)).collect::<Vec<Workload>>())
                });
                let found = try_join_all(each).await?;
                Ok(Reply::Workloads(found.into_iter().flatten().collect()))
            }
            Ask::Leases => {
                let kind = self.kind("coordination.k8s.io", "leases", None)?;
                let form = |r: &Requests, p: &ListParams| r.list_metadata(&p.clone().fields(NOT_OF_NODES));
                let found = self.list::<Object, Object>(&kind, None, form).await;
                found.map(Reply::Metadata)
            }
            Ask::Definitions => {
                let kind = self.kind("apiextensions.k8s.io", "customresourcedefinitions", None)?;
                let found = self.list::<Definition, Definition>(&kind, None, |r, p| r.list(p)).await;
                found.map(Reply::Definitions)
            }
            Ask::May(right) => self.may(right).await,
            Ask::AccountMay {
                namespace,
                account,
                right,
            } => self.account_may(namespace, account, right).await,
            Ask::Events { namespace, uid } => {
                let kind = self.kind("", "events", None)?;
                let of_it = format!("involvedObject.uid={uid}");
                let form = |r: &Requests, p: &ListParams| r.list(&p.clone().fields(&of_it));
                let found = self.list::<Value, Value>(&kind, Some(namespace), form).await;
                found.map(Reply::All)
            }
            Ask::DryDelete(key) => {
                let params = DeleteParams {
                    dry_run: true,
                    ..DeleteParams::default()
                };
                let path = of_kind(&self.kind_of(key)?, key.namespace.as_deref());
                self.would(Requests::new(path).delete(&segment(&key.name).to_string(), &params))
                    .await
            }
            Ask::DryTouch(key) => {
                let params = PatchParams {
                    dry_run: true,
                    ..PatchParams::default()
                };
                let touch = Patch::Merge(json!({"metadata": {"annotations": {TOUCH: "true"}}}));
                let path = of_kind(&self.kind_of(key)?, key.namespace.as_deref());
                self.would(Requests::new(path).patch(&segment(&key.name).to_string(), &params, &touch))
                    .await
            }
            Ask::DryStrip {
                key,
                uid,
                finalizer,
                at,
            } => {
                let patch = serde_json::from_value(removal(uid, finalizer, *at))
                    .map_err(|e| self.said(&kube::Error::SerdeError(e)))?;
                let params = PatchParams {
                    dry_run: true,
                    field_manager: Some(MANAGER.into()),
                    ..PatchParams::default()
                };
                let path = Requests::new(of_kind(&self.kind_of(key)?, key.namespace.as_deref()));
                let name = segment(&key.name).to_string();
                let request = path.patch(&name, &params, &Patch::<()>::Json(patch));
                let sent = self.object(request.map_err(kube::Error::BuildRequest)).await;
                sent.map(|read| Reply::One(Box::new(read.object)))
            }
        }
    }

    /// Where the server does not say, the attempt will.
    async fn may(&self, right: &Right) -> Answer {
        let spec = json!({"resourceAttributes": attributes(right)});
        self.review("SelfSubjectAccessReview", spec, || format!("you may not {right}"))
            .await
    }

    /// As the API server sees a ServiceAccount: with the groups that all of them are in.
    async fn account_may(&self, namespace: &str, account: &str, right: &Right) -> Answer {
        let groups = [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ];
        let spec = json!({"user": format!("system:serviceaccount:{namespace}:{account}"), "groups": groups,
            "resourceAttributes": attributes(right)});
        let not = || format!("ServiceAccount {namespace}/{account} may not {right}");
        self.review("SubjectAccessReview", spec, not).await
    }

    async fn review(&self, kind: &str, spec: Value, not: impl Fn() -> String) -> Answer {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
        let request = Request::post(format!("/apis/authorization.k8s.io/v1/{}s", kind.to_lowercase()))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(review.to_string().into_bytes());
        match self.object(request.map_err(kube::Error::HttpError)).await {
            Ok(answer) if answer.object["status"]["allowed"] == false => Err(Said {
                code: 403,
                reason: "Forbidden".into(),
                message: not(),
            }),
            _ => Ok(Reply::Done),
        }
    }

    async fn get(&self, key: &Key) -> Answer {
        let path = of_object(&self.kind_of(key)?, key);
        let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
        let Shallow { object, left_out } = self.object(request).await?;
        if !left_out.is_empty() {
            let left_out = left_out.join(", ");
            self.connection
                .warn_once(&format!("{left_out} of {key} cannot be read: it nests too deep"));
        }
        Ok(Reply::One(Box::new(object)))
    }

    async fn would(&self, request: Result<Request<Vec<u8>>, RequestError>) -> Answer {
        let sent = self.object(request.map_err(kube::Error::BuildRequest)).await;
        sent.map(|_| Reply::Done)
    }

    async fn list<K: DeserializeOwned + Clone, T: From<K>>(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        form: impl Fn(&Requests, &ListParams) -> Result<Request<Vec<u8>>, RequestError>,
    ) -> Result<Vec<T>, Said> {
        let path = Requests::new(of_kind(kind, namespace));
        let fetch = async |params: ListParams| {
            let request = form(&path, &params).map_err(kube::Error::BuildRequest)?;
            self.connection.client.request::<ObjectList<Decoded<K>>>(request).await
        };
        let read = |place, found: Decoded<K>| {
            if let Some(unread) = &found.unread {
                let name = &found.name;
                let object = match (name.namespace.as_str(), name.name.as_str()) {
                    (_, "") => format!("number {place} of the list of {}", kind.resource()),
                    ("", name) => format!("{}/{name}", kind.one()),
                    (namespace, name) => format!("{} {namespace}/{name}", kind.one()),
                };
                let (lost, why) = (unread.lost.text(), &unread.why);
                // It stays in the list with its metadata. What would be done to it is decided from itself, which must be read then.
                self.connection
                    .warn_once(&format!("cannot read {lost} of {object}: {why}"));
            }
            found.object.map(T::from)
        };
        let listed = pages(fetch, ListParams::default(), self.chunk, read).await;
        listed.map_err(|error| self.said(&error))
    }

    async fn object(&self, request: kube::Result<Request<Vec<u8>>>) -> Result<Shallow, Said> {
        let read = async {
            let text = self.connection.client.request_text(request?).await?;
            Shallow::read(&text).map_err(kube::Error::SerdeError)
        };
        read.await.map_err(|error| self.said(&error))
    }

    fn kind_of(&self, key: &Key) -> Result<Kind, Said> {
        self.kind(&key.group, &key.plural, None)
    }

    /// The kind in this version, or in the one that the server prefers.
    fn kind(&self, group: &str, plural: &str, version: Option<&str>) -> Result<Kind, Said> {
        let mut versions = self.discovery.versions(group, plural);
        let unserved = || Said {
            code: 404,
            reason: "NotFound".into(),
            message: format!("the server does not serve {plural}.{group}"),
        };
        let preferred = versions.next().ok_or_else(unserved)?;
        Ok(match version {
            Some(version) if version != preferred.version => preferred.in_version(version),
            _ => preferred.clone(),
        })
    }

    fn said(&self, error: &kube::Error) -> Said {
        said(self.connection, error)
    }
}

/// What the server said that does not do it, or why nobody said anything.
pub fn said(connection: &Connection, error: &kube::Error) -> Said {
    match error {
        kube::Error::Api(status) => Said {
            code: status.code,
            reason: status.reason.clone(),
            message: status.message.clone(),
        },
        other => Said {
            code: if is_transient(other) { NO_ANSWER } else { UNREADABLE },
            reason: String::new(),
            message: connection.explain(other).headline().to_owned(),
        },
    }
}

/// All that is kept of a node that is only counted.
struct Condition(Ready);

impl From<Node> for Condition {
    fn from(node: Node) -> Self {
        Self(Ready::of_node(&node).0)
    }
}

fn attributes(right: &Right) -> Value {
    json!({"verb": right.verb, "group": right.group, "resource": right.plural, "subresource": right.subresource,
        "namespace": right.namespace})
}
