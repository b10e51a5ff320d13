//! How the world answers what the engine asks of it, with and without faults.

use proptest::test_runner::TestCaseError;

use super::world::{Open, World, node};
use crate::engine::event::{Call, Change, Command, Reply, What};

impl World {
    /// Lets one pod go, as the API server would.
    fn perform(&mut self, uid: &str, at_once: bool, counted: bool) -> Reply {
        if at_once && let Some(gone) = self.pods.remove(uid) {
            self.tell(&gone.pod.node.clone(), Change::Gone(gone.pod));
            return Reply::Accepted;
        }
        let Some(sim) = self.pods.get_mut(uid) else {
            return Reply::NotFound;
        };
        if let Some(b) = sim.budget.filter(|_| counted && sim.pod.deletion.is_none()) {
            if self.budgets[b].allowed <= 0 {
                return Reply::OverBudget {
                    message: "no".into(),
                    retry_after: Some(0),
                };
            }
            self.budgets[b].allowed -= 1;
            self.budgets[b].changed = true;
        }
        sim.pod.deletion = Some(k8s_openapi::jiff::Timestamp::from_millisecond(self.now + 30_000).unwrap());
        let pod = sim.pod.clone();
        self.tell(&pod.node.clone(), Change::Applied(pod));
        self.evicted_from(uid);
        Reply::Accepted
    }

    pub fn answer_one(&mut self, with_faults: bool) -> Result<(), TestCaseError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let i = usize::try_from(self.roll(64)).unwrap() % self.open.len();
        self.answer_at(i, with_faults)
    }

    pub fn answer_at(&mut self, index: usize, with_faults: bool) -> Result<(), TestCaseError> {
        let Open { call, command } = self.open.swap_remove(index);
        let fault = with_faults && self.one_in(3);
        let reply = match command {
            Command::Cordon { node, .. } => self.cordon(node, fault),
            Command::Uncordon { .. } => Reply::Accepted,
            Command::Remove { node, .. } => self.remove(node, fault),
            Command::Publish { .. } if fault => Reply::Forbidden("no".into()),
            Command::Publish { .. } => Reply::Accepted,
            Command::Evict { pod, .. } => self.evict(&pod.uid, false, true, fault),
            Command::Delete { pod, grace, .. } => self.evict(&pod.uid, grace == Some(0), false, fault),
            Command::List { node, .. } => return self.list(call, node, fault),
            Command::Watch { node: name } => {
                self.watched.insert(name.clone());
                return self.feed(What::Node(Change::Listed(vec![node(&name, &name, true)])));
            }
            Command::Fence { node, act, .. } => return self.answer_fence(call, &node, &act, fault),
            Command::Surge { act, .. } => return self.answer_surge(call, &act, fault),
            _ => return Ok(()),
        };
        self.feed(What::Reply { call, reply })
    }

    fn cordon(&mut self, node: String, fault: bool) -> Reply {
        match self.roll(12) {
            0 if fault => Reply::Denied("no".into()),
            1..=4 if fault => Reply::Unavailable("busy".into()),
            _ => {
                self.cordoned.insert(node);
                Reply::Accepted
            }
        }
    }

    fn remove(&mut self, node: String, fault: bool) -> Reply {
        match self.roll(8) {
            0 if fault => Reply::Unavailable("busy".into()),
            1 if fault => Reply::Rejected("volumes are attached".into()),
            2 if fault => Reply::Lost("before".into()),
            _ if !self.removed.insert(node) => Reply::NotFound,
            3 if fault => Reply::Lost("after".into()),
            _ => Reply::Accepted,
        }
    }

    fn evict(&mut self, uid: &str, at_once: bool, counted: bool, fault: bool) -> Reply {
        let budget = self.pods.get(uid).and_then(|p| p.budget);
        self.asked_without_answer.remove(uid);
        let reply = match self.roll(9) {
            0 if fault => Reply::Throttled { retry_after: Some(1) },
            1 if fault => Reply::Unavailable("busy".into()),
            2 if fault => Reply::Denied("webhook".into()),
            3 if fault => Reply::Contended("conflict".into()),
            4 if fault => Reply::Lost("before".into()),
            5 if fault => {
                self.perform(uid, at_once, counted);
                Reply::Lost("after".into())
            }
            _ => self.perform(uid, at_once, counted),
        };
        if let Some(b) = budget {
            self.under[b].answered(uid, &reply);
        }
        if reply == Reply::Accepted {
            self.accepted.insert(uid.to_owned());
        }
        reply
    }

    fn list(&mut self, call: Call, node: String, fault: bool) -> Result<(), TestCaseError> {
        if fault {
            let reply = Reply::Lost("cut".into());
            return self.feed(What::Reply { call, reply });
        }
        // What was asked for before the node was empty may come after that.
        if self.news.contains_key(&node) {
            self.last_list.insert(node.clone(), self.steps);
        }
        let change = Change::Listed(self.on(&node));
        let call = Some(call);
        self.feed(What::Pods { node, change, call })
    }
}
