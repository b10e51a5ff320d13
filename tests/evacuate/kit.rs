//! What all tests of the plugin share: the binary in a clean environment, and its result in one piece.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use testsupport::Cluster;

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
    pub took: Duration,
}

impl Ran {
    pub fn of(output: Output, took: Duration) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
            took,
        }
    }

    /// Stdout, stderr and exit code together, for snapshots.
    pub fn text(&self) -> String {
        format!("{}--- stderr\n{}--- exit {:?}\n", self.stdout, self.stderr, self.code)
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.text());
        self
    }
}

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
pub fn run(mut command: Command) -> Ran {
    let began = Instant::now();
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    let id = child.id();
    let (done, finished) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if finished
            .recv_timeout(Duration::from_secs(120))
            .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
        }
    });
    let output = child.wait_with_output().expect("its output can be read");
    let _ = done.send(());
    let _ = guard.join();
    Ran::of(output, began.elapsed())
}

/// `kubectl evacuate ARGS`.
#[track_caller]
pub fn evacuate(cluster: &Cluster, args: &[&str]) -> Ran {
    run(command(cluster, args))
}
