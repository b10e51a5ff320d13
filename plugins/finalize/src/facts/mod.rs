//! What was read, as plain data. Nothing here decides.

pub mod answer;
mod ask;
mod object;
mod pod;
mod workload;

pub use answer::{Answer, Reply, Said};
pub use ask::{Ask, Key, Right};
pub use object::Object;
pub use pod::{Pod, Read as ReadPod};
pub use workload::{Read as ReadWorkload, Workload};

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use upkeep::discovery::Discovery;

/// What is known when it is decided what holds the target.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When the questions were answered.
    pub now: Timestamp,
    /// What the server serves.
    pub discovery: Discovery,
    /// What will not go away.
    pub target: Key,
    /// Answers to what the diagnosis has asked for so far.
    pub answers: BTreeMap<Ask, Answer>,
    /// Nobody deletes it yet: what would hold it?
    pub preflight: bool,
    /// Objects of which this run has tried to remove a finalizer, and what the server said instead.
    pub refused: BTreeMap<Key, String>,
}

impl Facts {
    /// Nothing is known yet.
    pub fn of(discovery: &Discovery, target: Key) -> Self {
        Self {
            now: Timestamp::now(),
            discovery: discovery.clone(),
            target,
            answers: BTreeMap::new(),
            preflight: false,
            refused: BTreeMap::new(),
        }
    }

    /// Why something could not be asked at all: then nothing can be said of the whole.
    pub fn unreachable(&self) -> Option<&str> {
        let mut said = self.answers.values().filter_map(|answer| answer.as_ref().err());
        said.find(|said| said.is_unreachable())
            .map(|said| said.message.as_str())
    }
}
