//! How many evictions are in flight under a budget, and which of them take up its room.

use super::*;

/// A budget over everything here that lets this many go.
fn allows(count: i32) -> Budget {
    let mut budget = shut();
    budget.allowed = count;
    budget
}

/// A run over as many pods, all under one budget.
fn run(allowed: i32, pods: usize) -> (Script, Vec<String>) {
    let pods = (0..pods).map(|i| Pod {
        name: format!("db-{i}"),
        ..pod(&format!("u{i}"), NODE)
    });
    Script::listed(settings(), Some(allows(allowed)), pods.collect())
}

/// The disruption controller answers each eviction that is accepted with new room.
fn accept(script: &mut Script, asked: &str, allowed: i32) -> Vec<String> {
    let mut commands = script.reply(asked, Reply::Accepted);
    commands.extend(script.feed(What::Budgets(Change::Applied(allows(allowed)))));
    commands
}

#[test]
fn two_at_a_time_and_never_more_than_allowed() {
    let (mut script, asked) = run(3, 9);
    assert_eq!(asked, ["evict u0", "evict u1"]);
    assert_eq!(script.pass(40), ["evict u2"]);
    assert_eq!(script.pass(4_000), NOTHING);
}

#[test]
fn one_that_sleeps_on_the_server_takes_no_room() {
    let (mut script, asked) = run(3, 9);
    assert_eq!(asked, ["evict u0", "evict u1"]);
    assert_eq!(script.pass(40), ["evict u2"]);
    // The last one is answered first: the server has the others asleep.
    assert_eq!(accept(&mut script, "evict u2", 3), ["evict u3", "evict u4"]);
    assert_eq!(script.pass(40), ["evict u5"]);
    // Four of four are asleep, and there would be room for three; but five in flight are the most under a budget of three.
    assert_eq!(accept(&mut script, "evict u5", 3), ["evict u6"]);
    assert_eq!(script.pass(4_000), NOTHING);
    assert_eq!(script.reply("evict u0", over_budget()), NOTHING);
}

#[test]
fn one_at_a_time_under_a_budget_of_one() {
    let (mut script, asked) = run(1, 3);
    assert_eq!(asked, ["evict u0"]);
    assert_eq!(script.pass(4_000), NOTHING);
    assert_eq!(accept(&mut script, "evict u0", 1), ["evict u1"]);
    assert_eq!(script.pass(4_000), NOTHING);
}
