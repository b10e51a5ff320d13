//! Which nodes other runs hold, as the preflight sees it. One that only may have ended is looked into when the node is taken.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use upkeep::lock::{Claim, LOCK, Verdict, at_work, judge, verdict};

use crate::{
    drive::lock::Locks,
    facts::{Claimed, Node, Uid},
};

/// The claims of the whole cluster, by UID of the node.
#[derive(Debug, Default)]
pub struct Claims(BTreeMap<Uid, Claim>);

impl Claims {
    /// Reads them. Nothing where they may not be read.
    pub async fn read(locks: &Locks) -> Self {
        let claims = locks.claims().await;
        Self(claims.into_iter().map(|(node, claim)| (node.uid, claim)).collect())
    }

    /// The claim on a node.
    pub fn get(&self, uid: &str) -> Option<&Claim> {
        self.0.get(uid)
    }

    /// What the Lease and the annotation of a node mean for this run, and whether it is the annotation that says so.
    pub fn of(&self, uid: &str, annotation: Option<&str>, locks: &Locks) -> (Verdict, bool) {
        let (now, me) = (Timestamp::now(), locks.me());
        let over = |verdict: Verdict, is_over: &dyn Fn(&str) -> bool| match verdict {
            Verdict::Fresh { run, .. } | Verdict::Stale { run, .. } if is_over(&run) => Verdict::Free,
            verdict => verdict,
        };
        let lease = self.0.get(uid).map_or(Verdict::Free, |claim| judge(claim, now, me));
        match over(lease, &|run| locks.is_over(run)) {
            Verdict::Free | Verdict::Mine => {
                let text = verdict(annotation, now, me);
                (over(text, &|run| locks.is_annotation_over(run)), true)
            }
            held => (held, false),
        }
    }

    /// The nodes among these that another run holds.
    pub fn held<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>, locks: &Locks) -> Vec<Claimed> {
        let held = nodes.into_iter().filter_map(|node| {
            let text = node.annotations.get(LOCK).map(String::as_str);
            match self.of(&node.uid, text, locks) {
                (Verdict::Fresh { run, holder, retry_in }, by_annotation) => Some(Claimed {
                    node: node.name.clone(),
                    run,
                    text: at_work(&holder, retry_in),
                    by_annotation,
                }),
                _ => None,
            }
        });
        held.collect()
    }

    /// Names of the nodes among these on which some run is at work.
    pub fn busy<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>, locks: &Locks) -> BTreeSet<String> {
        self.held(nodes, locks).into_iter().map(|held| held.node).collect()
    }
}
