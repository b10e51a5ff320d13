//! Fences: how the pods of machines that are off are got rid of. [`machine`] is one fence by itself; here it meets the rest
//! of the run: its pods are asked to go whatever their budgets say (they do not run), then the node is said to be off, and
//! once its pods are gone and its volumes detached that is taken back.

pub mod machine;

use self::machine::{Act, Aim, End, Machine, Next, Planned, Sight};
use super::{
    Asked, State,
    event::{At, Call, Command, Note, Outcome, Reply, Verb},
    nodes::Phase,
    pods::{Key, Standing},
};

/// One of them, in this run.
#[derive(Debug)]
pub struct Fence {
    planned: Planned,
    machine: Option<Machine>,
    /// A request is on its way.
    asked: bool,
    look_at: At,
    /// Nothing of it is left to do.
    over: bool,
}

impl Fence {
    pub(super) fn new(planned: Planned) -> Self {
        Self {
            planned,
            machine: None,
            asked: false,
            look_at: At::MIN,
            over: false,
        }
    }

    /// Whether anything of it may be on the node.
    pub(super) fn active(&self) -> bool {
        self.machine.is_some()
    }

    fn is(&self, test: impl Fn(&Machine) -> bool) -> bool {
        self.machine.as_ref().is_some_and(test)
    }
}

impl State {
    /// Whether the machine of this node is confirmed to be off.
    pub(super) fn is_off(&self, node: &str) -> bool {
        let mut nodes = self.nodes.iter().filter(|n| n.target.name == node);
        nodes.any(|n| n.fence.as_ref().is_some_and(|f| !f.over))
    }

    /// Whether the node has been looked at once more, so that its pods may be asked.
    pub(super) fn may_force(&self, index: usize) -> bool {
        let fence = self.nodes[index].fence.as_ref();
        fence.is_none_or(|f| f.over || f.is(Machine::is_certain))
    }

    /// A pod of a machine that is off is asked to go: by an eviction, so that whoever listens hears it; where that is not
    /// allowed, by deletion.
    pub(super) fn force(&mut self, key: &Key) {
        let Some(entry) = self.pods.entries.get(key) else {
            return;
        };
        if entry.forced {
            self.send(key, Verb::Delete, None, Some(0));
        } else if entry.blocked.is_some() {
            self.send(key, Verb::Delete, None, None);
        } else {
            self.send(key, self.settings.verb, None, None);
        }
    }

    /// Whether this answer is one that a pod may give that runs, and not one of a machine that is off.
    pub(super) fn overrules(&mut self, key: &Key, verb: Verb, reply: &Reply) -> bool {
        let no = matches!(reply, Reply::OverBudget { .. } | Reply::Overlap(_) | Reply::Denied(_));
        let node = self.pods.entries.get(key).map(|e| e.node.clone());
        let overruled = verb == Verb::Evict && no && node.is_some_and(|node| self.is_off(&node));
        if overruled {
            self.mark_blocked(key, None, reply.text());
            self.set(key, Standing::Planned);
        }
        overruled
    }

    /// Moves every fence on as far as it goes.
    pub(super) fn walk_fences(&mut self) {
        for index in 0..self.nodes.len() {
            self.begin_fence(index);
            let due = self.aim_further(index);
            let now = self.now;
            let Some(fence) = &mut self.nodes[index].fence else {
                continue;
            };
            let Some(machine) = &mut fence.machine else { continue };
            if due {
                fence.look_at = now;
            }
            if fence.asked {
                continue;
            }
            if fence.look_at <= now {
                let count = machine.counts();
                self.ask_fence(index, Act::Look { count });
            } else {
                let at = fence.look_at;
                self.wake_at(at);
            }
        }
    }

    /// It begins where there is something to force, pods or volumes, or something to take off.
    fn begin_fence(&mut self, index: usize) {
        let node = &self.nodes[index];
        let at_work = matches!(node.phase, Phase::Draining | Phase::Confirming | Phase::Detaching);
        if !at_work || self.ending.is_some() {
            return;
        }
        let pending = self.pods.pending(&node.target.name);
        let now = self.now;
        let uid = node.target.uid.clone();
        let Some(fence) = self.nodes[index].fence.as_mut().filter(|f| !f.over) else {
            return;
        };
        let planned = &fence.planned;
        if fence.machine.is_none() && (pending || planned.left_over || !planned.attached.is_empty()) {
            fence.machine = Some(Machine::new(fence.planned.clone(), uid));
            fence.look_at = now;
        }
    }

    /// Once all its pods have been asked it is time to say that the machine is off.
    fn aim_further(&mut self, index: usize) -> bool {
        let node = &self.nodes[index];
        let at_work = matches!(node.phase, Phase::Draining | Phase::Confirming | Phase::Detaching);
        let unasked = self.pods.of(&node.target.name).any(|(_, e)| {
            matches!(
                e.standing,
                Standing::Planned | Standing::InFlight { .. } | Standing::Unknown
            )
        });
        let Some(fence) = &mut self.nodes[index].fence else {
            return false;
        };
        let Some(machine) = &mut fence.machine else {
            return false;
        };
        if machine.aim() == Aim::Certainty && machine.is_certain() && at_work && !unasked {
            machine.aim_at(Aim::Fenced);
            return true;
        }
        let by_hand = machine.is_by_hand();
        if by_hand {
            self.remove_by_hand(index);
        }
        false
    }

