//! What kube-apiserver was asked, by whom.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::cluster::Cluster;
use crate::wait::wait_for;

/// A place in the audit log.
#[derive(Debug, Clone, Copy)]
pub struct Mark(u64);

/// One request, with the server's answer.
#[derive(Debug, Clone)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `patch`, `update`, `delete`, `deletecollection`.
    pub verb: String,
    /// Path and query.
    pub uri: String,
    /// The HTTP status, 0 if there was none.
    pub code: u16,
    /// What the client calls itself.
    pub user_agent: String,
    /// Who the client is.
    pub user: String,
    /// `ResponseComplete`, `ResponseStarted` (a watch that still runs) or `Panic`.
    pub stage: String,
    /// The resource, `pods`, or empty for a path that is not a resource (discovery).
    pub resource: String,
    /// The subresource, `eviction`, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty.
    pub name: String,
    /// When the server got the request (RFC 3339, microseconds).
    pub received: String,
}

impl Request {
    /// Whether the request asked for a dry run.
    pub fn is_dry_run(&self) -> bool {
        self.uri.contains("dryRun=All")
    }

    /// Whether the request is one that changes something, a dry run or not.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// The audit log of one cluster.
///
/// Not in it: leases, events, and what the control plane's own servers read.
pub struct Audit<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) log: PathBuf,
}

impl Audit<'_> {
    /// Remembers the end of the log; what was asked before is before it.
    pub fn mark(&self) -> Mark {
        self.settle();
        Mark(self.size())
    }

    /// The requests since `mark` of clients whose user agent begins with `agent`, in the order in which they ended.
    pub fn since(&self, mark: Mark, agent: &str) -> Vec<Request> {
        self.settle();
        let mut order: Vec<Request> = Vec::new();
        let mut index_of: HashMap<String, usize> = HashMap::new();
        for event in self
            .events(mark.0)
            .into_iter()
            .filter(|event| event.user_agent.starts_with(agent))
        {
            let id = event.audit_id.clone();
            let request = event.into_request();
            // A watch has two lines, its start and its end.
            match index_of.get(&id) {
                Some(&index) => order[index] = request,
                None => {
                    index_of.insert(id, order.len());
                    order.push(request);
                }
            }
        }
        order
    }

    /// How many requests there were; see [`Audit::since`].
    pub fn count_since(&self, mark: Mark, agent: &str) -> usize {
        self.since(mark, agent).len()
    }

    /// The log is written when an answer has been sent. So wait for a request of our own, which came later.
    fn settle(&self) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let before = self.size();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = format!("/version?testbed={}-{number}", std::process::id());
        let request = http::Request::get(&path)
            .body(Vec::new())
            .unwrap_or_else(|e| panic!("{e}"));
        let client = self.cluster.own_client();
        self.cluster
            .block_on(async move { client.request_text(request).await })
            .unwrap_or_else(|e| panic!("kube-apiserver does not answer: {e}"));
        wait_for("the audit log", Duration::from_secs(20), || {
            self.text(before).contains(&path).then_some(())
        });
    }

    fn size(&self) -> u64 {
        std::fs::metadata(&self.log).map(|m| m.len()).unwrap_or(0)
    }

    fn text(&self, from: u64) -> String {
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(from))?;
            file.read_to_end(&mut bytes)
        });
        read.unwrap_or_else(|e| panic!("failed to read {}: {e}", self.log.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn events(&self, from: u64) -> Vec<Event> {
        let text = self.text(from);
        // The last line may be half written.
        text.split_inclusive('\n')
            .filter(|l| l.ends_with('\n'))
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    user_agent: String,
    object_ref: ObjectRef,
    response_status: ResponseStatus,
    request_received_timestamp: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

impl Event {
    fn into_request(self) -> Request {
        Request {
            verb: self.verb,
            uri: self.request_uri,
            code: self.response_status.code,
            user_agent: self.user_agent,
            user: self.user.username,
            stage: self.stage,
            resource: self.object_ref.resource,
            subresource: self.object_ref.subresource,
            namespace: self.object_ref.namespace,
            name: self.object_ref.name,
            received: self.request_received_timestamp,
        }
    }
}
