//! Rows K: what kubectl's own tests of `drain` say, on real servers.
//!
//! Two rows differ on purpose. What kubectl refuses after it has cordoned the node is refused here before anything is
//! changed; and the pods of a DaemonSet are left alone without a flag.

use kube::api::DeleteParams;
use serde_json::{Value, json};
use testsupport::{DEFAULT_TIMEOUT, Shape, wait_for};

use crate::{
    kit::{self, Ran},
    live::Live,
    place::{Place, names},
    scene,
};

/// Each row runs with the eviction API and without, as kubectl's tests do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Evict,
    Delete,
}

/// One row in one of the two ways.
struct Row {
    place: Place,
    how: How,
}

fn both(id: &str, row: impl Fn(&Row)) {
    for (how, word) in [(How::Evict, "evict"), (How::Delete, "delete")] {
        let place = Place::new(&format!("{id}-{word}"));
        row(&Row { place, how });
    }
}

impl Row {
    fn flags<'a>(&self, args: &[&'a str]) -> Vec<&'a str> {
        let mut args = args.to_vec();
        if self.how == How::Delete {
            args.push("--disable-eviction");
        }
        args
    }

    fn evacuate(&self, args: &[&str]) -> Ran {
        self.place.evacuate(&self.flags(args))
    }

    /// How these pods go in this way, as [`Place::moves`] says it.
    fn moves(&self, pods: &[String]) -> Vec<String> {
        let one = |pod: &String| match self.how {
            How::Evict => format!("evict {pod} 201"),
            How::Delete => format!("delete {pod} 200"),
        };
        pods.iter().map(one).collect()
    }

    /// Exactly these pods went, each asked once and in this way, and stdout says so in kubectl's words.
    #[track_caller]
    fn assert_drained(&self, ran: &Ran, pods: &[String]) {
        let (node, ns) = (&self.place.node, self.place.ns.name());
        let mut lines = vec![format!("node/{node} cordoned")];
        for pod in pods {
            match self.how {
                How::Evict => lines.extend([format!("evicting pod {ns}/{pod}"), format!("pod/{pod} evicted")]),
                How::Delete => lines.push(format!("pod/{pod} deleted")),
            }
        }
        lines.push(format!("node/{node} drained"));
        assert_eq!(ran.code, Some(0), "{}", ran.text());
        assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), lines, "{}", ran.text());
        assert_eq!(self.place.moves(), self.moves(pods), "{}", ran.text());
        assert!(self.place.is_cordoned());
        let left = self.place.ns.pods_on(node);
        assert!(pods.iter().all(|pod| !left.contains(pod)), "{left:?}");
    }

    /// Refused: exit 3, nothing on stdout, nothing changed, the pods are still there.
    #[track_caller]
    fn assert_refused(&self, ran: &Ran, pods: &[&str]) {
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{}", ran.text());
        self.place.assert_untouched();
        assert_eq!(self.place.ns.pods_on(&self.place.node), pods);
    }
}

