//! Nodes on which a run is at work: they are not brought back under its hands.

use std::collections::BTreeMap;

use futures::future::{join, join_all};
use k8s_openapi::{api::core::v1 as core, jiff::Timestamp};
use kube::ResourceExt as _;
use upkeep::{
    lock::{Claim, STALE_AFTER, Verdict, WATCHED_FOR, at_work, judge, verdict},
    ui::Ui,
};

use crate::{
    drive::lock::{Locks, annotation},
    gather::{Nodes, locks::Claims},
};

/// What tells who holds a node.
pub struct Busy<'a> {
    /// The nodes.
    pub api: &'a Nodes,
    /// Their locks.
    pub locks: &'a Locks,
    /// Those that were there when the nodes were read.
    pub claims: &'a Claims,
}

impl Busy<'_> {
    /// The nodes that another run holds, each with the words for it. A claim that only looks stale may be one of a machine
    /// whose clock is wrong: it is watched, as a second run would do. What is renewed meanwhile is alive.
    pub async fn busy(&self, ui: &Ui, nodes: &[core::Node]) -> BTreeMap<String, String> {
        let mut busy = BTreeMap::new();
        let mut doubtful = Vec::new();
        for node in nodes {
            let name = node.name_any();
            match self.claims.of(uid(node), annotation(node), self.locks).0 {
                Verdict::Fresh { holder, retry_in, .. } => {
                    busy.insert(name.clone(), said(&name, &at_work(&holder, retry_in)));
                }
                Verdict::Stale {
                    holder, proven: false, ..
                } => doubtful.push((name, node, holder)),
                _ => {}
            }
        }
        if doubtful.is_empty() {
            return busy;
        }
        let seconds = WATCHED_FOR.as_secs();
        for (name, _, holder) in &doubtful {
            ui.warning(&format!(
                "node/{name} is claimed by {holder}; waiting {seconds}s to see whether that run is alive"
            ));
        }
        tokio::time::sleep(WATCHED_FOR).await;
        let again = join_all(doubtful.iter().map(|(name, ..)| self.api.get_opt(name)));
        let (again, claims) = join(again, Claims::read(self.locks)).await;
        for ((name, node, holder), now) in doubtful.into_iter().zip(again) {
            let now = now.ok().flatten();
            let text = now.as_ref().and_then(|node| annotation(node));
            let claim = claims.get(uid(node));
            let renewed = (text.is_some() && text != annotation(node))
                || (claim.is_some() && claim != self.claims.get(uid(node)));
            if renewed {
                busy.insert(name.clone(), said(&name, &at_work(&holder, STALE_AFTER)));
            }
        }
        busy
    }

    /// The words for the run that holds a node now.
    pub async fn holder(&self, node: &core::Node) -> Option<String> {
        let (now, me) = (Timestamp::now(), self.locks.me());
        let name = node.name_any();
        let claim: Option<Claim> = self.locks.claim(&name, uid(node)).await.ok().flatten();
        let by_lease = claim.map(|claim| judge(&claim, now, me));
        let by_lease = by_lease.filter(|v| is_fresh(v, &|run| self.locks.is_over(run)));
        let by_annotation = Some(verdict(annotation(node), now, me));
        let by_annotation = by_annotation.filter(|v| is_fresh(v, &|run| self.locks.is_annotation_over(run)));
        match by_lease.or(by_annotation)? {
            Verdict::Fresh { holder, retry_in, .. } => Some(said(&name, &at_work(&holder, retry_in))),
            _ => None,
        }
    }

    /// Removes the Lease that a run has left which has ended.
    pub async fn discard(&self, node: &core::Node) {
        if let Some(left) = self.claims.get(uid(node)) {
            self.locks.discard(&node.name_any(), uid(node), left).await;
        }
    }
}

fn is_fresh(verdict: &Verdict, is_over: &dyn Fn(&str) -> bool) -> bool {
    matches!(verdict, Verdict::Fresh { run, .. } if !is_over(run))
}

fn uid(node: &core::Node) -> &str {
    node.metadata.uid.as_deref().unwrap_or_default()
}

fn said(node: &str, text: &str) -> String {
    format!("node/{node}: {text}")
}
