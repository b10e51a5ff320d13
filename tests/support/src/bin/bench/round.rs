//! One round: a fresh namespace full of pods, one tool, and what it took.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use testsupport::{Cluster, Node, Ns, Shape, wait_for};

use super::floor;

/// Who empties the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `kubectl drain`.
    Drain,
    /// `kubectl evacuate`.
    Evacuate,
    /// All evictions at once, and nothing else.
    Floor,
}

impl Tool {
    pub fn title(self) -> &'static str {
        match self {
            Self::Drain => "kubectl drain",
            Self::Evacuate => "kubectl evacuate",
            Self::Floor => "raw parallel loop",
        }
    }
}

/// What is on the nodes.
pub struct Load {
    pub title: &'static str,
    pub nodes: u32,
    pub pods: u32,
    pub budget: Option<&'static str>,
}

/// What a round took.
pub struct Taken {
    pub took: Duration,
    pub requests: Option<usize>,
    pub peak_mib: Option<f64>,
}

pub struct Round<'a> {
    cluster: &'a Cluster,
    evacuate: &'a Path,
    namespace: Ns<'a>,
    nodes: Vec<String>,
}

impl<'a> Round<'a> {
    /// Fills the nodes and waits until every pod runs and every budget is counted.
    pub fn new(cluster: &'a Cluster, evacuate: &'a Path, name: &str, load: &Load) -> Self {
        let namespace = cluster.namespace(&format!("bench-{name}"));
        let size = |suffix: String, pods: u32| {
            namespace.node(Node::new(format!("{}-{suffix}", namespace.name())).size("1000", "4000Gi", pods))
        };
        let nodes: Vec<String> = (0..load.nodes).map(|i| size(i.to_string(), load.pods + 10)).collect();
        for (i, node) in nodes.iter().enumerate() {
            let shape = Shape::new().stops_in("2s").grace(30).prefers(node);
            namespace.deployment(&format!("web-{i}"), load.pods, &shape);
        }
        let total = usize::try_from(load.nodes * load.pods).expect("it fits");
        wait_for(format!("{total} pods"), Duration::from_secs(300), || {
            let running = namespace
                .pods()
                .iter()
                .filter(|p| p["status"]["phase"] == "Running")
                .count();
            (running >= total).then_some(())
        });
        if let Some(budget) = load.budget {
            let selector = json!({"matchLabels": {"app": "web-0"}});
            namespace.pdb("web", json!({"maxUnavailable": budget, "selector": selector}));
        }
        // Made last, so that no pod was put there in the first place.
        size("spare".into(), load.nodes * load.pods * 2);
        Self {
            cluster,
            evacuate,
            namespace,
            nodes,
        }
    }

    /// Runs the tool, checks that the nodes are empty, and takes everything away.
    pub fn run(self, tool: Tool) -> Taken {
        let mark = self.cluster.audit().mark();
        let began = Instant::now();
        let peak_mib = match tool {
            Tool::Floor => {
                floor::empty(self.cluster, &self.nodes);
                None
            }
            _ => Some(self.command(tool)),
        };
        let took = began.elapsed();
        let left: Vec<String> = self
            .nodes
            .iter()
            .flat_map(|node| self.namespace.pods_on(node))
            .collect();
        assert!(left.is_empty(), "{} left {left:?}", tool.title());
        let agent = match tool {
            Tool::Drain => "kubectl/",
            Tool::Evacuate => "kubectl-evacuate/",
            Tool::Floor => "none",
        };
        let requests = self.cluster.audit().count_since(mark, agent);
        self.clean();
        Taken {
            took,
            requests: (tool != Tool::Floor).then_some(requests),
            peak_mib,
        }
    }

    /// Runs a program to its end and returns its peak of resident memory, in MiB.
    fn command(&self, tool: Tool) -> f64 {
        let mut command = match tool {
            Tool::Drain => {
                let mut drain = Command::new(self.cluster.kubectl());
                drain.args(["drain", "--ignore-daemonsets"]);
                drain
            }
            _ => {
                let mut evacuate = Command::new(self.evacuate);
                evacuate.args(["--parallel", "10"]);
                evacuate
            }
        };
        command.env_clear().envs(self.cluster.env()).args(&self.nodes);
        measured(command).1
    }

    fn clean(&self) {
        for object in self.namespace.list("apps/v1/Deployment") {
            self.namespace.scale(
                "apps/v1/Deployment",
                object["metadata"]["name"].as_str().unwrap_or_default(),
                0,
            );
        }
        wait_for("an empty namespace", Duration::from_secs(300), || {
            self.namespace.pods().is_empty().then_some(())
        });
        for node in self.cluster.list("v1/Node", "", "") {
            self.cluster
                .delete("v1/Node", "", node["metadata"]["name"].as_str().unwrap_or_default());
        }
    }
}

/// Runs a program to its end: how long it took, and its peak of resident memory, in MiB.
pub fn measured(mut command: Command) -> (Duration, f64) {
    let began = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0_u64;
    let status = loop {
        // The kernel keeps the peak; it is only readable as long as the process is there.
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let now = status
            .lines()
            .find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(now.unwrap_or(0));
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{command:?} failed: {status}");
    (began.elapsed(), peak as f64 / 1_024.0)
}
