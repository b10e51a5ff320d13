//! Namespaces and objects that will not go away.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, Node, Options, wait_for};

use crate::{
    digest,
    kit::{Ran, kubectl},
};

/// A control plane with all its controllers and nodes that live.
pub fn whole() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        // As everywhere else it holds a Lease, which tells that it lives.
        let cluster = Cluster::start(Options {
            controller_manager_args: vec!["--leader-elect=true".into()],
            ..Options::default()
        });
        // So many that the nodes of a few tests that have stopped reporting are no third of all.
        (0..48).for_each(|i| cluster.node(&Node::new(format!("live-{i}"))));
        bystanders(&cluster);
        cluster
    })
}

/// A control plane of one test: what holds every namespace would be in the way of others.
pub fn alone() -> Cluster {
    Cluster::start(Options {
        controller_manager_args: vec!["--leader-elect=true".into()],
        scheduler: false,
        kwok: false,
        ..Options::default()
    })
}

/// What nobody asks to be mended: objects with finalizers, some of them being deleted.
fn bystanders(cluster: &Cluster) {
    let namespace = cluster.namespace("bystander");
    for name in ["kept", "going"] {
        let meta = json!({"name": name, "finalizers": ["example.com/cleanup"], "labels": {"keep": "me"}});
        namespace.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}));
    }
    namespace.delete("v1/ConfigMap", "going");
    namespace.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "balanced",
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}));
}

/// A namespace of one test.
pub struct Scene {
    pub cluster: &'static Cluster,
    pub name: String,
    /// Everything else, which nobody touches.
    before: BTreeMap<String, String>,
    /// One at a time where each would be in the way of the others.
    _turn: Option<MutexGuard<'static, ()>>,
}

/// One for conversions that do not work: they keep every namespace of the cluster from being deleted.
fn unconvertible() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(alone)
}

impl Scene {
    /// A new namespace on a control plane where every namespace may be held.
    pub fn apart(name: &str) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = unconvertible();
        let mut scene = Self::of(cluster, cluster.namespace(name).name().to_owned());
        scene._turn = Some(turn);
        scene
    }

    /// A new namespace on the shared control plane.
    pub fn new(name: &str) -> Self {
        let cluster = whole();
        Self::of(cluster, cluster.namespace(name).name().to_owned())
    }

    /// A namespace that is there.
    pub fn of(cluster: &'static Cluster, name: String) -> Self {
        let before = digest::of(cluster, &name);
        Self {
            cluster,
            name,
            before,
            _turn: None,
        }
    }

    pub fn config_map(&self, name: &str, finalizers: &[&str]) -> Value {
        self.cluster
            .create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata":
            {"name": name, "namespace": self.name, "finalizers": finalizers}}))
    }

    /// Creates an object in the namespace.
    pub fn create(&self, mut object: Value) -> Value {
        object["metadata"]["namespace"] = json!(self.name);
        self.cluster.create(object)
    }

    /// Asks for the deletion of the namespace and waits until its controller has looked at it.
    pub fn delete(&self) {
        kubectl(self.cluster, &["delete", "namespace", &self.name, "--wait=false"]);
        wait_for("the namespace controller", DEFAULT_TIMEOUT, || {
            let Some(namespace) = self.cluster.get("v1/Namespace", "", &self.name) else {
                return Some(());
            };
            namespace["status"]["conditions"].is_array().then_some(())
        });
    }

    pub fn is_gone(&self) -> bool {
        self.cluster.get("v1/Namespace", "", &self.name).is_none()
    }

    /// Mends it with these flags: it is gone then, nothing else was touched, and a second run finds nothing to do.
    #[track_caller]
    pub fn mended(&self, args: &[&str]) -> Ran {
        let ran = self.finalize(args).expect(0);
        assert!(self.is_gone(), "{}", ran.text());
        assert_eq!(self.before, digest::of(self.cluster, &self.name), "{}", ran.text());
        self.finalize(&[]).expect(0).says("nothing to do");
        ran
    }

    /// `kubectl finalize ns NAME ARGS`.
    #[track_caller]
    pub fn finalize(&self, args: &[&str]) -> Ran {
        let all: Vec<&str> = ["ns", self.name.as_str()].iter().chain(args).copied().collect();
        crate::kit::finalize(self.cluster, &all)
    }
}

/// Whatever a test was about: nothing else was touched.
impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.before, digest::of(self.cluster, &self.name));
        }
    }
}
