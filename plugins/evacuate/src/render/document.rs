//! `-o json` and `-o yaml`: one stable document. Its fields are described in the plugin's page; they are only ever added to.

use serde::Serialize;
use upkeep::report::{Finding, ObjRef};

use super::moves::Move;
use crate::{
    engine::{
        State,
        event::{Outcome, Verb},
    },
    preflight::{budgets::When, preview::Preview},
};

/// The document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    kind: &'static str,
    version: u8,
    dry_run: &'static str,
    /// How it ended; `preview` for a dry run.
    outcome: String,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    nodes: Vec<NodeDoc>,
    moved: Vec<MoveDoc>,
    remaining: Vec<RemainingDoc>,
    plan: PlanDoc<'a>,
    findings: &'a [Finding],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeDoc {
    name: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    cordoned: bool,
    cordoned_by_this_run: bool,
    gone: usize,
    left: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MoveDoc {
    #[serde(flatten)]
    pod: ObjRef,
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Verb>,
    /// Seconds after the run began.
    gone_after: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<SuccessorDoc>,
}

#[derive(Serialize)]
struct SuccessorDoc {
    name: String,
    node: String,
    ready: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RemainingDoc {
    #[serde(flatten)]
    pod: ObjRef,
    node: String,
    state: &'static str,
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanDoc<'a> {
    pods: Vec<PodDoc<'a>>,
    budgets: Vec<BudgetDoc<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodDoc<'a> {
    #[serde(flatten)]
    pod: &'a ObjRef,
    node: &'a str,
    goes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    reasons: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BudgetDoc<'a> {
    #[serde(flatten)]
    budget: &'a ObjRef,
    stated: &'a str,
    allowed: i32,
    healthy: i32,
    needed_healthy: i32,
    pods_in_plan: usize,
    /// What to expect of it.
    class: &'static str,
}

impl<'a> Document<'a> {
    /// The same with these findings.
    pub fn with_findings(mut self, findings: &'a [Finding]) -> Self {
        self.findings = findings;
        self
    }
}

fn plan_doc(preview: &Preview) -> PlanDoc<'_> {
    let pods = preview.pods.iter().map(|plan| PodDoc {
        pod: &plan.pod,
        node: &plan.node,
        goes: plan.is_removed(),
        when: plan.is_removed().then_some(plan.when),
        budget: plan.budget.as_ref().map(|b| b.name.as_str()),
        room: plan.fit.as_ref().filter(|_| plan.judgement.goes).map(|f| f.text()),
        reasons: plan.judgement.reasons.iter().map(|r| r.id).collect(),
    });
    let budgets = preview.budgets.iter().map(|b| BudgetDoc {
        budget: &b.budget,
        stated: &b.stated,
        allowed: b.allowed,
        healthy: b.has_needs.0,
        needed_healthy: b.has_needs.1,
        pods_in_plan: b.outlook.needed,
        class: b.outlook.class.word(),
    });
    PlanDoc {
        pods: pods.collect(),
        budgets: budgets.collect(),
    }
}

/// The document of a preview: a dry run, or a refusal.
pub fn of_preview<'a>(preview: &'a Preview, dry_run: &'static str, outcome: &str, exit: upkeep::Exit) -> Document<'a> {
    let nodes = preview.nodes.iter().map(|name| NodeDoc {
        name: name.clone(),
        state: "Planned".into(),
        reason: None,
        cordoned: false,
        cordoned_by_this_run: false,
        gone: 0,
        left: preview
            .pods
            .iter()
            .filter(|p| p.is_removed() && &p.node == name)
            .count(),
        seconds: None,
    });
    Document {
        kind: "Evacuation",
        version: 1,
        dry_run,
        outcome: outcome.into(),
        exit_code: exit.code(),
        seconds: None,
        nodes: nodes.collect(),
        moved: Vec::new(),
        remaining: Vec::new(),
        plan: plan_doc(preview),
        findings: &preview.findings,
    }
}

/// The document of a run.
pub fn of_run<'a>(
    preview: &'a Preview,
    state: &State,
    outcome: Outcome,
    exit: upkeep::Exit,
    moves: &[Move<'_>],
) -> Document<'a> {
    #[allow(clippy::cast_precision_loss)]
    let seconds = |milliseconds: i64| (milliseconds as f64) / 1_000.0;
    let nodes = state.node_rows().into_iter().map(|node| NodeDoc {
        seconds: node
            .began
            .map(|began| seconds(node.ended.unwrap_or(state.now()) - began)),
        name: node.name,
        state: node.state.into(),
        reason: node.why,
        cordoned: node.cordoned,
        cordoned_by_this_run: node.cordoned_by_us,
        gone: node.gone,
        left: node.left + node.staying,
    });
    let moved = moves.iter().map(|one| MoveDoc {
        pod: one.departed.pod.clone(),
        from: one.departed.node.clone(),
        by: one.departed.verb,
        gone_after: seconds(one.departed.at - state.started()),
        owner: one.departed.owner.as_ref().map(|o| format!("{}/{}", o.kind, o.name)),
        successor: one
            .successor
            .clone()
            .map(|(name, node, ready)| SuccessorDoc { name, node, ready }),
    });
    let remaining = state
        .pod_rows()
        .into_iter()
        .chain(state.untouched_rows())
        .chain(state.staying_rows())
        .map(|row| RemainingDoc {
            pod: row.pod,
            node: row.node,
            state: row.state,
            reason: row.reason,
        });
    Document {
        kind: "Evacuation",
        version: 1,
        dry_run: "none",
        outcome: serde_json::to_value(outcome)
            .ok()
            .and_then(|v| v.as_str().map(Into::into))
            .unwrap_or_default(),
        exit_code: exit.code(),
        seconds: Some(seconds(state.now() - state.started())),
        nodes: nodes.collect(),
        moved: moved.collect(),
        remaining: remaining.collect(),
        plan: plan_doc(preview),
        findings: &preview.findings,
    }
}
