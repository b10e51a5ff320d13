//! The requests of a fence. Each change is bound to the node that was looked at, by UID and resourceVersion.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use k8s_openapi::{api::core::v1 as core, jiff::Timestamp};
use kube::{Api, Error, ResourceExt as _, api::ListParams, core::Status};
use serde_json::{Value, json};

use super::{claim::params, cordon::first_accepted, runs};
use crate::{
    engine::fence::machine::{Act, Sight},
    facts::{Node, OUT_OF_SERVICE, OUT_OF_SERVICE_TAINT, OutOfService, Ready},
    gather::{Lists, Nodes, silence::last_heard},
};

/// The value that the documentation of Kubernetes gives the taint; nothing reads it.
const VALUE: &str = "nodeshutdown";
const EFFECT: &str = "NoExecute";

/// One node whose machine is off.
pub struct Fencing {
    /// The cluster.
    pub lists: Lists,
    /// Name of the node.
    pub node: String,
    /// Its UID.
    pub uid: String,
    /// This run.
    pub run: String,
    /// Nodes whose taint is this run's although no annotation says so.
    pub bare: Bare,
}

/// Names of nodes that this run has tainted and that take no annotation.
pub type Bare = Rc<RefCell<BTreeSet<String>>>;

impl Fencing {
    fn nodes(&self) -> Nodes {
        Api::all(self.lists.client())
    }

    /// Reads the node and its Lease, and counts the silent nodes where that is asked for.
    ///
    /// # Errors
    /// The server's.
    pub async fn look(&self, count: bool) -> Result<Option<Sight>, Error> {
        let (client, nodes) = (self.lists.client(), self.nodes());
        let all = async {
            if count {
                let all = self.lists.all::<core::Node, Heard>(ListParams::default()).await?;
                let silent = all.iter().filter(|n| n.0 == Ready::Unknown).count();
                return Ok(Some((silent, all.len())));
            }
            Ok(None)
        };
        let node = nodes.get_opt(&self.node);
        let lease = async { Ok(last_heard(&client, &self.node).await) };
        let (node, renewed, silent) = futures::try_join!(node, lease, all)?;
        let (renewed, unheard) = match renewed {
            Ok(renewed) => (renewed, None),
            Err(Error::Api(status)) if status.code == 403 => (None, Some(status.message.clone())),
            Err(error) => return Err(error),
        };
        Ok(node.map(|node| {
            let version = node.resource_version().unwrap_or_default();
            let node = Node::from(node.into_inner());
            let (taint, bare) = (node.out_of_service(), self.bare.borrow().contains(&node.name));
            Sight {
                taint: taint.map(|whose| if bare { OutOfService::Ours } else { whose }),
                record: node.annotations.contains_key(OUT_OF_SERVICE),
                uid: node.uid,
                version,
                ready: node.ready,
                renewed: renewed.map(Timestamp::as_millisecond),
                unheard,
                silent,
            }
        }))
    }

    /// Sends one request. Returns what the run does without, where the server refuses the annotation.
    ///
    /// # Errors
    /// The server's; a conflict where the node has changed since it was looked at.
    pub async fn act(&self, act: &Act) -> Result<Option<String>, Error> {
        let (version, on) = match act {
            Act::Look { .. } => return Ok(None),
            Act::Taint { version } => (version, true),
            Act::Untaint { version } => (version, false),
        };
        // The list of taints is replaced as a whole, so it has to be read.
        let node = self.nodes().get(&self.node).await?;
        if node.uid().as_deref() != Some(&self.uid) || node.resource_version().as_ref() != Some(version) {
            return Err(Error::Api(Box::new(
                Status::failure("it has changed since it was looked at", "Conflict").with_code(409),
            )));
        }
        let mut taints = without_taint(&node);
        if on {
            taints.push(core::Taint {
                key: OUT_OF_SERVICE_TAINT.into(),
                value: Some(VALUE.into()),
                effect: EFFECT.into(),
                time_added: None,
            });
        }
        let plain = json!({
            "metadata": { "uid": self.uid, "resourceVersion": version },
            "spec": { "taints": taints },
        });
        let mut whole = plain.clone();
        whole["metadata"]["annotations"] = json!({ OUT_OF_SERVICE: if on { json!(self.run) } else { Value::Null } });
        let (index, refused) = first_accepted(&self.nodes(), &self.node, &params(), vec![whole, plain]).await?;
        if !on {
            self.bare.borrow_mut().remove(&self.node);
            return Ok(None);
        }
        runs::remember(&self.run, &self.uid, runs::Act::OutOfService);
        if index == 0 {
            return Ok(None);
        }
        self.bare.borrow_mut().insert(self.node.clone());
        let (node, why) = (&self.node, refused.unwrap_or_default());
        Ok(Some(format!(
            "node/{node} is tainted without an annotation, because the server refuses it: {why}; if this run is cut off, nothing \
             removes the taint: 'kubectl taint node {node} {OUT_OF_SERVICE_TAINT}-' does"
        )))
    }
}

/// The taints of a node but the one that a fence has put there.
pub fn without_taint(node: &core::Node) -> Vec<core::Taint> {
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let others = taints.filter(|t| t.key != OUT_OF_SERVICE_TAINT || t.effect != EFFECT);
    others.cloned().collect()
}

/// Whether a node is heard of: many are counted, and nothing else of them is kept.
struct Heard(Ready);

impl From<core::Node> for Heard {
    fn from(node: core::Node) -> Self {
        Self(Node::from(node).ready)
    }
}
