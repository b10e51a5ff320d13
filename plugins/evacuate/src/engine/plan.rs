//! What a run starts from: how it was asked to behave, and what preflight hands over.

use std::collections::{BTreeMap, BTreeSet};

use upkeep::report::ObjRef;

use super::{
    event::{At, Verb},
    fence, surge,
};
use crate::{
    facts::{Budget, Uid, Workloads},
    preflight::filters::Rules,
};

/// What to do with pods whose budget lets nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBlocked {
    /// Wait for a budget that can recover; give up on one that never can.
    Patient,
    /// `wait`: wait in any case, as kubectl's drain does.
    Wait,
    /// `fail`: give up unless the budget is only recovering from this run's own evictions.
    Fail,
    /// `delete-after`: delete, without asking the budget, after this many milliseconds without progress.
    DeleteAfter(i64),
}

/// How the run was asked to behave.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the run, as it stands on what it changes.
    pub run: String,
    /// Which pods go.
    pub rules: Rules,
    /// Through the eviction API, or by deletion.
    pub verb: Verb,
    /// `--grace-period` in seconds, where given.
    pub grace: Option<i64>,
    /// When the run ends whatever remains.
    pub deadline: Option<At>,
    /// What to do with pods whose budget lets nothing through.
    pub on_blocked: OnBlocked,
    /// Lower priorities go first, and are gone before higher ones are asked.
    pub by_priority: bool,
    /// How many nodes are emptied at the same time.
    pub parallel: usize,
    /// How many requests are in flight at the same time.
    pub in_flight: usize,
    /// Wait until the volumes of moved pods are detached.
    pub wait_detach: bool,
    /// Wait this many milliseconds for replacements to be Ready.
    pub wait_replacements: Option<i64>,
    /// Remove nodes that are empty from the cluster.
    pub delete: bool,
    /// Take back the own cordon when the run ends without having emptied the node.
    pub uncordon_on_abort: bool,
    /// Seed of the jitter.
    pub seed: u64,
}

/// One node of the plan.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Name of the node.
    pub name: String,
    /// Its UID.
    pub uid: Uid,
    /// Whether it was unschedulable before.
    pub cordoned: bool,
    /// An earlier evacuation has made it so.
    pub evacuated: bool,
    /// Pods that preflight has judged; others that forbid the work make the run take its cordon back.
    pub judged: BTreeSet<Uid>,
    /// Pods that are to go, for the report: until the node is looked at again, nothing newer is known.
    pub planned: Vec<ObjRef>,
    /// Pods that would be evicted if `--pod-selector` did not leave them out, as preflight saw them.
    pub left_out: Vec<ObjRef>,
    /// PersistentVolumes by the pod that uses them.
    pub volumes: BTreeMap<Uid, Vec<String>>,
    /// Its machine is confirmed to be off.
    pub fence: Option<fence::machine::Planned>,
}

/// What preflight hands over.
#[derive(Debug, Default)]
pub struct Plan {
    /// The nodes, in the order in which they are emptied.
    pub targets: Vec<Target>,
    /// All budgets, or `None` where they cannot be read.
    pub budgets: Option<Vec<Budget>>,
    /// Controllers of pods that budgets hold back, as far as they were read.
    pub workloads: Workloads,
    /// Budgets that can never allow an eviction, and pods that several budgets match: a person was told so before the run.
    pub warned: BTreeSet<Uid>,
    /// Living pods per budget before anything was evicted.
    pub baseline: BTreeMap<Uid, usize>,
    /// UIDs of all pods that existed before: what is not among them is a replacement.
    pub before: BTreeSet<Uid>,
    /// Deployments whose pods may be moved by a surge.
    pub surges: Vec<surge::Planned>,
    /// Namespaces of the planned pods.
    pub namespaces: Vec<String>,
}
