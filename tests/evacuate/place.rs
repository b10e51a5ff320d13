//! The usual place of one test: a namespace with two nodes, of which the first is emptied.

use std::{path::Path, process::Command};

use serde_json::Value;
use testsupport::{Cluster, DEFAULT_TIMEOUT, Live, Mark, Ns, Request, wait_for};

use crate::{
    kit::{self, Ran},
    scene,
};

/// A namespace, the node that is emptied, and one that can take its pods.
pub struct Place {
    pub ns: Ns<'static>,
    pub node: String,
    pub other: String,
    began: Mark,
}

impl Place {
    pub fn new(id: &str) -> Self {
        Self::on(Cluster::shared(), id)
    }

    /// The same on another control plane.
    pub fn on(cluster: &'static Cluster, id: &str) -> Self {
        let ns = cluster.namespace(id);
        let [node, other] = ns.nodes(["a", "b"]);
        let began = cluster.audit().mark();
        Self { ns, node, other, began }
    }

    pub fn cluster(&self) -> &'static Cluster {
        self.ns.cluster()
    }

    /// `kubectl evacuate <node> ARGS`.
    #[track_caller]
    pub fn evacuate(&self, args: &[&str]) -> Ran {
        kit::run(self.command(self.cluster().kubeconfig(), args))
    }

    /// The same, still running.
    pub fn start(&self, args: &[&str]) -> Live {
        Live::start(self.command(self.cluster().kubeconfig(), args))
    }

    /// The same, not started yet.
    pub fn command(&self, kubeconfig: &Path, args: &[&str]) -> Command {
        let args: Vec<&str> = std::iter::once(self.node.as_str())
            .chain(args.iter().copied())
            .collect();
        kit::command_with(self.cluster(), kubeconfig, &args)
    }

    /// What the plugin has asked for in this place.
    pub fn asked(&self) -> Vec<Request> {
        scene::asked(&self.ns, self.began)
    }

    /// Evictions and deletions of pods that were no dry runs, in the order in which the server got them.
    pub fn requests(&self) -> Vec<Request> {
        let mut requests = self.asked();
        requests.retain(|r| r.resource == "pods" && r.is_write() && !r.is_dry_run());
        requests.sort_by(|a, b| a.received.cmp(&b.received));
        requests
    }

    /// The same as `evict NAME CODE` and `delete NAME CODE`, sorted.
    pub fn moves(&self) -> Vec<String> {
        let text = |r: &Request| match (r.verb.as_str(), r.subresource.as_str()) {
            ("create", "eviction") => format!("evict {} {}", r.name, r.code),
            (verb, "") => format!("{verb} {} {}", r.name, r.code),
            (verb, sub) => format!("{verb}/{sub} {} {}", r.name, r.code),
        };
        let mut moves: Vec<String> = self.requests().iter().map(text).collect();
        moves.sort();
        moves
    }

    /// Whether the first node is unschedulable.
    pub fn is_cordoned(&self) -> bool {
        scene::is_cordoned(self.cluster(), &self.node)
    }

    /// Who has cordoned the first node, where a run has.
    pub fn cordoned_by(&self) -> Option<String> {
        let node = self.cluster().get("v1/Node", "", &self.node).expect("the node exists");
        let by = node["metadata"]["annotations"]["kubectl-upkeep/cordoned-by"].as_str();
        by.map(str::to_owned)
    }

    /// Waits until a pod terminates, and returns it as it is then.
    pub fn wait_terminating(&self, pod: &str) -> Value {
        wait_for(format!("pod {pod} to terminate"), DEFAULT_TIMEOUT, || {
            let pod = self.ns.get("v1/Pod", pod)?;
            pod["metadata"]["deletionTimestamp"].is_string().then_some(pod)
        })
    }

    /// Nothing was changed: no write reached the server, and the node can be scheduled to.
    #[track_caller]
    pub fn assert_untouched(&self) {
        assert_eq!(scene::writes(&self.ns, self.began), Vec::<String>::new());
        assert!(!self.is_cordoned());
        assert_eq!(self.cordoned_by(), None);
    }
}

/// Names of the objects, sorted.
pub fn names(objects: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = objects.iter().map(|o| scene::text(&o["metadata"]["name"])).collect();
    names.sort();
    names
}

/// Stdout, stderr and exit code as a snapshot, without what differs from run to run.
macro_rules! assert_run {
    ($ran:expr, @$expected:literal) => {
        insta::with_settings!({filters => crate::place::filters()}, {
            insta::assert_snapshot!($ran.text(), @$expected);
        });
    };
}

/// [`scene::filters`], and the names that workloads without a Deployment give to their pods.
pub fn filters() -> Vec<(&'static str, &'static str)> {
    let mut filters = scene::filters();
    filters.push((r"\b(rc|rs|ds|job)-[0-9a-z]{5}\b", "$1-HASH"));
    filters.push((r"\b[0-9][0-9a-z]* (of grace left|over its grace period)", "TIME $1"));
    filters.push((r"\b(Ready is [A-Z][a-z]+) for [0-9a-z]+", "$1 for TIME"));
    filters.push((r"/\S+/kubectl-upkeep/evacuate/UID/[-0-9TZ]+", "SAVED"));
    // Columns are as wide as the random names in them.
    filters.push((r" {3,}", "   "));
    filters
}
