//! Words are completed with what is in the cluster.

use std::process::Command;
use std::time::Duration;

use testsupport::{Cluster, Node};

use crate::bench::{Ran, probe, probe_path, probe_with, server_that_says};

fn nodes() {
    let cluster = Cluster::shared();
    for name in ["tab-one", "tab-two"] {
        if cluster.get("v1/Node", "", name).is_none() {
            cluster.node(&Node::new(name));
        }
    }
}

fn lines(ran: &Ran) -> Vec<&str> {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    ran.stdout.lines().collect()
}

// One test for all: the nodes are made once.
#[test]
fn names_come_from_the_cluster_and_the_kubeconfig() {
    nodes();
    assert_eq!(lines(&probe(&["__complete", "tab-"])), ["tab-one", "tab-two", ":4"]);
    assert_eq!(
        lines(&probe(&["__complete", "tab-one", "node/tab-t"])),
        ["node/tab-two", ":4"]
    );
    // What is named already is not offered again.
    assert_eq!(
        lines(&probe(&["__complete", "node/tab-one", "tab-"])),
        ["tab-two", ":4"]
    );
    assert_eq!(lines(&probe(&["__complete", "-n", "kube-s"])), ["kube-system", ":4"]);
    assert_eq!(lines(&probe(&["__complete", "--context", ""])), ["testbed", ":4"]);
    assert_eq!(lines(&probe(&["__complete", "--user="])), ["admin", ":4"]);
    assert_eq!(
        lines(&probe(&["__complete", "--deprec"])),
        ["--deprecated\tAlso read something deprecated, twice", ":4"]
    );
    assert_eq!(
        lines(&probe(&["__complete", "-o", "j"])),
        ["json\tOne JSON document", ":4"]
    );

    // The flags that were typed count: this user may not list nodes.
    let config = Cluster::shared().user_kubeconfig("tab-nobody", &[]);
    let ran = probe(&["__complete", "--kubeconfig", config.to_str().unwrap(), "tab-"]);
    assert_eq!(lines(&ran), [":4"]);

    // As kubectl calls it.
    let dir = tempfile::tempdir().unwrap();
    for name in ["kubectl_complete-probe", "kubectl-probe"] {
        std::os::unix::fs::symlink(probe_path(), dir.path().join(name)).unwrap();
    }
    let env = Cluster::shared().env();
    let path = env.iter().find(|(name, _)| *name == "PATH").unwrap().1.clone();
    let path = format!("{}:{path}", dir.path().display());
    let mut kubectl = Command::new(Cluster::shared().kubectl());
    let output = kubectl
        .env_clear()
        .envs(env.clone())
        .env("PATH", &path)
        .args(["__complete", "probe", "tab-"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "tab-one\ntab-two\n:4\n");

    // And as bash does with the script.
    let script = "source <(kubectl-probe completion bash); COMP_WORDS=(kubectl-probe tab-); COMP_CWORD=1; COMP_TYPE=9
        F=$(complete -p kubectl-probe | sed 's/.* -F \\([^ ]*\\) .*/\\1/'); $F kubectl-probe tab- kubectl-probe; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .env_clear()
        .envs(env)
        .env("PATH", &path)
        .args(["-c", script])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "tab-one\ntab-two\n",
        "{output:?}"
    );
}

#[test]
fn a_cluster_that_does_not_answer_is_not_waited_for() {
    let server = format!("http://{}", server_that_says(None));
    let ran = probe(&["__complete", "-s", &server, "x"]);
    assert_eq!(lines(&ran), [":4"]);
    assert!(ran.took < Duration::from_secs(5), "{ran:?}");
    assert_eq!(
        lines(&probe_with(&["__complete", ""], &[("KUBECONFIG", "/nope")])),
        [":4"]
    );
}

#[test]
fn scripts_are_printed_for_four_shells() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let ran = probe(&["completion", shell]);
        assert!(ran.code == 0 && ran.stdout.contains("kubectl-probe"), "{ran:?}");
    }
    let ran = probe(&["completion", "tcsh"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr
            .starts_with("error: there is no completion script for \"tcsh\""),
        "{ran:?}"
    );
}

#[test]
fn r43_contexts_that_a_shell_would_expand_are_not_offered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    let names = [
        "good@cluster",
        "arn:aws:eks:r:1:cluster/x",
        "$(id)",
        "`id`",
        "a;b",
        "a b",
        "a\nb",
        "${IFS}",
        "a\u{200b}",
    ];
    let contexts: Vec<_> = names
        .iter()
        .map(|name| serde_json::json!({"name": name, "context": {"cluster": "c", "user": "u"}}))
        .collect();
    std::fs::write(&path, serde_json::json!({"contexts": contexts}).to_string()).unwrap();
    let path = path.to_str().unwrap();
    let ran = probe(&["__complete", "--kubeconfig", path, "--context", ""]);
    assert_eq!(lines(&ran), ["good@cluster", "arn:aws:eks:r:1:cluster/x", ":4"]);
}
