//! What nothing would bring back is saved before it goes, and comes back with `kubectl apply`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testsupport::Shape;

use crate::{
    gate::Gate,
    kit::{Ran, run},
    place::Place,
    scene,
};

/// `kubectl evacuate NODE ARGS`, with a place of its own for what is saved.
fn evacuate(place: &Place, state: &Path, args: &[&str]) -> Ran {
    let mut command = place.command(place.cluster().kubeconfig(), args);
    command.env("XDG_STATE_HOME", state);
    run(command)
}

/// The folder of the one run that has saved anything there.
fn saved(place: &Place, state: &Path) -> PathBuf {
    let uid = place.cluster().get("v1/Namespace", "", "kube-system").unwrap()["metadata"]["uid"].clone();
    let runs = state.join("kubectl-upkeep/evacuate").join(uid.as_str().unwrap());
    let mut run = inside(&runs);
    assert_eq!(run.len(), 1, "{run:?}");
    run.remove(0)
}

fn inside(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.collect();
    paths.sort();
    paths
}

fn names(files: &[PathBuf]) -> Vec<&str> {
    let names = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap());
    names.collect()
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn debug(place: &Place, pod: &str) {
    let mut kubectl = assert_cmd::Command::new(place.cluster().kubectl());
    let kubectl = kubectl.env_clear().envs(place.cluster().env());
    let args = [
        "debug",
        "-n",
        place.ns.name(),
        pod,
        "--image=none",
        "--profile=general",
        "--quiet",
        "--attach=false",
    ];
    kubectl.args(args).assert().success();
}

fn apply(place: &Place, file: &Path) {
    let mut kubectl = assert_cmd::Command::new(place.cluster().kubectl());
    let kubectl = kubectl.env_clear().envs(place.cluster().env());
    let args = ["apply", "-f", file.to_str().unwrap()];
    kubectl.args(args).assert().success();
}

#[test]
fn saved_pods_come_back() {
    let place = Place::new("savep");
    let shape = Shape::new().on(&place.node);
    place.ns.pod("alone", &shape);
    place.ns.pod("other", &shape);
    // As `kubectl debug` does; none may be in a pod that is made.
    debug(&place, "other");
    place
        .ns
        .replicaset("web", 1, &Shape::new().prefers(&place.node).stops_in("1s"));
    let before = place.ns.wait_pods_ready(3);
    scene::wait_all_on(&place.ns, &place.node, 3);
    let state = tempfile::tempdir().unwrap();
    let ran = evacuate(&place, state.path(), &["--force"]).expect(0);

    // Who is started again by somebody is not saved.
    let folder = saved(&place, state.path());
    let (files, raw) = (inside(&folder), inside(&folder.join("raw")));
    assert_eq!((files.len(), raw.len()), (3, 2), "{files:?} {raw:?}");
    for name in ["alone", "other"] {
        let of = |files: &[PathBuf], end: &str| {
            let end = format!("-pod-savep-{name}.{end}");
            names(files).iter().any(|name| name.ends_with(&end))
        };
        assert!(of(&raw, "json") && of(&files, "yaml"), "{files:?} {raw:?}");
    }
    for file in files.iter().filter(|file| file.is_file()).chain(&raw) {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    assert_eq!((mode(&folder), mode(&folder.join("raw"))), (0o700, 0o700));
    let folder_name = folder.display();
    ran.says_line(&format!(
        "Note: saved in {folder_name} as they were: savep/alone, savep/other"
    ));
    ran.says_line(&format!("hint: 'kubectl apply -f {folder_name}' brings them back"));

    // As it was, before anything was asked of it.
    let raw = raw
        .iter()
        .find(|f| f.to_str().unwrap().ends_with("alone.json"))
        .unwrap();
    let raw: Value = serde_json::from_str(&std::fs::read_to_string(raw).unwrap()).unwrap();
    let was = before.iter().find(|p| p["metadata"]["name"] == "alone").unwrap();
    assert_eq!(raw["metadata"]["uid"], was["metadata"]["uid"]);
    assert_eq!(raw["spec"]["nodeName"], place.node.as_str());
    assert_eq!(raw["metadata"]["deletionTimestamp"], Value::Null);

    apply(&place, &folder);
    place.ns.wait_pods_ready(3);
    scene::wait_all_on(&place.ns, &place.other, 3);
}

#[test]
fn saved_is_in_the_document() {
    let place = Place::new("saveo");
    place.ns.pod("alone", &Shape::new().on(&place.node));
    place.ns.wait_pods_ready(1);
    let state = tempfile::tempdir().unwrap();
    let ran = evacuate(&place, state.path(), &["--force", "-o", "json"]).expect(0);
    let document = ran.json();
    let finding = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["id"] == "saved");
    let finding = finding.unwrap_or_else(|| panic!("{document}"));
    assert_eq!(finding["subjects"][0]["name"], "alone");
    let folder = saved(&place, state.path());
    assert_eq!(names(&inside(&folder)), ["001-pod-saveo-alone.yaml", "raw"]);
    assert_eq!(
        finding["hint"],
        format!("'kubectl apply -f {}' brings it back", folder.display())
    );
}

