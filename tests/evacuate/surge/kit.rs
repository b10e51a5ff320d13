//! A Deployment that is surged, and what must be true afterwards.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Ns, Shape, wait_for};

use crate::{
    kit::Ran,
    place::Place,
    scene::{self, text},
    witness::{Seen, Witness},
};

pub const RECORD: &str = "kubectl-upkeep/surge";

pub const MARK: &str = "kubectl-upkeep/surge-mark";

pub const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A Deployment `web` on the node that is emptied, under a budget that needs all of its pods.
pub struct Stage {
    pub place: Place,
    pub replicas: usize,
    pub old: BTreeSet<String>,
    pub witness: Witness,
}

impl Stage {
    pub fn new(id: &str, replicas: u32, shape: impl FnOnce(Shape) -> Shape) -> Self {
        Self::with(id, replicas, shape, json!({}))
    }

    pub fn with(id: &str, replicas: u32, shape: impl FnOnce(Shape) -> Shape, spec: Value) -> Self {
        Self::at(Place::new(id), replicas, shape, spec)
    }

    pub fn at(place: Place, replicas: u32, shape: impl FnOnce(Shape) -> Shape, spec: Value) -> Self {
        let shape = shape(Shape::new().prefers(&place.node));
        let mut patch = json!({"spec": {"replicas": replicas}});
        testsupport::merge(&mut patch["spec"], spec);
        place.ns.workload("apps/v1/Deployment", "web", &shape, patch);
        // A pod that never gets Ready by itself does once: the one that is there before.
        for pod in wait_for("pods", DEFAULT_TIMEOUT, || {
            let pods = place.ns.pods();
            (pods.len() == replicas as usize && pods.iter().all(|p| p["spec"]["nodeName"].is_string())).then_some(pods)
        }) {
            let delay = json!({"metadata": {"annotations": {"pod-ready.stage.kwok.x-k8s.io/delay": "0s"}}});
            place.ns.patch("v1/Pod", &text(&pod["metadata"]["name"]), delay);
        }
        scene::wait_all_on(&place.ns, &place.node, replicas as usize);
        place.ns.pdb("web", json!({"minAvailable": replicas}));
        wait_settled(&place.ns, i64::from(replicas));
        let old = scene::living(&place.ns).into_values().collect();
        let witness = Witness::of(&place.ns, "app=web");
        Self {
            place,
            replicas: replicas as usize,
            old,
            witness,
        }
    }

    /// The pods have moved, and nothing is left of the surge.
    #[track_caller]
    pub fn moved(self, ran: &Ran) {
        let told = ran.text();
        let Self {
            place,
            replicas,
            old,
            witness,
        } = self;
        let seen = witness.finish();
        assert_eq!(place.ns.pods_on(&place.node), [""; 0], "{told}");
        assert_eq!(seen.pods.len(), 2 * replicas, "a third instance: {seen:?}\n{told}");
        assert_eq!(seen.most_living, 2 * replicas, "{seen:?}\n{told}");
        assert_eq!(seen.fewest_ready, replicas, "an outage: {seen:?}\n{told}");
        let living: BTreeSet<String> = scene::living(&place.ns).into_values().collect();
        assert!(living.len() == replicas && living.is_disjoint(&old), "{told}");
        assert_eq!(replicas_of(&place.ns), replicas as i64);
        nothing_left(&place.ns);
    }

    /// The old pods are where they were, and nothing is left of the surge.
    #[track_caller]
    pub fn undone(self, ran: &Ran) -> Seen {
        let told = ran.text();
        let Self {
            place,
            replicas,
            old,
            witness,
        } = self;
        wait_settled(&place.ns, replicas as i64);
        let seen = witness.finish();
        let living: BTreeSet<String> = scene::living(&place.ns).into_values().collect();
        assert_eq!(living, old, "{seen:?}\n{told}");
        assert!(seen.fewest_ready >= replicas, "an outage: {seen:?}\n{told}");
        assert!(seen.most_living <= 2 * replicas, "{seen:?}\n{told}");
        assert_eq!(replicas_of(&place.ns), replicas as i64);
        nothing_left(&place.ns);
        seen
    }
}

/// Evictions and deletions that were no dry runs.
pub fn asked_to_go(place: &Place) -> Vec<String> {
    let moves = place.moves().into_iter();
    moves.filter(|m| !m.starts_with("patch ")).collect()
}

pub fn web(ns: &Ns<'_>) -> Value {
    ns.get("apps/v1/Deployment", "web").expect("the Deployment is there")
}

pub fn replicas_of(ns: &Ns<'_>) -> i64 {
    web(ns)["spec"]["replicas"].as_i64().unwrap()
}

pub fn wait_settled(ns: &Ns<'_>, replicas: i64) {
    wait_for("the Deployment settles", DEFAULT_TIMEOUT, || {
        let status = &web(ns)["status"];
        let all = ["replicas", "updatedReplicas", "availableReplicas"];
        all.iter().all(|key| status[key] == replicas).then_some(())
    });
}

/// No annotation of a surge on anything.
#[track_caller]
pub fn nothing_left(ns: &Ns<'_>) {
    let kinds = [
        "apps/v1/Deployment",
        "apps/v1/ReplicaSet",
        "v1/Pod",
        "autoscaling/v2/HorizontalPodAutoscaler",
    ];
    for kind in kinds {
        for object in ns.list(kind) {
            let terminating = !object["metadata"]["deletionTimestamp"].is_null();
            for key in [RECORD, MARK, COST] {
                let left = &object["metadata"]["annotations"][key];
                assert!(left.is_null() || terminating, "{key} is left on {kind}: {left}");
            }
        }
    }
}

pub fn scaled_to(ns: &Ns<'_>, replicas: i64) {
    wait_for("the Deployment is scaled", DEFAULT_TIMEOUT, || {
        (replicas_of(ns) == replicas).then_some(())
    });
}
