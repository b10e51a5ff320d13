//! Nodes that cannot be annotated, and servers that refuse what is not needed.

use serde_json::{Value, json};
use testsupport::{Cluster, DEFAULT_TIMEOUT, Live, Shape, wait_for};

use crate::{
    fence::kit::Dead,
    kit::{self, Ran, kubectl},
    place::Place,
    scene::{self, is_locked, lift, lock, policy, rights, text},
};

/// What all annotations of an object may have together (`TotalAnnotationSizeLimitB`).
pub const LIMIT: usize = 256 * 1024;
pub const PLAIN: &str = "is cordoned without annotations, because the server refuses them: ";

pub fn node(cluster: &Cluster, name: &str) -> Value {
    cluster.get("v1/Node", "", name).expect("the node exists")
}

pub fn annotate(cluster: &Cluster, node: &str, annotations: &Value) {
    cluster.patch("v1/Node", "", node, json!({"metadata": {"annotations": annotations}}));
}

/// Fills the annotations of a node up to a few bytes.
pub fn fill(cluster: &Cluster, name: &str) {
    let there = node(cluster, name)["metadata"]["annotations"].clone();
    let there = there.as_object().into_iter().flatten();
    let used: usize = there.map(|(key, value)| key.len() + text(value).len()).sum();
    let key = "example.com/full";
    let room = LIMIT - used - key.len() - 40;
    annotate(cluster, name, &json!({ key: "x".repeat(room) }));
}

/// A policy under which the annotations of a node stay as they are.
pub fn frozen(cluster: &Cluster, id: &str, node: &str) {
    let concerns = format!("request.name == '{node}'");
    let same = "(has(object.metadata.annotations) ? object.metadata.annotations : {}) == \
                (has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {})";
    policy(cluster, id, "UPDATE", "nodes", &concerns, same);
    wait_for("the policy", DEFAULT_TIMEOUT, || {
        let patch = json!({"metadata": {"annotations": {"example.com/tried": id}}}).to_string();
        let tried = kubectl(
            cluster,
            cluster.kubeconfig(),
            &["patch", "node", node, "--dry-run=server", "-p", &patch],
        );
        (tried.code != Some(0)).then_some(())
    });
}

pub fn warnings<'a>(ran: &'a Ran, about: &str) -> Vec<&'a str> {
    ran.stderr.lines().filter(|line| line.contains(about)).collect()
}

/// A pod that takes a while to stop, so that there is time to look at the run.
pub fn slow(place: &Place) {
    let shape = Shape::new().prefers(&place.node).stops_in("4s").grace(30);
    place.ns.deployment("slow", 1, &shape);
    scene::wait_all_on(&place.ns, &place.node, 1);
}

#[test]
fn r05_a_node_whose_annotations_are_at_their_limit() {
    let place = Place::new("r05-full");
    let cluster = place.cluster();
    slow(&place);
    fill(cluster, &place.node);
    // The dry run sends what the run will send.
    let shown = place.evacuate(&["--dry-run=server"]).expect(0);
    assert_eq!(warnings(&shown, PLAIN).len(), 1, "{}", shown.text());
    assert!(shown.stderr.contains("262144"), "{}", shown.text());
    assert!(!place.is_cordoned() && lock(cluster, &place.node).is_none());

    let mut run = place.start(&[]);
    run.wait_for("evicting pod");
    assert!(place.is_cordoned() && place.cordoned_by().is_none());
    assert!(is_locked(cluster, &place.node), "the lock is a Lease");
    let second = place.evacuate(&[]).expect(3);
    assert!(second.stderr.contains(" is at work on it; "), "{}", second.text());
    let ran = run.finish().expect(0);
    assert_eq!(warnings(&ran, PLAIN).len(), 1, "{}", ran.text());
    assert!(
        ran.stderr.contains("'kubectl uncordon r05-full-a' does"),
        "{}",
        ran.text()
    );
    assert_eq!(place.ns.pods_on(&place.node), [""; 0]);
    assert!(place.is_cordoned() && !is_locked(cluster, &place.node));
    // Its conditions are no annotations. Once it takes pods again they are not true any more.
    let drained = || {
        let conditions = node(cluster, &place.node)["status"]["conditions"].clone();
        let mut conditions = conditions.as_array().into_iter().flatten();
        conditions.any(|c| c["type"] == "Drained")
    };
    assert!(drained());
    kubectl(cluster, cluster.kubeconfig(), &["uncordon", &place.node]).expect(0);
    let back = place.evacuate(&["--uncordon"]).expect(0);
    back.says("node/r05-full-a: removed conditions DrainInProgress, Drained");
    assert!(!drained());
}

