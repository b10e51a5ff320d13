//! A Deployment with its ReplicaSet controller and autoscaler, as a surge finds them.
//!
//! The rules are those of the controllers: a ReplicaSet does not count Terminating pods; it deletes those first that have
//! no node, are not Ready, have the lowest cost, share a node with most others, are the youngest (`ActivePodsWithRanks`).
//! Costs are seen late, as through an informer.

use std::collections::BTreeMap;

use crate::engine::{
    event::{At, Reply},
    surge::{
        record::Written,
        sight::{Act, Autoscaler, Member, Sight},
    },
};

/// How late the ReplicaSet controller may see a mark.
const LAG: At = 1_500;
/// Between two looks of the autoscaler; the real one takes 15 s.
const SYNC: At = 5_000;
/// What a pod takes to get Ready at least. The answer to a request takes less.
const START: At = 1_500;

#[derive(Debug, Clone)]
pub struct SimPod {
    pub member: Member,
    pub marked_at: At,
    /// What the controller knows of its cost.
    pub seen_cost: Option<String>,
}

#[derive(Debug)]
pub struct Cluster {
    pub version: u64,
    pub touched: u64,
    /// The last change that the Deployment controller has looked at.
    pub observed: u64,
    pub now: At,
    pub replicas: i32,
    pub sight: Sight,
    pub pods: Vec<SimPod>,
    /// What its metrics ask for.
    pub wants: Option<i32>,
    pub started: usize,
    /// Whether the budget lets an old pod go while there are more.
    pub opens: bool,
    /// New pods can get Ready.
    pub healthy: bool,
    pub copied: bool,
    pub reconciled: At,
    pub autoscaled: At,
}

impl Cluster {
    pub fn new(old: usize, others: usize, costs: bool, now: At) -> Self {
        let replicas = i32::try_from(old + others).unwrap();
        let mut cluster = Self {
            version: 1,
            touched: 1,
            observed: 1,
            now,
            replicas,
            sight: Sight {
                min_ready: 500,
                patience: 45_000,
                ..Sight::default()
            },
            pods: Vec::new(),
            wants: None,
            started: 0,
            opens: true,
            healthy: true,
            copied: false,
            reconciled: now,
            autoscaled: At::MIN,
        };
        for i in 0..old + others {
            let node = if i < old { "here".to_owned() } else { format!("n{i}") };
            cluster.add(&node, i < old && costs && i % 2 == 0, true);
        }
        cluster.started = 0;
        cluster
    }

    fn add(&mut self, node: &str, cost: bool, ready: bool) {
        let n = self.started;
        self.started += 1;
        self.version += 1;
        self.pods.push(SimPod {
            member: Member {
                name: format!("p{n}-{}", self.version),
                uid: format!("u{n}-{}", self.version),
                version: self.version.to_string(),
                node: node.to_owned(),
                ready,
                set: "rs".into(),
                created: self.now,
                cost: cost.then(|| "7".to_owned()),
                ..Member::default()
            },
            marked_at: At::MIN,
            seen_cost: cost.then(|| "7".to_owned()),
        });
    }

    pub fn living(&self) -> impl Iterator<Item = &SimPod> {
        self.pods.iter().filter(|p| !p.member.deleting)
    }

    pub fn touch(&mut self) {
        self.version += 1;
        self.touched = self.version;
    }

    /// Lets an informer catch up with what is old enough.
    pub fn catch_up(&mut self, all: bool) {
        let now = self.now;
        for pod in &mut self.pods {
            if all || now.saturating_sub(pod.marked_at) >= LAG {
                pod.seen_cost.clone_from(&pod.member.cost);
            }
        }
    }

    /// The ReplicaSet controller.
    pub fn reconcile(&mut self) {
        (self.reconciled, self.observed) = (self.now, self.touched);
        self.catch_up(false);
        self.copied |= self.sight.record.this().is_some();
        let living = i32::try_from(self.living().count()).unwrap();
        if living < self.replicas {
            let node = format!("x{}", self.version);
            self.add(&node, false, false);
            return;
        }
        for _ in self.replicas..living {
            self.delete_one();
        }
    }

    fn delete_one(&mut self) {
        let mut crowded = BTreeMap::<String, usize>::new();
        for pod in self.living() {
            *crowded.entry(pod.member.node.clone()).or_default() += 1;
        }
        let cost = |p: &SimPod| p.seen_cost.as_ref().and_then(|c| c.parse::<i32>().ok()).unwrap_or(0);
        let rank = |p: &SimPod| {
            let m = &p.member;
            (
                !m.node.is_empty(),
                m.ready,
                cost(p),
                -i64::try_from(crowded[&m.node]).unwrap(),
                -m.created,
            )
        };
        let victim = self.living().min_by_key(|p| rank(p)).map(|p| p.member.uid.clone());
        if let Some(pod) = self.pods.iter_mut().find(|p| Some(&p.member.uid) == victim.as_ref()) {
            self.version += 1;
            pod.member.deleting = true;
            pod.member.version = self.version.to_string();
        }
    }