#[test]
fn saved_nodes_come_back() {
    let place = Place::new("saven");
    let cluster = place.cluster();
    let mine =
        json!({"metadata": {"labels": {"rack": "7"}}, "spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}});
    cluster.patch("v1/Node", "", &place.node, mine);
    let state = tempfile::tempdir().unwrap();
    evacuate(&place, state.path(), &["--delete", "--yes", "--exclude-lb"]).expect(0);
    assert_eq!(cluster.get("v1/Node", "", &place.node), None);
    let folder = saved(&place, state.path());
    assert_eq!(names(&inside(&folder)), ["001-node-saven-a.yaml", "raw"]);
    let raw = std::fs::read_to_string(folder.join("raw/001-node-saven-a.json")).unwrap();
    let raw: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(raw["spec"]["unschedulable"], true);

    // Its kubelet has registered it anew, and its addresses for pods are others.
    cluster.create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": place.node}, "spec": {"podCIDR": "10.99.7.0/24"}}));
    apply(&place, &folder);
    let back = cluster.get("v1/Node", "", &place.node).unwrap();
    let labels = &back["metadata"]["labels"];
    assert_eq!(labels["rack"], "7");
    assert_eq!(
        labels["node.kubernetes.io/exclude-from-external-load-balancers"],
        Value::Null
    );
    let keys = |node: &Value| {
        let taints = node["spec"]["taints"].as_array().into_iter().flatten();
        taints.map(|taint| scene::text(&taint["key"])).collect::<Vec<_>>()
    };
    assert!(keys(&back).contains(&"gpu".to_owned()), "{back}");
    // What the evacuation had done to it does not come back.
    assert_eq!(back["spec"]["unschedulable"], Value::Null);
    assert!(
        !keys(&back).contains(&"node.kubernetes.io/unschedulable".to_owned()),
        "{back}"
    );
    assert!(!back["metadata"].to_string().contains("kubectl-upkeep/"), "{back}");
}

#[test]
fn saved_or_not_begun() {
    let place = Place::new("savex");
    place.ns.pod("alone", &Shape::new().on(&place.node));
    place.ns.wait_pods_ready(1);
    let nowhere = Path::new("/proc/nowhere");
    for args in [&["--force"][..], &["--force", "--delete", "--yes"]] {
        let ran = evacuate(&place, nowhere, args).expect(3);
        ran.says_line("error: refused to evacuate savex-a; nothing was changed");
        ran.says("cause: cannot save anything in /proc/nowhere/kubectl-upkeep/evacuate/");
        ran.says("hint: set XDG_STATE_HOME to a folder that can be written to");
        place.assert_untouched();
    }
    let ran = evacuate(&place, nowhere, &["--force", "-o", "json"]).expect(3);
    assert_eq!(ran.json()["outcome"], "refused");
    // Neither a place nor a name for one.
    let mut command = place.command(place.cluster().kubeconfig(), &["--force"]);
    command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    run(command).expect(3).says("neither XDG_STATE_HOME nor HOME is set");
    // A dry run says what the run would.
    for dry in ["--dry-run=client", "--dry-run=server"] {
        let ran = evacuate(&place, nowhere, &["--force", dry]).expect(3);
        ran.says("cause: cannot save anything in /proc/nowhere/kubectl-upkeep/evacuate/");
    }
    // Where nothing has to be saved none is needed, and none is made.
    evacuate(&place, nowhere, &["--pod-selector=app=none"]).expect(0);
    let state = tempfile::tempdir().unwrap();
    evacuate(&place, state.path(), &["--pod-selector=app=none"]).expect(0);
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

/// What cannot be saved when it comes to it stays.
#[test]
fn saved_or_not_moved() {
    let place = Place::new("savem");
    place.ns.pod("alone", &Shape::new().on(&place.node));
    place.ns.wait_pods_ready(1);
    let single = |head: &str| head.contains("/savem/pods?&fieldSelector=metadata.name");
    let body = r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "not this one"}"#;
    let gate = Gate::before(
        place.cluster(),
        usize::MAX,
        single,
        "403 Forbidden",
        "application/json",
        body,
    );
    let state = tempfile::tempdir().unwrap();
    let mut command = gate.command(&[&place.node, "--force"]);
    command.env("XDG_STATE_HOME", state.path());
    let ran = run(command).expect(4);
    ran.says("not this one");
    assert!(gate.turned_away() > 0);
    assert_eq!(place.ns.pods_on(&place.node).len(), 1);
    let uid = state.path().join("kubectl-upkeep/evacuate");
    let folders = std::fs::read_dir(uid).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<_> = folders.filter(|path| path.is_dir()).collect();
    let [uid] = folders.as_slice() else {
        panic!("{folders:?}")
    };
    assert_eq!(std::fs::read_dir(uid).unwrap().count(), 0, "no empty folder stays");
}
