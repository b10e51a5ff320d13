//! Measures `kubectl evacuate` beside `kubectl drain` and a raw parallel eviction loop, and `kubectl finalize` beside
//! `kubectl get` of everything and a raw parallel loop over the same lists, on one control plane each, in one run.
//!
//! The loop is the floor of the bed: it checks nothing and asks for all evictions at once. What it takes, the servers
//! take. Ours and the loop take turns, three times each, and the median is shown: a shared machine is not equally fast at
//! all times. Drain, which mostly sleeps, runs once. Scenarios can be named on the command line; without names all are run.
// It talks to a person, and ends when something is wrong.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::expect_used)]

mod floor;
mod round;
mod stuck;

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use testsupport::{Cluster, Options};

use self::round::{Load, Round, Taken, Tool};

/// How many pods kwok plays at the same time; with its default of 4 it, not the tool, would be measured.
const KWOK_PARALLELISM: u32 = 32;
/// How often ours and the loop are measured.
const TIMES: usize = 3;

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|c| c == name);
    let evacuate = PathBuf::from("target/release/kubectl-evacuate");
    let finalize = PathBuf::from("target/release/kubectl-finalize");
    for plugin in [&evacuate, &finalize] {
        assert!(
            plugin.exists(),
            "{} is missing: run it through 'make bench'",
            plugin.display()
        );
    }
    println!("machine: {}", machine());
    println!("a fixed loop before: {} ms", fixed_loop().as_millis());
    if wanted("stuck") {
        stuck::stuck(&finalize);
        println!();
        if chosen.iter().all(|c| c == "stuck") && !chosen.is_empty() {
            return;
        }
    }
    let cluster = Cluster::start(Options {
        kwok_parallelism: KWOK_PARALLELISM,
        ..Options::default()
    });
    if wanted("start") {
        start(&evacuate, &cluster.kubectl());
    }
    println!("servers: Kubernetes v1.36.3, etcd, kwok with podPlayStageParallelism {KWOK_PARALLELISM}");
    println!();
    println!("| scenario | tool | seconds | x drain | requests | peak MiB |");
    println!("|---|---|---|---|---|---|");
    let bench = |name: &str, load: Load, tools: &[Tool]| {
        if !wanted(name) {
            return;
        }
        let run = |tool: Tool| Round::new(&cluster, &evacuate, name, &load).run(tool);
        let times = if load.pods > 1_000 { 1 } else { TIMES };
        let mut drain = None;
        let mut taken: Vec<(Tool, Vec<Taken>)> = tools.iter().map(|tool| (*tool, Vec::new())).collect();
        for turn in 0..times {
            for (tool, taken) in &mut taken {
                if turn == 0 || *tool != Tool::Drain {
                    taken.push(run(*tool));
                }
            }
        }
        for (tool, mut taken) in taken {
            taken.sort_by_key(|t| t.took);
            let range = match taken.as_slice() {
                [fastest, .., slowest] => format!(
                    " ({:.2} - {:.2})",
                    fastest.took.as_secs_f64(),
                    slowest.took.as_secs_f64()
                ),
                _ => String::new(),
            };
            let result = taken.swap_remove(taken.len() / 2);
            if tool == Tool::Drain {
                drain = Some(result.took);
            }
            let ratio = drain.map_or("-".into(), |d| {
                format!("{:.1}", d.as_secs_f64() / result.took.as_secs_f64())
            });
            println!(
                "| {} | {} | {:.2}{range} | {ratio} | {} | {} |",
                load.title,
                tool.title(),
                result.took.as_secs_f64(),
                result.requests.map_or("-".into(), |n| n.to_string()),
                result.peak_mib.map_or("-".into(), |m| format!("{m:.1}")),
            );
        }
    };
    let all = [Tool::Drain, Tool::Evacuate, Tool::Floor];
    let load = |title, nodes, pods, budget: Option<&'static str>| Load {
        title,
        nodes,
        pods,
        budget,
    };
    bench("110", load("110 pods x 2 s", 1, 110, None), &all);
    bench("500", load("500 pods x 2 s", 1, 500, None), &all);
    bench(
        "budget",
        load("110 pods x 2 s, maxUnavailable 10%", 1, 110, Some("10%")),
        &[Tool::Drain, Tool::Evacuate],
    );
    bench(
        "nodes",
        load("10 nodes x 110 pods x 2 s, --parallel 10", 10, 110, None),
        &all,
    );
    bench(
        "5000",
        load("5000 pods x 2 s on one node", 1, 5_000, None),
        &[Tool::Evacuate],
    );
    println!();
    println!("a fixed loop after: {} ms", fixed_loop().as_millis());
}

/// How fast the machine is just now: the same arithmetic each time.
fn fixed_loop() -> Duration {
    let began = Instant::now();
    let mut x = 1_u64;
    for _ in 0..300_000_000_u64 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    std::hint::black_box(x);
    began.elapsed()
}

/// Start-up time and size, next to kubectl.
fn start(evacuate: &std::path::Path, kubectl: &std::path::Path) {
    for program in [evacuate, kubectl] {
        let mut times: Vec<Duration> = (0..50)
            .map(|_| {
                let began = Instant::now();
                let out = Command::new(program).arg("--help").output().expect("it starts");
                assert!(out.status.success());
                began.elapsed()
            })
            .collect();
        times.sort();
        let size = std::fs::metadata(program).expect("it exists").len();
        println!(
            "{} --help: median of 50 {:.1} ms; {:.2} MiB",
            program.file_name().unwrap_or_default().to_string_lossy(),
            times[25].as_secs_f64() * 1_000.0,
            size as f64 / 1_048_576.0
        );
    }
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .unwrap_or("unknown")
        .trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0);
    format!("{model}, {cores} cores, {} GiB, all servers on it", kib / 1_048_576)
}
