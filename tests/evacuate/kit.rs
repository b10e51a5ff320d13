//! What all tests of the plugin share: the binary in a clean environment, and its result in one piece.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use testsupport::Cluster;
pub use testsupport::Ran;

/// The plugin with the cluster's kubeconfig, and nothing else of this machine's environment.
pub fn command(cluster: &Cluster, args: &[&str]) -> Command {
    command_with(cluster, cluster.kubeconfig(), args)
}

/// The same with another kubeconfig.
pub fn command_with(cluster: &Cluster, kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-evacuate"));
    command
        .env_clear()
        .envs(cluster.env())
        .env("KUBECONFIG", kubeconfig)
        .args(args)
        .stdin(Stdio::null());
    command
}

/// Runs it to its end; a run that hangs for two minutes is killed and fails the test.
#[track_caller]
pub fn run(command: Command) -> Ran {
    Ran::to_the_end(command, Duration::from_secs(120))
}

/// `kubectl evacuate ARGS`.
#[track_caller]
pub fn evacuate(cluster: &Cluster, args: &[&str]) -> Ran {
    run(command(cluster, args))
}

/// `kubectl ARGS` as the user of this kubeconfig.
#[track_caller]
pub fn kubectl(cluster: &Cluster, kubeconfig: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(cluster.kubectl());
    command
        .env_clear()
        .envs(cluster.env())
        .env("KUBECONFIG", kubeconfig)
        .args(args)
        .stdin(Stdio::null());
    run(command)
}
