//! The ClusterRoles of `docs/rbac`: each suffices for its use, without a word about something that is missing.

use std::path::{Path, PathBuf};

use serde_json::json;
use testsupport::{Cluster, DEFAULT_TIMEOUT, Live, Shape, wait_for};

use crate::{
    fence::kit::{Dead, idle},
    kit::{self, Ran},
    place::Place,
};

/// A user who has these roles of this plugin, as they are published.
pub fn user(cluster: &Cluster, name: &str, roles: &[&str]) -> PathBuf {
    let roles: Vec<String> = roles.iter().map(|role| format!("evacuate-{role}")).collect();
    let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    cluster.user_with_roles(name, &roles)
}

/// The authorizer learns of roles a moment after they were made.
fn once_granted(place: &Place, user: &Path, args: &[&str]) -> Ran {
    granted(|| kit::run(place.command(user, args)))
}

fn granted(run: impl Fn() -> Ran) -> Ran {
    wait_for("the rights", DEFAULT_TIMEOUT, || {
        let ran = run();
        let missing = ["not allowed", "forbidden"];
        let all = ran.code == Some(0) && !missing.iter().any(|text| ran.stderr.contains(text));
        all.then_some(ran)
    })
}

#[test]
fn rights_to_look() {
    let place = Place::new("rbac-look");
    place.ns.deployment("web", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(1);
    let look = user(place.cluster(), "rbac-look", &["look"]);
    let shown = once_granted(&place, &look, &["--dry-run=client"]);
    shown.says_line("Warning: you may not do this yourself: missing: patch nodes (node rbac-look-a); missing: create pods/eviction (namespace rbac-look)");
    let refused = kit::run(place.command(&look, &[])).expect(1);
    assert!(refused.stderr.contains("missing: patch nodes"), "{}", refused.text());
    assert!(!place.is_cordoned());
}

#[test]
fn rights_to_empty() {
    let place = Place::new("rbac-empty");
    place.ns.deployment("web", 1, &Shape::new().prefers(&place.node));
    place.ns.wait_pods_ready(1);
    let user = user(place.cluster(), "rbac-empty", &["look", "lock", "empty"]);
    once_granted(&place, &user, &["--dry-run=server"]);
    let ran = kit::run(place.command(&user, &["--exclude-lb"])).expect(0);
    ran.says_nothing_of("not allowed").says_nothing_of("forbidden");
    assert_eq!(place.ns.pods_on(&place.node), [""; 0]);
    let ran = kit::run(place.command(&user, &["--uncordon"])).expect(0);
    ran.says_nothing_of("not allowed").says_nothing_of("forbidden");
    assert!(!place.is_cordoned());
}

#[test]
fn rights_to_surge() {
    let place = Place::new("rbac-surge");
    place.ns.deployment("web", 1, &Shape::new().prefers(&place.node));
    place.ns.pdb("web", json!({"minAvailable": 1}));
    place.ns.create(json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"minReplicas": 1, "maxReplicas": 1, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    }));
    wait_for("the Deployment settles", DEFAULT_TIMEOUT, || {
        let web = place.ns.get("apps/v1/Deployment", "web")?;
        (web["status"]["availableReplicas"] == 1).then_some(())
    });
    let user = user(place.cluster(), "rbac-surge", &["look", "lock", "empty", "surge"]);
    once_granted(&place, &user, &["--surge", "--dry-run=client"]);
    // The rights to change are asked for before anything is changed.
    let ran = once_granted(&place, &user, &["--surge"]);
    assert_eq!(place.ns.pods_on(&place.node), [""; 0], "{}", ran.text());
    let ran = kit::run(place.command(&user, &["--uncordon"])).expect(0);
    ran.says_nothing_of("not allowed").says_nothing_of("forbidden");
}

#[test]
fn rights_over_a_dead_node() {
    let dead = Dead::new("rbac-dead");
    let user = user(idle(), "rbac-dead", &["look", "lock", "empty", "dead-node"]);
    let command = |args: &[&str]| {
        let args: Vec<&str> = std::iter::once(dead.node.as_str())
            .chain(args.iter().copied())
            .collect();
        kit::command_with(idle(), &user, &args)
    };
    granted(|| kit::run(command(&["--powered-off", "--dry-run=server"])));
    let mut live = Live::start(command(&["--powered-off"]));
    live.wait_for("node/rbac-dead-a tainted");
    dead.collect();
    let ran = live.finish().expect(0);
    ran.says_nothing_of("not allowed").says_nothing_of("forbidden");
    dead.assert_lifted(&ran.text());
    let ran = kit::run(command(&["--uncordon"])).expect(0);
    ran.says_nothing_of("not allowed").says_nothing_of("forbidden");
}

/// Who may not follow the Lease forces nothing.
#[test]
fn rights_that_are_missing_over_a_dead_node() {
    let dead = Dead::new("rbac-unheard");
    let rules = crate::scene::rights(&[]);
    let user = idle().user_kubeconfig("rbac-unheard", &rules);
    let run = || kit::run(kit::command_with(idle(), &user, &[&dead.node, "--powered-off"]));
    let ran = wait_for("the rights", DEFAULT_TIMEOUT, || {
        Some(run()).filter(|ran| ran.code == Some(3))
    });
    ran.says_line(
        "cause: node/rbac-unheard-a is silent, and whether its machine comes back cannot be followed: you may not get \
         leases.coordination.k8s.io in kube-node-lease",
    );
}

#[test]
fn rights_to_remove_a_node() {
    let place = Place::new("rbac-delete");
    let user = user(place.cluster(), "rbac-delete", &["look", "lock", "empty", "delete"]);
    once_granted(&place, &user, &["--delete", "--dry-run=server"]);
    let ran = kit::run(place.command(&user, &["--delete", "--yes"])).expect(0);
    ran.says_nothing_of("not allowed").says_nothing_of("forbidden");
    assert!(
        ran.stdout.ends_with("node \"rbac-delete-a\" deleted\n"),
        "{}",
        ran.text()
    );
}

#[test]
fn rights_to_remove_a_node_that_are_missing() {
    let place = Place::new("rbac-keep");
    let user = user(place.cluster(), "rbac-keep", &["look", "lock", "empty"]);
    once_granted(&place, &user, &["--dry-run=server"]);
    let ran = kit::run(place.command(&user, &["--delete", "--yes"])).expect(1);
    ran.says_line("cause: missing: delete nodes (node rbac-keep-a)");
    place.assert_untouched();
}
