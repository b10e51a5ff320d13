//! A Deployment with pods on the first node that only a surge can move, among everything else that happens.

use k8s_openapi::api::core::v1 as api;
use proptest::test_runner::TestCaseError;
use serde_json::json;
use upkeep::report::ObjRef;

use super::{
    rules::fail,
    world::{SimPod, World},
};
use crate::{
    engine::{
        event::{At, Call, Change, Command, Outcome, Reply, What},
        surge::{
            Planned,
            record::Written,
            sight::{Act, Member},
            sim::cluster::Cluster,
        },
    },
    facts::Pod,
};

/// Where its pods are that are to go.
pub const HOME: &str = "n0";
/// Controllers and servers answer within this time, as in the random orders of a surge alone.
const PROMPT: At = 600;

/// The Deployment, and what was done to it.
pub struct Surged {
    pub cluster: Cluster,
    wanted: usize,
    old: Vec<String>,
    /// A surge of it was begun.
    begun: bool,
    /// One of its pods was evicted: then it has fewer for a while.
    evicted: bool,
    /// When the engine has last asked.
    asked: At,
}

impl Surged {
    pub fn new(old: usize, now: At) -> Self {
        let cluster = Cluster::new(old, 1, false, now);
        let uids = cluster.pods[..old].iter().map(|p| p.member.uid.clone());
        Self {
            wanted: old + 1,
            old: uids.collect(),
            cluster,
            begun: false,
            evicted: false,
            asked: now,
        }
    }

    pub fn planned(&self) -> Planned {
        Planned {
            deployment: ObjRef::namespaced("deployment.apps", "ns", "web", "web"),
            pods: self.old.iter().cloned().collect(),
            force: false,
            autoscaled: false,
            unfinished: None,
        }
    }

    /// Its pods on the first node, as the engine sees them.
    pub fn pods(&self) -> Vec<SimPod> {
        let here = self.cluster.pods.iter().filter(|p| self.old.contains(&p.member.uid));
        here.map(|p| SimPod {
            pod: seen(&p.member),
            budget: None,
            movable: true,
            born: 0,
        })
        .collect()
    }

    pub fn is_one_of_its(&self, uid: &str) -> bool {
        self.old.iter().any(|old| old == uid)
    }

    fn is_under_way(&self) -> bool {
        self.cluster.sight.record != Written::Nothing
    }
}

