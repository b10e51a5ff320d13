//! A hundred thousand random orders of events against a small world, with what must never happen.
//!
//! The world answers, delays, loses answers, relists, adds pods late and takes nodes away; after a while it becomes
//! fair, and then the run must come to its end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod answers;
mod fate;
mod off;
mod rules;
mod shape;
mod surged;
mod under;
mod world;

use std::io::Write as _;

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseResult, TestRunner},
};

use self::{shape::Shape, world::World};

fn shapes() -> impl Strategy<Value = Shape> {
    (
        any::<u64>(),
        1..4_usize,
        0..9_usize,
        0..3_usize,
        (0..4_u8, 0..6_u8, prop_oneof![2 => Just(0_usize), 1 => 1..3_usize]),
        any::<(bool, bool, bool, bool, bool)>(),
        prop_oneof![Just(None), (1_000..60_000_i64).prop_map(Some)],
    )
        .prop_map(
            |(seed, nodes, pods, budgets, (on_blocked, off, surged), flags, deadline)| Shape {
                seed,
                nodes,
                pods,
                budgets,
                on_blocked,
                off,
                surged,
                by_priority: flags.0,
                hostile: flags.1,
                one_by_one: flags.2,
                uncordon: flags.3,
                delete: flags.4,
                deadline,
            },
        )
}

#[test]
fn keeps_its_invariants_in_every_order() {
    in_every_order("engine", shapes(), |shape| World::new(shape).run());
}

/// `UPKEEP_SEED=n` repeats a run; `UPKEEP_CASES=n` makes it longer or shorter.
pub fn in_every_order<S: Strategy>(what: &str, shapes: S, run: impl Fn(S::Value) -> TestCaseResult) {
    let from_env = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed = from_env("UPKEEP_SEED").unwrap_or(u64::from(now.subsec_nanos()) ^ now.as_secs());
    let cases = from_env("UPKEEP_CASES").unwrap_or(100_000);
    // Past the capture of the test harness: a green run names its seed too.
    writeln!(
        std::io::stderr(),
        "{what}: {cases} random event orders, UPKEEP_SEED={seed}"
    )
    .unwrap();
    let config = Config {
        cases: u32::try_from(cases).unwrap(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    if let Err(error) = TestRunner::new(config).run(&shapes, run) {
        panic!("UPKEEP_SEED={seed}: {error}");
    }
}
