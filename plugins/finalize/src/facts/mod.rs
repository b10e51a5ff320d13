//! What was read, as plain data. Nothing here decides.

pub mod answer;
mod ask;
mod definition;
mod object;
mod pod;
mod refusal;
mod workload;
mod writer;

pub use answer::{Answer, Reply, Said};
pub use ask::{Ask, Key, Right, is_built_in, singular};
pub use definition::Definition;
pub use object::Object;
pub use pod::{Pod, Read as ReadPod};
pub use refusal::Refusal;
pub use workload::{Read as ReadWorkload, Workload};
pub use writer::{CONDITION, last_writer};

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use upkeep::discovery::Discovery;

/// What is known when it is decided what holds the target.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When the questions were answered, by the server's clock.
    pub now: Timestamp,
    /// How far that is ahead of this machine's.
    pub skew: SignedDuration,
    /// What the server serves.
    pub discovery: Discovery,
    /// What will not go away.
    pub target: Key,
    /// Answers to what the diagnosis has asked for so far.
    pub answers: BTreeMap<Ask, Answer>,
    /// Nobody deletes it yet: what would hold it?
    pub preflight: bool,
    /// Resources and groups that the namespace may leave behind.
    pub leave_behind: Vec<String>,
    /// Nodes that a person has confirmed to be powered off.
    pub powered_off: Vec<String>,
    /// Objects that this run has tried to change, and what the server said instead.
    pub refused: BTreeMap<Key, Said>,
    /// Webhooks that this run leaves something out of: the configuration, and the name of the webhook.
    pub opened: BTreeSet<(Key, String)>,
    /// Whether the server has `matchConditions` of webhooks.
    pub match_conditions: bool,
}

impl Facts {
    /// Nothing is known yet.
    pub fn of(discovery: &Discovery, target: Key, skew: SignedDuration) -> Self {
        Self {
            now: Timestamp::now() + skew,
            skew,
            discovery: discovery.clone(),
            target,
            answers: BTreeMap::new(),
            preflight: false,
            leave_behind: Vec::new(),
            powered_off: Vec::new(),
            refused: BTreeMap::new(),
            opened: BTreeSet::new(),
            match_conditions: false,
        }
    }

    /// Takes in what was answered just now.
    pub fn learn(&mut self, answers: BTreeMap<Ask, Answer>) {
        self.answers.extend(answers);
        self.now = Timestamp::now() + self.skew;
    }

    /// What nobody has answered.
    pub fn silent(&self) -> BTreeSet<Ask> {
        let silent = self.answers.iter().filter(|(_, answer)| is_silence(answer));
        silent.map(|(ask, _)| ask.clone()).collect()
    }

    /// Why nothing can be said of the whole: nobody answers for the target itself, or for what was answered the last time. What
    /// was `silent` then, too, is a kind that cannot be asked.
    pub fn unreachable(&self, silent: &BTreeSet<Ask>) -> Option<&str> {
        let target = Ask::Get(self.target.clone());
        let mut news = self
            .answers
            .iter()
            .filter(|(ask, answer)| is_silence(answer) && (**ask == target || !silent.contains(ask)));
        news.find_map(|(_, answer)| Some(answer.as_ref().err()?.message.as_str()))
    }
}

fn is_silence(answer: &Answer) -> bool {
    answer.as_ref().is_err_and(Said::is_unreachable)
}
