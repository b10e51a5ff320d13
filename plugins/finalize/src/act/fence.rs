//! A node whose machine is confirmed to be powered off is tainted as out of service, and is looked at for as long as the taint
//! stands: where its kubelet is reporting again the machine is on, and the taint would force every pod off it.

use std::cell::RefCell;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use upkeep::{
    Error, Exit, Result,
    node::{self, Kubelet, LEASE_NAMESPACE, OUT_OF_SERVICE, Ready, WATCHED},
};

use super::{Hands, Made};
use crate::{
    facts::{Answer, Ask, Key, Object, Reply, Said},
    gather::Cluster,
    wait,
};

/// That the taint is ours: the same annotation as that of `kubectl evacuate`, whose `--uncordon` removes both.
pub const OFF: &str = "kubectl-upkeep/out-of-service";

/// Nodes that this run has tainted.
#[derive(Debug, Default)]
pub struct Fences(RefCell<Vec<Fence>>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fence {
    node: String,
    uid: String,
    /// When its kubelet had last renewed its Lease when it was judged to have stopped reporting.
    renewed: Option<Timestamp>,
}

/// A node that could be looked at, and whatever speaks against its being fenced.
struct Seen {
    node: Value,
    doubt: Option<String>,
}

impl Hands<'_> {
    /// Looks once more, and taints the node. `object` is the node that the change is bound to.
    pub(super) async fn out_of_service(
        &self,
        node: &str,
        renewed: Option<Timestamp>,
        object: &Value,
        dry_run: bool,
    ) -> Made {
        let fence = Fence {
            node: node.to_owned(),
            uid: object["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            renewed,
        };
        let refused = |why: &str| Error::refused(format!("node/{node} was not tainted as out of service: {why}"));
        let seen = self
            .look_at(&fence, true)
            .await
            .map_err(|said| refused(&said.message))?;
        let Some(seen) = seen else {
            return Err(refused("it does not exist any more").into());
        };
        if let Some(why) = seen.doubt {
            return Err(refused(&why).into());
        }
        let taint = json!({"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"});
        let taints = seen.node["spec"]["taints"].as_array();
        if taints.is_some_and(|all| all.iter().any(|t| t["key"] == OUT_OF_SERVICE)) {
            return Ok(());
        }
        let mut operations = vec![match taints {
            Some(_) => json!({"op": "add", "path": "/spec/taints/-", "value": taint}),
            None => json!({"op": "add", "path": "/spec/taints", "value": [taint]}),
        }];
        if !seen.node["metadata"]["annotations"].is_object() {
            operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
        }
        operations.push(json!({"op": "add", "path": annotation(), "value": self.mark()}));
        // Bound to what was looked at: the kubelet may have reported meanwhile.
        let version = &seen.node["metadata"]["resourceVersion"];
        operations.insert(
            0,
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}),
        );
        // The server may have heard a request whose answer is lost: the run checks the node from now on.
        if !dry_run {
            self.save_pods_on(node).await?;
            self.fences.0.borrow_mut().push(fence);
        }
        let key = Key::cluster("", "nodes", node);
        self.patched(&key, &seen.node, operations, dry_run).await
    }

    /// Saves the pods of the node that the taint forces off and no controller starts again. Where that cannot be done the node
    /// is not tainted.
    async fn save_pods_on(&self, node: &str) -> Result<()> {
        let refused = |why: &str| {
            let text = format!("node/{node} was not tainted as out of service: its pods cannot be saved first");
            Error::refused(text).caused_by(why)
        };
        let ask = Ask::PodsOn(node.to_owned());
        let cluster = Cluster::new(self.connection, self.discovery, super::CHUNK);
        let pods = match cluster.answer([ask.clone()].into_iter().collect()).await.remove(&ask) {
            Some(Ok(Reply::Pods(pods))) => pods,
            Some(Err(said)) => return Err(refused(&said.message)),
            _ => return Err(refused("the server does not list them")),
        };
        let lost = pods
            .into_iter()
            .filter(|pod| pod.is_forced_off() && pod.is_lost_beside(&self.target));
        for Object {
            namespace, name, uid, ..
        } in lost.map(|pod| pod.object)
        {
            let ask = Ask::Get(Key::within("", "pods", &namespace.unwrap_or_default(), &name));
            let found = read(cluster.answer([ask.clone()].into_iter().collect()).await.remove(&ask));
            // Where it is another one by now, it has left before the taint.
            if let Some(pod) = found
                .map_err(|said| refused(&said.message))?
                .filter(|pod| pod["metadata"]["uid"] == uid.as_str())
            {
                self.backup.save(&pod).map_err(|error| error.with_exit(Exit::Refused))?;
            }
        }
        Ok(())
    }

    /// Watches the Lease of a node for a while: until it changes, or for as long as a kubelet takes to renew it. What that
    /// means is judged when the node is tainted. A node without a Lease is not waited for.
    pub async fn watch_lease(&self, node: &str) {
        let key = lease(node);
        let kind = self.discovery.versions(&key.group, &key.plural).next();
        if let (Some(kind), Ok(lease)) = (kind, self.read(&key).await) {
            let version = lease["metadata"]["resourceVersion"].as_str().unwrap_or("0");
            wait::for_news(self.connection, kind, &key, version, WATCHED).await;
        }
    }

    /// Looks at every node that this run has tainted, and removes the taint from those that must not have it any more. Says what
    /// was done. One that cannot be reached is looked at the next time.
    pub async fn look_after_fences(&self) -> Vec<Result<String>> {
        let fences = self.fences.0.borrow().clone();
        let mut said = Vec::new();
        for fence in fences {
            let over = match self.look_at(&fence, false).await {
                Err(_) => false,
                Ok(None) => true,
                Ok(Some(Seen { doubt: None, .. })) => false,
                Ok(Some(Seen { node, doubt: Some(why) })) => {
                    let key = Key::cluster("", "nodes", &fence.node);
                    // Where nothing of ours is on the node, it may be on its way there.
                    let removed = self.in_service(&key, &node).await.unwrap_or(None);
                    let over = matches!(removed, Some(Ok(_)));
                    said.extend(removed.map(|removed| removed.map(|text| format!("{text}: {why}"))));
                    over
                }
            };
            if over {
                self.fences.0.borrow_mut().retain(|standing| *standing != fence);
            }
        }
        said
    }

    /// The node as it is now, if it is still the same. `count`: together with how many others have stopped reporting, which
    /// only matters before something is forced.
    async fn look_at(&self, fence: &Fence, count: bool) -> std::result::Result<Option<Seen>, Said> {
        let (node, lease) = (
            Ask::Get(Key::cluster("", "nodes", &fence.node)),
            Ask::Get(lease(&fence.node)),
        );
        let mut asks = vec![node.clone(), lease.clone()];
        asks.extend(count.then_some(Ask::Ready));
        let cluster = Cluster::new(self.connection, self.discovery, super::CHUNK);
        let mut answers = cluster.answer(asks.into_iter().collect()).await;
        let mut one = |ask: &Ask| read(answers.remove(ask));
        let Some(node) = one(&node)?.filter(|node| node["metadata"]["uid"] == fence.uid.as_str()) else {
            return Ok(None);
        };
        let (lease, unread) = match one(&lease) {
            Ok(lease) => (lease, None),
            Err(said) if said.code == 403 => (None, Some(said.message)),
            Err(said) => return Err(said),
        };
        let unavailable = match answers.remove(&Ask::Ready) {
            Some(Ok(Reply::Ready(all))) => {
                Some((all.iter().filter(|ready| **ready == Ready::Unknown).count(), all.len()))
            }
            Some(Err(said)) => return Err(said),
            _ => None,
        };
        let kubelet = Kubelet {
            ready: ready(&node),
            renewed: lease.as_ref().and_then(renewed).map(Timestamp::as_millisecond),
            unread: unread.as_deref(),
            unavailable,
        };
        let doubt = node::doubt_since(&kubelet, fence.renewed.map(Timestamp::as_millisecond));
        Ok(Some(Seen {
            node,
            doubt: doubt.map(|doubt| doubt.to_string()),
        }))
    }

    /// What stands on a node that was tainted for this target.
    pub(super) fn mark(&self) -> String {
        format!("finalize {}", self.target)
    }
}

/// The Lease that the kubelet of a node renews.
fn lease(node: &str) -> Key {
    Key::within("coordination.k8s.io", "leases", LEASE_NAMESPACE, node)
}

/// Where [`OFF`] is in a node.
pub(super) fn annotation() -> String {
    format!("/metadata/annotations/{}", OFF.replace('/', "~1"))
}

/// One object; nothing where there is none.
fn read(answer: Option<Answer>) -> std::result::Result<Option<Value>, Said> {
    match answer {
        Some(Ok(Reply::One(object))) => Ok(Some(*object)),
        Some(Err(said)) if !said.is_missing() => Err(said),
        _ => Ok(None),
    }
}

fn ready(node: &Value) -> Ready {
    let conditions = node["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|c| c["type"] == "Ready");
    Ready::of(ready.and_then(|c| c["status"].as_str()))
}

fn renewed(lease: &Value) -> Option<Timestamp> {
    lease["spec"]["renewTime"].as_str()?.parse().ok()
}