/// The name of the only pod of a namespace on a node.
fn only_pod(place: &Place) -> String {
    wait_for("one Ready pod", DEFAULT_TIMEOUT, || {
        let on_node = place.ns.pods_on(&place.node);
        (on_node.len() == 1).then(|| on_node[0].clone())
    })
}

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
        ran.says(&format!(
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
        ran.says(&format!(
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

/// A pod `naked` that nothing would re-create.
fn naked(row: &Row, shape: Shape) -> Vec<String> {
    row.place.ns.pod("naked", &shape.on(&row.place.node));
    row.place.ns.wait_pods_ready(1);
    vec!["naked".to_owned()]
}

#[test]
fn k11_naked_pod() {
    both("k11", |row| {
        naked(row, Shape::new());
        let ran = row.evacuate(&[]);
        row.assert_refused(&ran, &["naked"]);
        if row.how == How::Delete {
            assert_run!(ran, @r#"
            --- stderr
            error: refused to evacuate k11-delete-a; nothing was changed
              cause: cannot delete Pods that declare no controller (use --force to override): k11-delete/naked
            --- exit Some(3)
            "#);
        }
    });
}

#[test]
fn k12_naked_pod_forced() {
    both("k12", |row| {
        let pods = naked(row, Shape::new());
        let ran = row.evacuate(&["--force"]);
        row.assert_drained(&ran, &pods);
        if row.how == How::Delete {
            assert_run!(ran, @r#"
            node/k12-delete-a cordoned
            pod/naked deleted
            node/k12-delete-a drained
            --- stderr
            Warning: deleting Pods that declare no controller: k12-delete/naked
            k12-delete-a: drained in TIME; 1 pod gone: 1 not replaced
            --- exit Some(0)
            "#);
        }
    });
}

#[test]
fn k13_naked_pod_with_local_data() {
    both("k13", |row| {
        naked(row, Shape::new().empty_dir());
        let ran = row.evacuate(&["--force"]);
        row.assert_refused(&ran, &["naked"]);
        if row.how == How::Evict {
            assert_run!(ran, @r#"
            --- stderr
            error: refused to evacuate k13-evict-a; nothing was changed
              cause: cannot delete Pods with local storage (use --delete-emptydir-data to override): k13-evict/naked
            --- exit Some(3)
            "#);
        }
    });
}

#[test]
fn k14_failed_naked_pod_with_local_data() {
    both("k14", |row| {
        let shape = Shape::new().empty_dir().ends("Failed", "0s");
        row.place.ns.pod("naked", &shape.on(&row.place.node));
        row.place.ns.wait_phase("naked", "Failed");
        let ran = row.evacuate(&[]);
        row.assert_drained(&ran, &["naked".to_owned()]);
    });
}

#[test]
fn k15_naked_pod_with_local_data_given_up() {
    both("k15", |row| {
        let pods = naked(row, Shape::new().empty_dir());
        let ran = row.evacuate(&["--force", "--delete-emptydir-data=true"]);
        row.assert_drained(&ran, &pods);
    });
}

#[test]
fn k16_empty_node() {
    both("k16", |row| {
        let mark = row.place.cluster().audit().mark();
        let ran = row.evacuate(&[]);
        // Its pods are listed as kubectl does it: in pages, and consistently, so without a resourceVersion.
        let mut lists = row.place.cluster().audit().since(mark, scene::AGENT);
        let of_node = format!("fieldSelector=spec.nodeName%3D{}&", row.place.node);
        lists.retain(|r| r.verb == "list" && r.uri.contains(&of_node));
        let as_kubectl = format!("/api/v1/pods?&{of_node}limit=500");
        assert!(
            !lists.is_empty() && lists.iter().all(|r| r.uri == as_kubectl),
            "{lists:#?}"
        );
        row.assert_drained(&ran, &[]);
        if row.how == How::Evict {
            assert_run!(ran, @r#"
            node/k16-evict-a cordoned
            node/k16-evict-a drained
            --- stderr
            k16-evict-a: drained in TIME; 0 pods gone
            --- exit Some(0)
            "#);
        }
    });
}

/// The server goes away after the one request, and its answer to what became of the pod never comes.
#[test]
fn k17_server_that_goes_away() {
    both("k17", |row| {
        let place = &row.place;
        place
            .ns
            .replicaset("rs", 1, &Shape::new().prefers(&place.node).never_stops());
        let pods = names(&place.ns.wait_pods_ready(1));
        let link = place.cluster().link();
        let run = Live::start(place.command(link.kubeconfig(), &row.flags(&["--timeout=6s"])));
        place.wait_terminating(&pods[0]);
        link.cut();
        let ran = run.finish().expect(5);
        ran.never_says("panicked").never_says(" drained\n");
        assert_eq!(place.moves(), row.moves(&pods), "{}", ran.text());
        ran.says("Warning: the API server does not answer well and is asked again: connection refused");
        ran.says("error: the time of --timeout is up");
        // Terminating, or not known where the answer was lost.
        let left = format!(" {}/{} ", place.ns.name(), pods[0]);
        assert_eq!(ran.stderr.matches(&left).count(), 1, "{}", ran.text());

        let ran = kit::run(place.command(link.kubeconfig(), &[])).expect(1);
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.starts_with("The connection to the server"), "{}", ran.text());
        assert_eq!(place.moves(), row.moves(&pods), "{}", ran.text());
    });
}
