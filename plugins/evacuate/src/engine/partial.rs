//! Pods that stay on an emptied node although a whole evacuation would evict them: the caller left them out, passes over them,
//! or they came back.

use std::collections::BTreeMap;

use upkeep::ui::plural;

use super::{State, pods::Standing, view::PodRow};
use crate::{facts::Pod, preflight::filters::judge};

/// Why `--pod-selector` keeps a pod.
pub(super) const LEFT_OUT: &str = "left out by --pod-selector";
/// Why `--skip-wait-for-delete-timeout` keeps a pod.
pub(super) const PASSED_OVER: &str = "Terminating for longer than --skip-wait-for-delete-timeout";
/// Why a pod is not evicted a second time.
pub(super) const CAME_BACK: &str = "it came back";

impl State {
    /// What a fresh list shows besides the selected pods. Only those count that a whole evacuation would evict.
    pub(super) fn left_out(&mut self, node: &str, pods: &[Pod]) {
        let now = self.instant();
        let rules = &self.settings.rules;
        let counts = |pod: &&Pod| judge(pod, rules, now).goes || rules.passes_over(pod, now);
        let left_out = pods.iter().filter(counts).map(Pod::reference).collect();
        if let Some(index) = self.index(node) {
            self.nodes[index].target.left_out = left_out;
        }
    }

    /// The pods that stay on this node, each with its reason.
    pub(super) fn staying_on(&self, index: usize) -> Vec<PodRow> {
        let target = &self.nodes[index].target;
        let entries = self.pods.of(&target.name);
        let stays = entries.filter(|(_, e)| matches!(e.standing, Standing::PassedOver | Standing::Returned));
        let left_out = target.left_out.iter().map(|pod| PodRow {
            pod: pod.clone(),
            node: target.name.clone(),
            state: "NotAsked",
            reason: LEFT_OUT.into(),
            since: None,
            blocked: false,
            held: false,
        });
        stays.map(|(key, entry)| self.row(key, entry)).chain(left_out).collect()
    }

    /// Why the node is not empty although nothing more is to be evicted: `1 pod left out by --pod-selector`.
    pub(super) fn why_partial(&self, index: usize) -> Option<String> {
        let mut reasons = BTreeMap::<String, usize>::new();
        for row in self.staying_on(index) {
            *reasons.entry(row.reason).or_default() += 1;
        }
        let each = reasons.into_iter().map(|(reason, count)| match reason.as_str() {
            CAME_BACK if count == 1 => "1 pod that came back".to_owned(),
            CAME_BACK => format!("{count} pods that came back"),
            reason => format!("{} {reason}", plural(count, "pod")),
        });
        let each: Vec<String> = each.collect();
        (!each.is_empty()).then(|| format!("still on it: {}", each.join(", ")))
    }
}