#[test]
fn r05_a_policy_that_forbids_annotations_allows_the_cordon_and_the_way_back() {
    let place = Place::new("r05-policy");
    let cluster = place.cluster();
    place.ns.deployment("web", 1, &Shape::new().prefers(&place.node));
    place.ns.pdb("web", json!({"minAvailable": 1}));
    scene::wait_all_on(&place.ns, &place.node, 1);
    frozen(cluster, "r05-frozen", &place.node);
    let shown = place.evacuate(&["--dry-run=server", "--on-blocked=wait"]);
    assert_eq!(warnings(&shown, PLAIN).len(), 1, "{}", shown.text());
    // What this run has cordoned it takes back, although nothing on the node says so.
    let args = ["--on-blocked=wait", "--timeout=2s", "--uncordon-on-abort"];
    let ran = place.evacuate(&args).expect(5);
    assert!(
        ran.stdout.contains("node/r05-policy-a cordoned\n") && ran.stdout.contains("node/r05-policy-a uncordoned\n"),
        "{}",
        ran.text()
    );
    assert_eq!(warnings(&ran, PLAIN).len(), 1, "{}", ran.text());
    assert!(!place.is_cordoned() && !is_locked(cluster, &place.node));
    lift(cluster, "r05-frozen");
}

/// The policy comes after the run: the node is brought back, and its annotations stay.
#[test]
fn r05_a_policy_that_forbids_to_remove_annotations_allows_the_uncordon() {
    let place = Place::new("r05-back");
    let cluster = place.cluster();
    place.evacuate(&[]).expect(0);
    frozen(cluster, "r05-kept", &place.node);
    let ran = place.evacuate(&["--uncordon"]).expect(0);
    lift(cluster, "r05-kept");
    assert!(!place.is_cordoned());
    let said = "annotations and labels of the evacuation stay, because the server refuses to change them: ";
    assert_eq!(warnings(&ran, said).len(), 1, "{}", ran.text());
}

/// A label is not needed to empty a node either; the annotations are there all the same.
#[test]
fn r05_a_policy_that_forbids_the_label() {
    const LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
    let place = Place::new("r05-label");
    let cluster = place.cluster();
    let concerns = format!("request.name == '{}'", place.node);
    let without = format!("!('{LABEL}' in object.metadata.labels)");
    policy(cluster, "r05-no-label", "UPDATE", "nodes", &concerns, &without);
    wait_for("the policy", DEFAULT_TIMEOUT, || {
        let label = format!("{LABEL}=x");
        let tried = kubectl(
            cluster,
            cluster.kubeconfig(),
            &["label", "node", &place.node, &label, "--dry-run=server"],
        );
        (tried.code != Some(0)).then_some(())
    });
    let ran = place.evacuate(&["--exclude-lb"]).expect(0);
    lift(cluster, "r05-no-label");
    let said = format!("Warning: node/r05-label-a: label {LABEL} is not set, because the server refuses it: ");
    assert_eq!(warnings(&ran, &said).len(), 1, "{}", ran.text());
    ran.says_nothing_of(PLAIN);
    assert!(place.cordoned_by().is_some());
    // A label that somebody sets afterwards is not this run's to remove.
    wait_for("the policy is lifted", DEFAULT_TIMEOUT, || {
        let label = format!("{LABEL}=");
        let set = kubectl(cluster, cluster.kubeconfig(), &["label", "node", &place.node, &label]);
        (set.code == Some(0)).then_some(())
    });
    place.evacuate(&["--uncordon"]).expect(0);
    assert_eq!(node(cluster, &place.node)["metadata"]["labels"][LABEL], "");
}

