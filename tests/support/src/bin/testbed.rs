//! Starts a control plane, says how to use it and keeps it until Ctrl-C or the end of its input.
// It talks to a person, and ends when something is wrong.
#![allow(clippy::print_stdout)]

use std::io::{Read, Write};

use testsupport::{Cluster, Options};

fn main() -> anyhow::Result<()> {
    let cluster = Cluster::try_start(Options::default())?;
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    println!(
        "# ready in {:.1} s; pid of etcd: {}",
        cluster.startup_time().as_secs_f32(),
        cluster.etcd().pid().unwrap_or(0)
    );
    std::io::stdout().flush()?;
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}
