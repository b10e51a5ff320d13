//! One test's own corner of a cluster: a namespace, nodes, workloads, budgets.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::node::{Node, condition};
use crate::shape::{Shape, merge};
use crate::wait::{DEFAULT_TIMEOUT, wait_for};

/// Nodes and pods of one test carry this label with the namespace's name.
const GROUP: &str = "testbed/group";

/// A namespace made for one test, and what the test puts there. Its pods run on its nodes only.
pub struct Ns<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl Cluster {
    /// A new namespace. The name is taken as it is, so that outputs can be compared; a second one of the same name gets a number.
    pub fn namespace(&self, name: &str) -> Ns<'_> {
        for number in 1..1000 {
            let name = if number == 1 {
                name.to_owned()
            } else {
                format!("{name}-{number}")
            };
            match self.try_create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})) {
                Ok(_) => {
                    if self.options().controller_manager {
                        self.wait_service_account(&name);
                    }
                    return Ns { cluster: self, name };
                }
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(e) => panic!("failed to create the namespace {name}: {e}"),
            }
        }
        panic!("too many namespaces like {name}")
    }
}

impl<'a> Ns<'a> {
    /// The namespace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that it is in.
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// The label that keeps this test's pods on this test's nodes: key and value.
    pub fn group(&self) -> (&str, &str) {
        (GROUP, &self.name)
    }

    /// Makes Ready nodes called `<namespace>-<suffix>` for this test's pods and returns their names.
    pub fn nodes<const N: usize>(&self, suffixes: [&str; N]) -> [String; N] {
        suffixes.map(|suffix| self.node(Node::new(format!("{}-{suffix}", self.name))))
    }

    /// Makes one node for this test's pods and returns its name.
    pub fn node(&self, node: Node) -> String {
        let node = node.label(GROUP, &self.name);
        self.cluster.node(&node);
        node.name
    }

