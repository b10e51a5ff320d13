//! Controllers that do not act on what a surge has asked of them.

use std::{sync::OnceLock, time::Duration};

use serde_json::json;
use testsupport::{Cluster, DEFAULT_TIMEOUT, Node, Options, wait_for};

use super::kit::*;
use crate::place::Place;

/// Its controllers end and come back, which would disturb every other test.
fn own() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::start(Options::default());
        (0..2).for_each(|i| cluster.node(&Node::new(format!("live-{i}"))));
        cluster
    })
}

/// What was scaled back is acted on whenever they are back; to give up before that would leave it to chance who goes.
#[test]
fn surge_waits_for_controllers_that_have_not_seen_the_scale_back() {
    let stage = Stage::at(Place::on(own(), "surge-silent"), 1, |s| s.ready_after("4s"), json!({}));
    let ns = &stage.place.ns;
    let mut live = stage.place.start(&["--surge=force", "--yes"]);
    wait_for("the new pod", DEFAULT_TIMEOUT, || (ns.pods().len() == 2).then_some(()));
    own().controller_manager().kill();
    scaled_to(ns, 1);
    live.wait_for("waiting for the Deployment controller, which has not looked at the scale-back yet");
    std::thread::sleep(Duration::from_secs(33));
    assert!(live.is_running(), "{}", live.said());
    assert_eq!(asked_to_go(&stage.place), [""; 0]);
    own().controller_manager().restart();
    let ran = live.finish().expect(0);
    stage.moved(&ran);
}
