//! The main job on a throw-away control plane: preview, evacuation under a budget, a budget that blocks, a surge, the way
//! back, a machine without power; a namespace that is stuck for two reasons.
// It talks to a person.
#![allow(clippy::print_stdout)]

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::json;
use testsupport::{Cluster, Node, Ns, Options, Shape};

/// How long the slow pod takes to stop: long enough to see that it is waited for.
const SLOW: &str = "6s";

fn main() -> Result<()> {
    let plugins = plugins()?;
    println!("Starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and three simulated nodes ...");
    let cluster = Cluster::try_start(Options::default())?;
    println!("Ready after {:.1} s.", cluster.startup_time().as_secs_f32());
    let stage = Stage {
        path: search_path(&plugins, &cluster)?,
        cluster: &cluster,
    };
    let ns = cluster.namespace("shop");
    furnish(&ns);
    // It takes a moment until it is stuck; until then there is enough to see.
    cluster.strand_namespace();

    stage
        .say("Three nodes. On node-1: six web pods (budget: 4 must stay), an importer that is slow to stop, an agent.");
    stage.kubectl("get pods -n shop -o wide --sort-by=.spec.nodeName")?;
    stage.say("What would happen? Nothing is changed.");
    stage.kubectl("evacuate --dry-run=client node-1")?;
    stage.say("Do it. The budget is kept at every moment, and the slow pod is waited for.");
    stage.kubectl("evacuate node-1")?;
    stage.say("node-1 is empty but for the agent, and takes no new pods.");
    stage.kubectl("get nodes")?;
    stage.kubectl("get pods -n shop -o wide --sort-by=.spec.nodeName")?;

    stage.say("On node-2 runs a database of one pod whose budget lets nobody touch it. The budget is named.");
    ns.deployment("database", 1, &Shape::new().prefers("node-2"));
    ns.pdb("database", json!({"minAvailable": 1}));
    ns.wait_pods_ready(11);
    stage.kubectl("evacuate --dry-run=client node-2")?;
    stage.kubectl("evacuate --timeout=10s node-2")?;
    stage.say("Let it run a second pod for a while: the first one goes when that is Ready, and nobody goes without a database.");
    stage.kubectl("uncordon node-1")?;
    stage.kubectl("evacuate --surge node-2")?;
    stage.kubectl("get pods -n shop -o wide -l app=database")?;
    stage.say("And back.");
    stage.kubectl("evacuate --uncordon node-1 node-2")?;
    ns.statefulset("store", 1, &Shape::new().prefers("node-1"));
    ns.wait_pods_ready(12);
    cluster.kill_node("node-1");
    stage.say(
        "The machine of node-1 loses its power. Nothing is forced before somebody says so: it may still run its pods.",
    );
    stage.kubectl("evacuate node-1")?;
    stage.say("It is surely off. The pod garbage collector looks every 20 seconds; then the node leaves the cluster.");
    stage.kubectl("evacuate --powered-off --delete --yes node-1")?;
    ns.wait_pods_ready(11);
    stage.kubectl("get nodes")?;
    stage.kubectl("get pods -n shop -o wide -l app=store")?;
    stage.say("Meanwhile a namespace that somebody has deleted does not go away. Why?");
    stage.kubectl("get namespace legacy")?;
    stage.kubectl("finalize ns legacy --dry-run")?;
    stage.say("As much force as is allowed, and no more than is needed: the webhook is put back afterwards.");
    stage.kubectl("finalize ns legacy --force-up-to=strip")?;
    stage.say("Go on by hand, in another shell:");
    println!("  export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("  export PATH={}:$PATH", folders(&plugins, &cluster)?.join(":"));
    println!("  kubectl evacuate --dry-run=client node-3");
    if !std::io::stdout().is_terminal() {
        println!("\nThis is not a terminal: the control plane ends now.");
        return Ok(());
    }
    println!("\nCtrl-C here ends the control plane and removes everything.");
    // No handler: the servers die with this process, and their folder goes with them.
    loop {
        std::thread::park();
    }
}

/// Nodes and workloads.
fn furnish(ns: &Ns<'_>) {
    // First node-1 alone, so that all pods begin there.
    let first = ns.node(Node::new("node-1"));
    ns.deployment("web", 6, &Shape::new().prefers(&first).stops_in("1s"));
    ns.pdb("web", json!({"minAvailable": 4}));
    ns.deployment("importer", 1, &Shape::new().prefers(&first).stops_in(SLOW));
    ns.daemonset("agent", &Shape::new());
    ns.wait_pods_ready(8);
    ns.node(Node::new("node-2"));
    ns.node(Node::new("node-3"));
    ns.wait_pods_ready(10);
    ns.wait_pdb_allows("web", 2);
}

/// What a person sees.
struct Stage<'a> {
    cluster: &'a Cluster,
    path: String,
}

impl Stage<'_> {
    fn say(&self, text: &str) {
        println!("\n# {text}");
    }

    /// Shows a kubectl command and runs it as a person would, with the real kubectl.
    fn kubectl(&self, arguments: &str) -> Result<()> {
        println!("$ kubectl {arguments}");
        let status = Command::new(self.cluster.kubectl())
            .args(arguments.split(' '))
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("PATH", &self.path)
            // What is saved before a change goes with the control plane.
            .env("XDG_STATE_HOME", self.cluster.dir())
            // It is shown, not played: nobody is asked.
            .stdin(Stdio::null())
            .status()
            .context("failed to run kubectl")?;
        match status.code() {
            Some(0) => {}
            Some(code) => println!("[exit code {code}]"),
            None => bail!("kubectl was ended: {status}"),
        }
        Ok(())
    }
}

/// The folder with the plugins: they are built beside this program.
fn plugins() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().context("a program lies in a folder")?.to_owned();
    for plugin in ["kubectl-evacuate", "kubectl-finalize"] {
        if !folder.join(plugin).exists() {
            bail!("{plugin} is not built: run `make demo`, or `cargo build --workspace` before");
        }
    }
    Ok(folder)
}

fn folders(plugins: &Path, cluster: &Cluster) -> Result<Vec<String>> {
    let servers = cluster
        .kubectl()
        .parent()
        .context("kubectl lies in a folder")?
        .to_owned();
    Ok([plugins, &servers].map(|folder| folder.display().to_string()).to_vec())
}

fn search_path(plugins: &Path, cluster: &Cluster) -> Result<String> {
    let rest = std::env::var("PATH").unwrap_or_default();
    Ok(format!("{}:{rest}", folders(plugins, cluster)?.join(":")))
}