    /// A pod without a controller.
    pub fn pod(&self, name: &str, shape: &Shape) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}});
        merge(&mut pod, shape.template(name, self.group()));
        self.create(pod)
    }

    /// A Deployment; its pods have the label `app: <name>`.
    pub fn deployment(&self, name: &str, replicas: u32, shape: &Shape) -> Value {
        self.workload(
            "apps/v1/Deployment",
            name,
            shape,
            json!({"spec": {"replicas": replicas}}),
        )
    }

    /// A ReplicaSet without a Deployment.
    pub fn replicaset(&self, name: &str, replicas: u32, shape: &Shape) -> Value {
        self.workload(
            "apps/v1/ReplicaSet",
            name,
            shape,
            json!({"spec": {"replicas": replicas}}),
        )
    }

    /// A StatefulSet that starts all its pods at once.
    pub fn statefulset(&self, name: &str, replicas: u32, shape: &Shape) -> Value {
        let spec = json!({"replicas": replicas, "serviceName": name, "podManagementPolicy": "Parallel"});
        self.workload("apps/v1/StatefulSet", name, shape, json!({"spec": spec}))
    }

    /// A DaemonSet on this test's nodes.
    pub fn daemonset(&self, name: &str, shape: &Shape) -> Value {
        self.workload("apps/v1/DaemonSet", name, shape, json!({}))
    }

    /// A Job whose pods run until they are deleted, unless the shape says that they end.
    pub fn job(&self, name: &str, parallelism: u32, shape: &Shape) -> Value {
        let spec =
            json!({"parallelism": parallelism, "completions": parallelism, "selector": null, "backoffLimit": 1000});
        let shape = shape.clone().spec(json!({"restartPolicy": "Never"}));
        self.workload("batch/v1/Job", name, &shape, json!({"spec": spec}))
    }

    /// A ReplicationController, the oldest kind of controller.
    pub fn replication_controller(&self, name: &str, replicas: u32, shape: &Shape) -> Value {
        let spec = json!({"replicas": replicas, "selector": {"app": name, "matchLabels": null}});
        self.workload("v1/ReplicationController", name, shape, json!({"spec": spec}))
    }

    /// Any kind with a selector and a pod template; `patch` is merged in at last.
    pub fn workload(&self, kind: &str, name: &str, shape: &Shape, patch: Value) -> Value {
        let (version, kind) = kind
            .rsplit_once('/')
            .unwrap_or_else(|| panic!("{kind} is not like apps/v1/Deployment"));
        let mut object = json!({
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": shape.template(name, self.group())},
        });
        merge(&mut object, patch);
        self.create(object)
    }

    /// A budget for the pods with the label `app: <name>`; `spec` holds `minAvailable` or `maxUnavailable` and what else is wanted,
    /// a selector of its own too. Returns when the disruption controller has counted.
    pub fn pdb(&self, name: &str, spec: Value) -> Value {
        let mut object = json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name},
            "spec": if spec.get("selector").is_some() { json!({}) } else { json!({"selector": {"matchLabels": {"app": name}}}) },
        });
        merge(&mut object, json!({"spec": spec}));
        let created = self.create(object);
        if !self.cluster.options().controller_manager {
            return created;
        }
        wait_for(format!("the budget {name} to be counted"), DEFAULT_TIMEOUT, || {
            let budget = self.get("policy/v1/PodDisruptionBudget", name)?;
            (budget["status"]["observedGeneration"] == budget["metadata"]["generation"]).then_some(budget)
        })
    }

    /// Waits until a budget allows exactly so many disruptions.
    pub fn wait_pdb_allows(&self, name: &str, disruptions: i64) {
        wait_for(
            format!("the budget {name} to allow {disruptions}"),
            DEFAULT_TIMEOUT,
            || {
                let budget = self.get("policy/v1/PodDisruptionBudget", name)?;
                (budget["status"]["disruptionsAllowed"] == disruptions).then_some(())
            },
        );
    }

    /// Waits until exactly `count` pods of the namespace are Ready and not Terminating, and returns them.
    pub fn wait_pods_ready(&self, count: usize) -> Vec<Value> {
        wait_for(format!("{count} Ready pods in {}", self.name), DEFAULT_TIMEOUT, || {
            let pods = self.pods();
            let ready = |pod: &&Value| {
                condition(pod, "Ready") == Some("True") && pod["metadata"]["deletionTimestamp"].is_null()
            };
            (pods.iter().filter(ready).count() == count).then(|| pods.iter().filter(ready).cloned().collect())
        })
    }

    /// Waits until a pod is in `phase`.
    pub fn wait_phase(&self, pod: &str, phase: &str) {
        wait_for(format!("pod {pod} to be {phase}"), DEFAULT_TIMEOUT, || {
            (self.get("v1/Pod", pod)?["status"]["phase"] == phase).then_some(())
        });
    }

    /// Waits until a pod's object is gone.
    pub fn wait_gone(&self, pod: &str) {
        wait_for(format!("pod {pod} to be gone"), DEFAULT_TIMEOUT, || {
            self.get("v1/Pod", pod).is_none().then_some(())
        });
    }

    /// All pods of the namespace.
    pub fn pods(&self) -> Vec<Value> {
        self.list("v1/Pod")
    }

    /// The names of the pods on a node, sorted.
    pub fn pods_on(&self, node: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .pods()
            .iter()
            .filter(|pod| pod["spec"]["nodeName"] == node)
            .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    /// Creates an object in this namespace.
    pub fn create(&self, mut object: Value) -> Value {
        object["metadata"]["namespace"] = json!(self.name);
        self.cluster.create(object)
    }

    /// Reads an object of this namespace.
    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.get(kind, &self.name, name)
    }

    /// Lists this namespace's objects of a kind.
    pub fn list(&self, kind: &str) -> Vec<Value> {
        self.cluster.list(kind, &self.name, "")
    }

    /// Patches an object of this namespace with a JSON merge patch.
    pub fn patch(&self, kind: &str, name: &str, patch: Value) -> Value {
        self.cluster.patch(kind, &self.name, name, patch)
    }

    /// Deletes an object of this namespace.
    pub fn delete(&self, kind: &str, name: &str) {
        self.cluster.delete(kind, &self.name, name);
    }

    /// Scales a workload of this namespace.
    pub fn scale(&self, kind: &str, name: &str, replicas: u32) {
        self.cluster.scale(kind, &self.name, name, replicas);
    }
}
