//! K11 to K17: pods without one, empty nodes, servers that go away.

use testsupport::{Live, Shape};

use crate::{
    kit::{self},
    place::names,
    scene,
};

use super::kit::*;

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
            Note: saved in SAVED as it was: k12-delete/naked
              hint: 'kubectl apply -f SAVED' brings it back
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
        ran.says_nothing_of("panicked").says_nothing_of(" drained\n");
        assert_eq!(place.moves(), row.moves(&pods), "{}", ran.text());
        ran.says_line("Warning: the API server does not answer well and is asked again: connection refused");
        ran.says_line("error: the time of --timeout is up");
        // Terminating, or not known where the answer was lost.
        let left = format!(" {}/{} ", place.ns.name(), pods[0]);
        assert_eq!(ran.stderr.matches(&left).count(), 1, "{}", ran.text());

        let ran = kit::run(place.command(link.kubeconfig(), &[])).expect(1);
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.starts_with("The connection to the server"), "{}", ran.text());
        assert_eq!(place.moves(), row.moves(&pods), "{}", ran.text());
    });
}
