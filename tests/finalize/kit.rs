//! The binary in a clean environment, and its result in one piece.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use testsupport::Cluster;
pub use testsupport::Ran;

/// The plugin with the cluster's kubeconfig, and nothing else of this machine's environment.
pub fn command(cluster: &Cluster, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-finalize"));
    command
        .env_clear()
        .envs(cluster.env())
        .env("KUBECONFIG", cluster.kubeconfig())
        .args(args)
        .stdin(Stdio::null());
    // Whoever waits for what does not come has a test that fails, not one that takes five minutes.
    let follows = !matches!(args.first(), Some(&("scan" | "preflight" | "explain" | "restore")));
    if follows && !args.iter().any(|a| a.starts_with("--timeout") || *a == "--watch") {
        command.arg("--timeout=120s");
    }
    command
}

/// `kubectl finalize ARGS`, to its end.
#[track_caller]
pub fn finalize(cluster: &Cluster, args: &[&str]) -> Ran {
    run(command(cluster, args))
}

/// To its end. A run gives up by itself before that.
#[track_caller]
pub fn run(command: Command) -> Ran {
    Ran::to_the_end(command, Duration::from_secs(240))
}

/// The real kubectl, which has to succeed.
#[track_caller]
pub fn kubectl(cluster: &Cluster, args: &[&str]) -> String {
    kubectl_in(cluster, args, "")
}

/// The same with something on stdin.
#[track_caller]
pub fn kubectl_in(cluster: &Cluster, args: &[&str], input: &str) -> String {
    let mut command = assert_cmd::Command::new(cluster.kubectl());
    command
        .env_clear()
        .envs(cluster.env())
        .env("KUBECONFIG", cluster.kubeconfig())
        .args(args)
        .write_stdin(input);
    let output = command.output().expect("kubectl starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Empties `spec.finalizers` of a namespace, as the advice in most places goes.
pub fn disarm(cluster: &Cluster, name: &str) {
    let mut namespace = cluster.get("v1/Namespace", "", name).expect("the namespace is there");
    namespace["spec"]["finalizers"] = serde_json::json!([]);
    // Its controller may write to it at any time.
    namespace["metadata"]["resourceVersion"] = serde_json::Value::Null;
    let path = format!("/api/v1/namespaces/{name}/finalize");
    kubectl_in(cluster, &["replace", "--raw", &path, "-f", "-"], &namespace.to_string());
}