fn seen(member: &Member) -> Pod {
    let pod: api::Pod = serde_json::from_value(json!({
        "metadata": {"namespace": "ns", "name": member.name, "uid": member.uid, "labels": {"budget": "none"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": true}]},
        "spec": {"nodeName": HOME, "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap();
    pod.into()
}

impl World {
    /// What is due of its controllers, and of the server's answers to a surge. `true` where an answer was given.
    pub fn keep_prompt(&mut self) -> Result<bool, TestCaseError> {
        let Some(surged) = &mut self.surged else {
            return Ok(false);
        };
        surged.cluster.now = self.now;
        if self.now - surged.cluster.reconciled >= PROMPT {
            surged.cluster.reconcile();
            self.mirror();
        }
        let overdue = self.surged.as_ref().is_some_and(|s| self.now - s.asked >= PROMPT);
        let open = self
            .open
            .iter()
            .position(|o| matches!(o.command, Command::Surge { .. }));
        match open.filter(|_| overdue) {
            Some(index) => self.answer_at(index, true).map(|()| true),
            None => Ok(false),
        }
    }

    /// Its controllers, kubelets and watch.
    pub fn surge_moves(&mut self) -> Result<(), TestCaseError> {
        let what = self.roll(4);
        let now = self.now;
        let Some(surged) = &mut self.surged else { return Ok(()) };
        surged.cluster.now = now;
        match what {
            0 => surged.cluster.reconcile(),
            1 | 2 => surged.cluster.kubelets(),
            _ => surged.cluster.catch_up(true),
        }
        self.mirror();
        self.check_surge()?;
        let deployment = "web".to_owned();
        self.feed(What::Stirred { deployment })
    }

    /// All of it, in a fair world.
    pub fn surge_settles(&mut self) -> Result<(), TestCaseError> {
        let now = self.now;
        let Some(surged) = &mut self.surged else { return Ok(()) };
        surged.cluster.now = now;
        surged.cluster.catch_up(false);
        surged.cluster.reconcile();
        surged.cluster.kubelets();
        self.mirror();
        self.check_surge()
    }

    pub fn surge_asked(&mut self) {
        if let Some(surged) = &mut self.surged {
            surged.asked = self.now;
        }
    }

    pub fn answer_surge(&mut self, call: Call, act: &Act, fault: bool) -> Result<(), TestCaseError> {
        let roll = if fault { self.roll(4) } else { 9 };
        if let (Some(surged), Act::Write { record: Some(_), .. }) = (&mut self.surged, act) {
            surged.begun = true;
        }
        let Some(surged) = &mut self.surged else { return Ok(()) };
        surged.cluster.now = self.now;
        let reply = match (act, roll) {
            (_, 0) => Reply::Lost("before".into()),
            (_, 1) => Reply::Unavailable("busy".into()),
            (Act::Look, _) => {
                let half = surged.cluster.first_half();
                let sight = Some(Box::new(surged.cluster.second_half(half)));
                return self.feed(What::Sight { call, sight });
            }
            (act, 2) => {
                surged.cluster.perform(act);
                Reply::Lost("after".into())
            }
            (act, _) => surged.cluster.perform(act),
        };
        self.feed(What::Reply { call, reply })
    }

    /// A pod of the Deployment was evicted.
    pub fn evicted_from(&mut self, uid: &str) {
        if let Some(surged) = self.surged.as_mut().filter(|s| s.is_one_of_its(uid)) {
            surged.evicted = true;
            let pods = &mut surged.cluster.pods;
            if let Some(pod) = pods.iter_mut().find(|p| p.member.uid == uid) {
                pod.member.deleting = true;
            }
        }
    }

    /// It may be asked to go after its surge was given up, and not before it was begun or in the middle of it.
    pub fn check_not_surged(&self, uid: &str) -> Result<(), TestCaseError> {
        match &self.surged {
            Some(s) if s.is_one_of_its(uid) && !s.begun => fail(format!("{uid} is evicted, and was never surged")),
            Some(s) if s.is_one_of_its(uid) && s.is_under_way() => {
                fail(format!("{uid} is evicted in the middle of its surge"))
            }
            _ => Ok(()),
        }
    }

    /// The API shows on the node what the Deployment's controllers have done.
    fn mirror(&mut self) {
        let Some(surged) = &self.surged else { return };
        let deletion = k8s_openapi::jiff::Timestamp::from_millisecond(self.now + 30_000).unwrap();
        let mut news = Vec::new();
        for uid in &surged.old {
            let there = surged.cluster.pods.iter().find(|p| &p.member.uid == uid);
            match (there, self.pods.get_mut(uid)) {
                (None, Some(_)) => news.extend(self.pods.remove(uid).map(|gone| Change::Gone(gone.pod))),
                (Some(p), Some(sim)) if p.member.deleting && sim.pod.deletion.is_none() => {
                    sim.pod.deletion = Some(deletion);
                    news.push(Change::Applied(sim.pod.clone()));
                }
                _ => {}
            }
        }
        news.into_iter().for_each(|change| self.tell(HOME, change));
    }

    /// Never a third instance, never an outage.
    fn check_surge(&self) -> Result<(), TestCaseError> {
        let Some(surged) = self.surged.as_ref().filter(|s| !s.evicted) else {
            return Ok(());
        };
        let living = surged.cluster.living().count();
        let ready = surged.cluster.living().filter(|p| p.member.ready).count();
        if living > surged.wanted + surged.old.len() || ready < surged.wanted {
            return fail(format!("{living} pods live, {ready} are Ready: {:?}", surged.cluster));
        }
        Ok(())
    }

    /// Nothing of a surge is left, but where the run was ended before it could be undone; then that is known.
    pub fn check_unsurged(&self) -> Result<(), TestCaseError> {
        let Some(surged) = &self.surged else { return Ok(()) };
        let marked = surged.cluster.living().any(|p| p.member.mark != Written::Nothing);
        let scaled = usize::try_from(surged.cluster.replicas).unwrap() != surged.wanted;
        let left = surged.is_under_way() || marked || scaled;
        let in_time = matches!(self.finished, Some(Outcome::Done | Outcome::Incomplete));
        if left && (in_time || self.state.surging().next().is_none()) {
            return fail(format!(
                "{:?} leaves a surge behind: {:?}",
                self.finished, surged.cluster
            ));
        }
        Ok(())
    }
}
