//! K1 to K10: pods with a controller.

use kube::api::DeleteParams;
use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Shape, wait_for};

use crate::place::names;

use super::kit::*;

#[test]
fn k01_rc_managed_pod() {
    both("k01", |row| {
        // Long enough for its successor to be on its node.
        let shape = Shape::new().prefers(&row.place.node).stops_in("2s");
        row.place.ns.replication_controller("rc", 1, &shape);
        let pods = names(&row.place.ns.wait_pods_ready(1));
        let ran = row.evacuate(&[]);
        row.assert_drained(&ran, &pods);
        if row.how == How::Evict {
            assert_run!(ran, @r#"
            node/k01-evict-a cordoned
            evicting pod k01-evict/rc-HASH
            pod/rc-HASH evicted
            node/k01-evict-a drained
            --- stderr
            k01-evict-a: drained in TIME; 1 pod gone: 1 to k01-evict-b
            --- exit Some(0)
            "#);
        }
    });
}

#[test]
fn k02_daemonset_pod_is_left_alone_without_a_flag() {
    both("k02", |row| {
        row.place.ns.daemonset("ds", &Shape::new());
        row.place.ns.wait_pods_ready(2);
        let pod = only_pod(&row.place);
        let ran = row.evacuate(&[]);
        row.assert_drained(&ran, &[]);
        assert_eq!(only_pod(&row.place), pod);
    });
}

/// The DaemonSet waits for a finalizer, so that its controller does not clear the pod away itself.
#[test]
fn k03_daemonset_pod_that_has_ended() {
    both("k03", |row| {
        let ns = &row.place.ns;
        ns.daemonset("ds", &Shape::new());
        ns.wait_pods_ready(2);
        ns.patch(
            "apps/v1/DaemonSet",
            "ds",
            json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        );
        ns.delete("apps/v1/DaemonSet", "ds");
        let pod = only_pod(&row.place);
        let status = json!({"status": {"phase": "Succeeded"}});
        row.place.cluster().patch_status("v1/Pod", ns.name(), &pod, status);
        let ran = row.evacuate(&[]);
        row.assert_drained(&ran, &[pod]);
        ns.patch("apps/v1/DaemonSet", "ds", json!({"metadata": {"finalizers": null}}));
    });
}

/// A pod whose DaemonSet was deleted with `--cascade=orphan`: nothing owns it any more.
fn orphan(row: &Row) -> String {
    let ns = &row.place.ns;
    ns.daemonset("ds", &Shape::new());
    ns.wait_pods_ready(2);
    let params = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    row.place
        .cluster()
        .delete_with("apps/v1/DaemonSet", ns.name(), "ds", &params);
    wait_for("the pods to have no owner", DEFAULT_TIMEOUT, || {
        let owned = |pod: &Value| !pod["metadata"]["ownerReferences"].is_null();
        (!ns.pods().iter().any(owned)).then_some(())
    });
    only_pod(&row.place)
}

#[test]
fn k04_orphaned_daemonset_pod() {
    both("k04", |row| {
        let pod = orphan(row);
        let ran = row.evacuate(&[]);
        row.assert_refused(&ran, &[&pod]);
        if row.how == How::Evict {
            assert_run!(ran, @r#"
            --- stderr
            error: refused to evacuate k04-evict-a; nothing was changed
              cause: cannot delete Pods that declare no controller (use --force to override): k04-evict/ds-HASH
            --- exit Some(3)
            "#);
        }
    });
}

#[test]
fn k05_orphaned_daemonset_pod_forced() {
    both("k05", |row| {
        let pod = orphan(row);
        let ran = row.evacuate(&["--force"]);
        row.assert_drained(&ran, std::slice::from_ref(&pod));
        let ns = row.place.ns.name();
        ran.says_line(&format!(
            "Warning: deleting Pods that declare no controller: {ns}/{pod}"
        ));
    });
}

#[test]
fn k06_daemonset_pod_with_the_flag() {
    both("k06", |row| {
        row.place.ns.daemonset("ds", &Shape::new());
        row.place.ns.wait_pods_ready(2);
        let ran = row.evacuate(&["--ignore-daemonsets"]);
        row.assert_drained(&ran, &[]);
    });
}

#[test]
fn k07_daemonset_pod_with_local_data() {
    both("k07", |row| {
        row.place.ns.daemonset("ds", &Shape::new().empty_dir());
        row.place.ns.wait_pods_ready(2);
        let ran = row.evacuate(&["--ignore-daemonsets"]);
        row.assert_drained(&ran, &[]);
        if row.how == How::Evict {
            assert_run!(ran, @r#"
            node/k07-evict-a cordoned
            node/k07-evict-a drained
            --- stderr
            Warning: ignoring DaemonSet-managed Pods: k07-evict/ds-HASH
            k07-evict-a: drained in TIME; 0 pods gone
            --- exit Some(0)
            "#);
        }
    });
}

#[test]
fn k08_job_pod_with_local_data() {
    both("k08", |row| {
        row.place
            .ns
            .job("job", 1, &Shape::new().prefers(&row.place.node).empty_dir());
        let pods = names(&row.place.ns.wait_pods_ready(1));
        row.assert_refused(&row.evacuate(&["--force"]), &[&pods[0]]);
        let ran = row.evacuate(&["--force", "--delete-emptydir-data=true"]);
        row.assert_drained(&ran, &pods);
        ran.says_line(&format!(
            "Warning: deleting Pods with local storage: {}/{}",
            row.place.ns.name(),
            pods[0]
        ));
    });
}

#[test]
fn k09_job_pod_that_has_ended_with_local_data() {
    both("k09", |row| {
        let shape = Shape::new()
            .prefers(&row.place.node)
            .empty_dir()
            .ends("Succeeded", "0s");
        row.place.ns.job("job", 1, &shape);
        let pod = only_pod(&row.place);
        row.place.ns.wait_phase(&pod, "Succeeded");
        let ran = row.evacuate(&[]);
        row.assert_drained(&ran, &[pod]);
    });
}

#[test]
fn k10_rs_managed_pod() {
    both("k10", |row| {
        row.place.ns.replicaset("rs", 1, &Shape::new().prefers(&row.place.node));
        let pods = names(&row.place.ns.wait_pods_ready(1));
        let ran = row.evacuate(&[]);
        row.assert_drained(&ran, &pods);
    });
}