#[test]
fn r05_without_the_right_to_write_leases_the_lock_is_an_annotation() {
    let place = Place::new("r05-rights");
    let cluster = place.cluster();
    slow(&place);
    let without = rights(&["create leases.coordination.k8s.io", "patch leases.coordination.k8s.io"]);
    let user = cluster.user_kubeconfig("r05-rights", &without);
    let said = "Warning: two runs at once are kept apart only by an annotation, which the node itself can write: no Lease can be \
                written in namespace kube-public (not allowed); the Role kubectl-evacuate-lock gives the right";
    let shown = kit::run(place.command(&user, &["--dry-run=server"])).expect(0);
    shown.says_line(said);
    let mut run = Live::start(place.command(&user, &[]));
    run.wait_for("evicting pod");
    let held = &node(cluster, &place.node)["metadata"]["annotations"]["kubectl-upkeep/lock"];
    assert!(held.is_string() && lock(cluster, &place.node).is_none(), "{held}");
    // One that may write Leases keeps away from it all the same.
    let second = place.evacuate(&[]).expect(3);
    assert!(second.stderr.contains(" is at work on it; "), "{}", second.text());
    let ran = run.finish().expect(0);
    assert_eq!(warnings(&ran, "two runs at once").len(), 1, "{}", ran.text());
    assert!(!is_locked(cluster, &place.node));
    // Neither the one nor the other.
    let bare = Place::new("r05-none");
    fill(cluster, &bare.node);
    let ran = kit::run(bare.command(&user, &[])).expect(0);
    assert_eq!(
        warnings(&ran, "two runs at once are not kept apart: ").len(),
        1,
        "{}",
        ran.text()
    );
    assert_eq!(warnings(&ran, PLAIN).len(), 1, "{}", ran.text());
    assert!(bare.is_cordoned());
}

/// Nobody but a denial of the cordon itself ends the run, and then nothing has been changed.
#[test]
fn r05_a_denied_cordon_is_found_before_anything_is_changed() {
    let place = Place::new("r05-denied");
    let cluster = place.cluster();
    let concerns = format!("request.name == '{}'", place.node);
    let expression = "!(has(object.spec.unschedulable) && object.spec.unschedulable)";
    policy(cluster, "r05-no-cordon", "UPDATE", "nodes", &concerns, expression);
    wait_for("the policy", DEFAULT_TIMEOUT, || {
        (place.evacuate(&["--dry-run=server"]).code == Some(1)).then_some(())
    });
    let ran = place.evacuate(&["-o", "json"]).expect(1);
    lift(cluster, "r05-no-cordon");
    assert!(
        ran.stderr
            .contains("error: unable to drain node \"r05-denied-a\": it could not be cordoned: "),
        "{}",
        ran.text()
    );
    assert_eq!(ran.json()["outcome"], "failed", "{}", ran.text());
    place.assert_untouched();
    assert!(lock(cluster, &place.node).is_none());
}

/// The taint of a machine that is off needs no annotation either.
#[test]
fn r05_a_dead_node_whose_annotations_are_at_their_limit() {
    let dead = Dead::new("r05-dead");
    fill(dead.ns.cluster(), &dead.node);
    let live = dead.tainted(&["--powered-off"]);
    dead.collect();
    let ran = live.finish().expect(0);
    assert_eq!(
        warnings(&ran, "is tainted without an annotation").len(),
        1,
        "{}",
        ran.text()
    );
    dead.assert_lifted(&ran.text());
}
