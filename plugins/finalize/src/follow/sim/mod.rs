//! Whole runs in random clusters: finalizers of every sort, webhooks and policies that fail and deny, versions and APIs that
//! are gone, with every force. The server, who answers for it and the time are part of the test; what is decided is not. 2,000
//! by default; the seed is printed, and `UPKEEP_SEED=n UPKEEP_CASES=n` repeats a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod effects;
mod flags;
mod gates;
mod known;
mod make;
mod objects;
mod rules;
mod run;
mod scenes;
mod server;
mod words;
mod world;

use std::{cell::RefCell, collections::BTreeMap};

use self::run::Run;
use crate::diagnose::sim::random;

/// What happened, and how often: what never happens is not tested.
type Seen = RefCell<BTreeMap<&'static str, usize>>;

/// What happens in so many clusters.
const ENOUGH: u64 = 2_000;
const ALL: [&str; 19] = [
    "abandon",
    "delete again",
    "delete stored",
    "denied in a look",
    "denied when it is made",
    "denied when it is tried",
    "evict",
    "exclude",
    "exit 0",
    "exit 3",
    "exit 4",
    "exit 5",
    "finalize",
    "out of service",
    "scale up",
    "serve",
    "strip",
    "strip through the status",
    "unconvert",
];

/// No panic, no work without an end, and no write past a denial.
#[test]
fn runs_in_every_cluster() {
    let seen = Seen::default();
    let cases = random("runs", &make::worlds(), |world| Run::new(world, &seen).follow());
    let seen = seen.into_inner();
    let missing: Vec<&str> = ALL.into_iter().filter(|what| !seen.contains_key(what)).collect();
    assert!(
        cases < ENOUGH || missing.is_empty(),
        "never happened: {missing:?}; {seen:?}"
    );
}
