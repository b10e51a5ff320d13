//! How the pods of a test look and behave.

use serde_json::{Map, Value, json};

/// A pod template: one container, Ready at once, stopped at once, on the nodes of its namespace's test.
///
/// Each method changes one thing; [`Shape::merge`] changes anything.
#[derive(Debug, Clone)]
pub struct Shape {
    template: Value,
}

impl Default for Shape {
    fn default() -> Self {
        Self::new()
    }
}

impl Shape {
    /// A pod without peculiarities.
    pub fn new() -> Self {
        Self {
            template: json!({
                "metadata": {},
                "spec": {"containers": [{"name": "app", "image": "example.com/app:1"}]},
            }),
        }
    }

    /// How long the pod takes to stop (`2s`, `500ms`), at most its grace period.
    pub fn stops_in(self, delay: &str) -> Self {
        self.annotation("pod-delete.stage.kwok.x-k8s.io/delay", delay)
    }

    /// The pod hangs in Terminating, as on a node whose kubelet cannot unmount a volume.
    pub fn never_stops(self) -> Self {
        self.stops_in("never")
    }

    /// The grace period, in seconds.
    pub fn grace(self, seconds: i64) -> Self {
        self.spec(json!({"terminationGracePeriodSeconds": seconds}))
    }

    /// The pod runs for so long before it is Ready.
    pub fn ready_after(self, delay: &str) -> Self {
        self.annotation("pod-ready.stage.kwok.x-k8s.io/delay", delay)
    }

    /// The pod runs and never gets Ready.
    pub fn never_ready(self) -> Self {
        self.ready_after("never")
    }

    /// The pod is bound to its node and stays Pending, as with an image that cannot be pulled.
    pub fn never_starts(self) -> Self {
        self.annotation("pod-start.stage.kwok.x-k8s.io/delay", "never")
    }

    /// The pod ends by itself in `phase` (`Succeeded`, `Failed`) after `delay`.
    pub fn ends(self, phase: &str, delay: &str) -> Self {
        self.annotation("pod-end.stage.kwok.x-k8s.io/phase", phase)
            .annotation("pod-end.stage.kwok.x-k8s.io/delay", delay)
            .spec(json!({"restartPolicy": "Never"}))
    }

    /// The pod bypasses the scheduler and is on `node`. For bare pods: a controller's new pod would go to the same node.
    pub fn on(self, node: &str) -> Self {
        self.spec(json!({"nodeName": node}))
    }

    /// The scheduler puts the pod on `node` as long as it can, and elsewhere when the node is cordoned.
    pub fn prefers(self, node: &str) -> Self {
        self.spec(
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 100,
                "preference": {"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]},
                ]},
            }]}}}),
        )
    }

    /// The scheduler puts the pod on `node` or nowhere.
    pub fn only(self, node: &str) -> Self {
        self.spec(json!({"nodeSelector": {"kubernetes.io/hostname": node}}))
    }

    /// Requests of the container.
    pub fn requests(mut self, cpu: &str, memory: &str) -> Self {
        self.template["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu, "memory": memory}});
        self
    }

    /// An emptyDir volume.
    pub fn empty_dir(self) -> Self {
        self.volume(json!({"name": "scratch", "emptyDir": {}}))
    }

    /// Any volume.
    pub fn volume(mut self, volume: Value) -> Self {
        let spec = &mut self.template["spec"];
        match spec["volumes"].as_array_mut() {
            Some(volumes) => volumes.push(volume),
            None => spec["volumes"] = json!([volume]),
        }
        self
    }

    /// The pod's object stays after its end until this finalizer is removed.
    pub fn finalizer(self, name: &str) -> Self {
        self.metadata(json!({"finalizers": [name]}))
    }

    /// The pod's owner, for a bare pod that looks as if it had one.
    pub fn owner(self, reference: Value) -> Self {
        self.metadata(json!({"ownerReferences": [reference]}))
    }

    /// The priority class, for example `system-node-critical` (allowed in every namespace here).
    pub fn priority_class(self, name: &str) -> Self {
        self.spec(json!({"priorityClassName": name}))
    }

    /// Tolerates every taint, a dead node's too.
    pub fn tolerates_all(self) -> Self {
        self.spec(json!({"tolerations": [{"operator": "Exists"}]}))
    }

    /// Adds a label.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.metadata(json!({"labels": {key: value}}))
    }

    /// Adds an annotation.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.metadata(json!({"annotations": {key: value}}))
    }

    /// Merges into the pod's metadata.
    pub fn metadata(self, patch: Value) -> Self {
        self.merge(json!({"metadata": patch}))
    }

    /// Merges into the pod's spec.
    pub fn spec(self, patch: Value) -> Self {
        self.merge(json!({"spec": patch}))
    }

    /// Merges into `{metadata, spec}`.
    pub fn merge(mut self, patch: Value) -> Self {
        merge(&mut self.template, patch);
        self
    }

    /// The template with `labels`, kept on nodes that have `group`.
    pub(crate) fn template(&self, app: &str, group: (&str, &str)) -> Value {
        // What the shape says wins over what is added here.
        let mut template = json!({"metadata": {"labels": {"app": app}}, "spec": {"nodeSelector": {group.0: group.1}}});
        merge(&mut template, self.template.clone());
        template
    }
}

/// Merges `patch` into `target` as a JSON merge patch (RFC 7386) does: objects deeply, `null` removes, all else replaces.
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(&key);
            } else {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}