    /// What the pod garbage collector does where it knows the taint.
    fn remove_by_hand(&mut self, index: usize) {
        let name = &self.nodes[index].target.name;
        let ended = |e: &super::pods::Entry| matches!(e.standing, Standing::Terminating { .. }) && !e.forced;
        let here = self.pods.entries.values_mut().filter(|e| e.node == *name);
        for entry in here.filter(|e| ended(e)) {
            entry.forced = true;
            entry.accepted = false;
            entry.standing = Standing::Planned;
        }
    }

    /// The node is empty, and its volumes are detached: whether nothing of its fence is left on it.
    pub(super) fn is_lifted(&mut self, index: usize) -> bool {
        let now = self.now;
        let Some(fence) = &mut self.nodes[index].fence else {
            return true;
        };
        let Some(machine) = &mut fence.machine else { return true };
        if machine.aim() != Aim::Lifted {
            machine.aim_at(Aim::Lifted);
            fence.look_at = now;
        }
        false
    }

    /// The node was given up, or the run ends: what is on it is taken off.
    pub(super) fn stop_fence(&mut self, index: usize, why: &str) {
        let now = self.now;
        let Some(fence) = &mut self.nodes[index].fence else {
            return;
        };
        let Some(machine) = &mut fence.machine else { return };
        machine.stop(why);
        fence.look_at = now;
        if machine.is_untouched() {
            fence.machine = None;
            fence.over = true;
        }
    }

    /// The run ends.
    pub(super) fn end_fences(&mut self, outcome: Outcome) {
        let why = match outcome {
            Outcome::Deadline => "the time of --timeout was up",
            Outcome::Interrupted => "interrupted",
            _ => "the run has ended",
        };
        (0..self.nodes.len()).for_each(|index| self.stop_fence(index, why));
    }

    /// Another run has the node now, and with it what is on it.
    pub(super) fn leave_fence(&mut self, name: &str) {
        if let Some(fence) = self.index(name).and_then(|i| self.nodes[i].fence.as_mut()) {
            fence.machine = None;
            fence.over = true;
        }
    }

    /// Something of the node has changed: the kubelet may be back.
    pub(super) fn stir_fence(&mut self, index: usize) {
        let now = self.now;
        if let Some(fence) = &mut self.nodes[index].fence {
            fence.look_at = fence.look_at.min(now);
        }
    }

    fn ask_fence(&mut self, index: usize, act: Act) {
        let node = &mut self.nodes[index];
        if let Some(fence) = &mut node.fence {
            fence.asked = true;
        }
        let (name, uid) = (node.target.name.clone(), node.target.uid.clone());
        let call = self.call(Asked::Fence {
            index,
            act: act.clone(),
        });
        self.out.push(Command::Fence {
            call,
            node: name,
            uid,
            act,
        });
    }

    /// A look has come back.
    pub(super) fn fence_sighted(&mut self, call: Call, sight: Option<&Sight>) {
        let Some(Asked::Fence { index, .. }) = self.calls.remove(&call) else {
            return;
        };
        let now = self.now;
        let Some(fence) = &mut self.nodes[index].fence else {
            return;
        };
        fence.asked = false;
        let Some(machine) = &mut fence.machine else { return };
        match machine.next(sight, now) {
            Next::Do(act) => self.ask_fence(index, act),
            Next::Wait(until) => fence.look_at = until,
            Next::Over(end) => self.fence_is_over(index, end),
        }
    }

    /// An answer to one of its requests, or to a look that has failed.
    pub(super) fn fence_answered(&mut self, index: usize, act: &Act, reply: Reply) {
        let lately = self.lately_failing();
        let now = self.now;
        let node = self.nodes[index].target.name.clone();
        let Some(fence) = &mut self.nodes[index].fence else {
            return;
        };
        fence.asked = false;
        let Some(machine) = &mut fence.machine else { return };
        let reply = match reply {
            Reply::Forbidden(text) if lately => Reply::Unavailable(text),
            reply => reply,
        };
        let end = machine.answered(act, &reply, now);
        fence.look_at = now.max(machine.asks_again());
        match (act, &reply) {
            (Act::Taint { .. }, Reply::Accepted) => self.tell(Note::Tainted { node }),
            (Act::Untaint { .. }, Reply::Accepted) => self.tell(Note::Untainted { node }),
            (_, Reply::Lost(_) | Reply::Unavailable(_)) => {
                self.last_failure = Some(now);
                self.complain(&reply.text());
            }
            _ => {}
        }
        if let Some(end) = end {
            self.fence_is_over(index, end);
        }
    }

    fn fence_is_over(&mut self, index: usize, end: End) {
        let Some(fence) = &mut self.nodes[index].fence else {
            return;
        };
        fence.machine = None;
        fence.over = true;
        let name = self.nodes[index].target.name.clone();
        match end {
            End::Lifted => {}
            End::Stopped(why) => self.end_node(&name, why),
            End::Stays(why) => {
                self.tell(Note::Warning(format!(
                    "node/{name} stays tainted as out of service, and every pod would be thrown out of it when it comes back: {why}; 'kubectl \
                     taint node {name} node.kubernetes.io/out-of-service-' takes it off"
                )));
                self.end_node(&name, "its taint could not be taken off".into());
            }
        }
    }

    /// Nodes on which something of a fence may have been left, for the report.
    pub fn fenced(&self) -> impl Iterator<Item = &str> {
        let touched = |fence: &Fence| fence.is(|m| !m.is_untouched());
        let nodes = self.nodes.iter().filter(move |n| n.fence.as_ref().is_some_and(touched));
        nodes.map(|n| n.target.name.as_str())
    }
}