    /// The autoscaler.
    pub fn autoscale(&mut self) {
        let Some(autoscaler) = &self.sight.autoscaler else {
            return;
        };
        if self.now.saturating_sub(self.autoscaled) < SYNC {
            return;
        }
        self.autoscaled = self.now;
        let wanted = self
            .wants
            .unwrap_or(self.replicas)
            .clamp(autoscaler.min, autoscaler.max);
        if wanted != self.replicas {
            self.replicas = wanted;
            self.touch();
        }
    }

    /// One new pod gets Ready, one terminating pod ends.
    pub fn kubelets(&mut self) {
        let (version, now) = (self.version + 1, self.now);
        if self.healthy
            && let Some(pod) = self
                .pods
                .iter_mut()
                .find(|p| !p.member.ready && !p.member.deleting && now.saturating_sub(p.member.created) >= START)
        {
            pod.member.ready = true;
            pod.member.version = version.to_string();
            self.version = version;
        }
        if let Some(i) = self.pods.iter().position(|p| p.member.deleting) {
            self.pods.remove(i);
        }
    }

    /// What a look at the Deployment alone finds.
    pub fn first_half(&self) -> Sight {
        Sight {
            version: self.touched.to_string(),
            replicas: self.replicas,
            observed: self.observed == self.touched,
            ..self.sight.clone()
        }
    }

    /// What is read after it.
    pub fn second_half(&self, mut sight: Sight) -> Sight {
        sight.pods = self.pods.iter().map(|p| p.member.clone()).collect();
        sight.autoscaler.clone_from(&self.sight.autoscaler);
        sight.copies = self.copied.then(|| "rs".to_owned()).into_iter().collect();
        sight
    }

    fn pod(&mut self, uid: &str, version: &str) -> Result<&mut SimPod, Reply> {
        let pod = self
            .pods
            .iter_mut()
            .find(|p| p.member.uid == uid)
            .ok_or(Reply::NotFound)?;
        if pod.member.version == version {
            Ok(pod)
        } else {
            Err(Reply::Conflict("changed".into()))
        }
    }

    pub fn perform(&mut self, act: &Act) -> Reply {
        self.try_perform(act).unwrap_or_else(|reply| reply)
    }

    fn try_perform(&mut self, act: &Act) -> Result<Reply, Reply> {
        let now = self.now;
        let next = self.version + 1;
        let fresh = |version: &str, touched: u64| {
            if version == touched.to_string() {
                Ok(())
            } else {
                Err(Reply::Conflict("changed".into()))
            }
        };
        match act {
            Act::Look => {}
            Act::Write { version, record } => {
                fresh(version, self.touched)?;
                self.sight.record = record.clone().map_or(Written::Nothing, Written::This);
                self.touch();
            }
            Act::Mark { pod, cost, mark } => {
                let pod = self.pod(&pod.uid, &pod.version)?;
                (pod.member.cost, pod.member.mark) = (Some((*cost).into()), Written::This(mark.clone()));
                (pod.member.version, pod.marked_at) = (next.to_string(), now);
                self.version = next;
            }
            Act::Unmark { pod, cost } => {
                let pod = self.pod(&pod.uid, &pod.version)?;
                (pod.member.cost, pod.member.mark) = (cost.clone(), Written::Nothing);
                (pod.member.version, pod.marked_at) = (next.to_string(), now);
                self.version = next;
            }
            Act::Raise { autoscaler, raised } => {
                let found = self.autoscaler(&autoscaler.version)?;
                (found.min, found.max) = (raised.raised_min, raised.raised_max);
                (found.raised, found.version) = (Written::This(raised.clone()), next.to_string());
                self.version = next;
            }
            Act::Restore { autoscaler, limits } => {
                let found = self.autoscaler(&autoscaler.version)?;
                found.min = limits.0.unwrap_or(found.min);
                found.max = limits.1.unwrap_or(found.max);
                (found.raised, found.version) = (Written::Nothing, next.to_string());
                self.version = next;
            }
            Act::Scale { version, replicas } => {
                fresh(version, self.touched)?;
                self.replicas = *replicas;
                self.touch();
            }
            Act::Ask { pod } => {
                let found = self
                    .pods
                    .iter()
                    .find(|p| p.member.uid == pod.uid)
                    .ok_or(Reply::NotFound)?;
                if !self.opens && !found.member.deleting {
                    let message = "no".into();
                    return Err(Reply::OverBudget {
                        message,
                        retry_after: None,
                    });
                }
            }
            Act::ForgetCopy { .. } => self.copied = self.sight.record.this().is_some(),
            Act::All(acts) => {
                let replies: Vec<Reply> = acts.iter().map(|act| self.perform(act)).collect();
                let no = replies.into_iter().find(|reply| *reply != Reply::Accepted);
                return Ok(no.unwrap_or(Reply::Accepted));
            }
        }
        Ok(Reply::Accepted)
    }

    fn autoscaler(&mut self, version: &str) -> Result<&mut Autoscaler, Reply> {
        let found = self.sight.autoscaler.as_mut().ok_or(Reply::NotFound)?;
        if found.version == version {
            Ok(found)
        } else {
            Err(Reply::Conflict("changed".into()))
        }
    }
}
