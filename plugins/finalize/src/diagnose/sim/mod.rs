//! Random clusters against the pure parts: 2,000 of each kind by default. The seed is printed; `UPKEEP_SEED=n UPKEEP_CASES=n`
//! repeats a run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod graphs;
mod owners;

use std::io::Write as _;

use k8s_openapi::jiff::Timestamp;
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseResult, TestRunner},
};

/// Runs a check of as many random worlds as are wanted, names the seed whatever comes of it, and returns how many there were.
pub fn random<S: Strategy>(what: &str, worlds: &S, check: impl Fn(S::Value) -> TestCaseResult) -> u64 {
    let from_env = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seed = from_env("UPKEEP_SEED").unwrap_or_else(|| Timestamp::now().as_nanosecond().unsigned_abs() as u64);
    let cases = from_env("UPKEEP_CASES").unwrap_or(2_000);
    // Past the capture of the test harness: a green run names its seed too.
    writeln!(std::io::stderr(), "{what}: {cases} random clusters, UPKEEP_SEED={seed}").unwrap();
    let config = Config {
        cases: u32::try_from(cases).unwrap(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 5_000,
        ..Config::default()
    };
    if let Err(error) = TestRunner::new(config).run(worlds, check) {
        panic!("UPKEEP_SEED={seed}: {error}");
    }
    cases
}
