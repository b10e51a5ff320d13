//! A server that is in trouble, and how much it is asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use testsupport::{Cluster, Shape, wait_for};

use crate::{
    kit::{Ran, command_with, run},
    live::Live,
    scene::{evictions, rights},
};

#[test]
fn b03_a_connection_that_breaks_is_made_again_and_nothing_is_sent_twice() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b03");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 4, &Shape::new().prefers(&a).stops_in("5s"));
    ns.wait_pods_ready(4);
    let link = cluster.link();
    let mark = cluster.audit().mark();
    // Answers are slow, so that the evictions arrive and their answers do not.
    link.delay(Duration::from_millis(300));
    let mut live = Live::start(command_with(cluster, link.kubeconfig(), &[&a]));
    for pod in 0..4 {
        live.wait_for(&format!("evicting pod b03/web-{pod}"));
    }
    std::thread::sleep(Duration::from_millis(100));
    link.cut();
    live.wait_for("Warning: the API server does not answer well and is asked again: ");
    std::thread::sleep(Duration::from_secs(1));
    link.heal();
    let ran = live.finish().expect(0);
    let sent = evictions(&ns, mark);
    assert_eq!(sent.len(), 4, "{sent:?}");
    // The server gives up what its client does not wait for any more; of what it did, nothing is asked for again.
    let again = |codes: &Vec<u16>| codes.iter().rev().skip(1).any(|code| *code == 201);
    assert!(!sent.values().any(again), "{sent:?}");
    assert_eq!(ran.stdout.matches("evicting pod").count(), 4, "{}", ran.text());
    assert_eq!(ns.pods_on(&a), [""; 0]);
}

#[test]
fn b03_a_server_that_is_unavailable_is_asked_again() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b03u");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 2, &Shape::new().prefers(&a));
    ns.wait_pods_ready(2);
    let body = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"etcdserver: request timed out","reason":"ServiceUnavailable","code":503}"#;
    let gate = Gate::before(cluster, 6, "503 Service Unavailable", "application/json", body);
    let mark = cluster.audit().mark();
    let ran = gate.run(&[&a]).expect(0);
    ran.says("Warning: the API server does not answer well and is asked again: etcdserver: request timed out");
    assert_eq!(gate.turned_away(), 6);
    let sent = evictions(&ns, mark);
    assert_eq!(sent.values().flatten().collect::<Vec<_>>(), [&201, &201], "{sent:?}");
}

/// The answer of API Priority and Fairness: plain text, no cause, a second to wait.
#[test]
fn b06_a_429_without_a_cause_is_throttling_and_no_budget() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b06");
    let [a, _b] = ns.nodes(["a", "b"]);
    ns.statefulset("web", 2, &Shape::new().prefers(&a));
    ns.pdb("web", json!({"maxUnavailable": 2}));
    ns.wait_pods_ready(2);
    let body = "Too many requests, please try again later.\n";
    let gate = Gate::before(
        cluster,
        3,
        "429 Too Many Requests\r\nretry-after: 1",
        "text/plain",
        body,
    );
    // Budgets that let nothing through would end this run.
    let ran = gate.run(&[&a, "--on-blocked=fail"]).expect(0);
    ran.says("Warning: the API server sheds load (429) and asks to wait 1s")
        .never_says("budget");
    assert_eq!(gate.turned_away(), 3);
    assert!(ran.took >= Duration::from_secs(1), "{:?}", ran.took);
    assert_eq!(ns.pods_on(&a), [""; 0]);
}

#[test]
fn b15_110_pods_take_at_most_150_requests() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("b15");
    let [a, b] = ns.nodes(["a", "b"]);
    ns.replicaset("web", 110, &Shape::new().prefers(&a).stops_in("2s"));
    let before = ns.wait_pods_ready(110);
    assert!(before.iter().all(|p| p["spec"]["nodeName"] == a));
    let config = cluster.user_kubeconfig("b15", &rights(&[]));
    let mark = cluster.audit().mark();
    let ran = run(command_with(cluster, &config, &[&a])).expect(0);
    let mut requests = cluster.audit().since(mark, crate::scene::AGENT);
    requests.retain(|r| r.user == "b15");
    let shown: Vec<_> = requests
        .iter()
        .filter(|r| r.subresource != "eviction")
        .map(|r| (&r.verb, &r.uri))
        .collect();
    assert_eq!(requests.len() - shown.len(), 110, "one eviction for each pod");
    assert!(
        requests.len() <= 150,
        "{} requests, among them {shown:#?}",
        requests.len()
    );
    assert_eq!(ran.stdout.lines().filter(|l| l.ends_with(" evicted")).count(), 110);
    crate::scene::wait_all_on(&ns, &b, 110);
}

/// A way to the API server that turns the first evictions away by itself; everything else it passes on to a
/// `kubectl proxy`.
struct Gate {
    address: SocketAddr,
    left: Arc<Mutex<usize>>,
    whole: usize,
    cluster: &'static Cluster,
    proxy: Child,
    dir: tempfile::TempDir,
}

impl Gate {
    fn before(cluster: &'static Cluster, times: usize, status: &str, kind: &str, body: &str) -> Self {
        let mut proxy = Command::new(cluster.kubectl())
            .env_clear()
            .envs(cluster.env())
            .args(["proxy", "--port=0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(proxy.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let behind: SocketAddr = line.trim().trim_start_matches("Starting to serve on ").parse().unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let left = Arc::new(Mutex::new(times));
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}");
        let count = Arc::clone(&left);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let (answer, left) = (answer.clone(), Arc::clone(&count));
                std::thread::spawn(move || carry(near, behind, &answer, &left));
            }
        });
        wait_for("the proxy", testsupport::DEFAULT_TIMEOUT, || {
            TcpStream::connect(behind).ok()
        });
        let dir = tempfile::tempdir().unwrap();
        Self {
            address,
            left,
            whole: times,
            cluster,
            proxy,
            dir,
        }
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Ran {
        let config = self.dir.path().join("config");
        let server = format!("http://{}", self.address);
        let content = json!({
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": ""}}],
            "current-context": "x",
        });
        std::fs::write(&config, content.to_string()).unwrap();
        run(command_with(self.cluster, &config, args))
    }

    fn turned_away(&self) -> usize {
        self.whole - *self.left.lock().unwrap()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

/// One connection. Requests come one after the other, so that an own answer cannot get between two others.
fn carry(near: TcpStream, behind: SocketAddr, answer: &str, left: &Mutex<usize>) -> Option<()> {
    let mut far = TcpStream::connect(behind).ok()?;
    let (mut replies, mut back) = (far.try_clone().ok()?, near.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut replies, &mut back);
        let _ = back.shutdown(std::net::Shutdown::Both);
    });
    let mut own = near.try_clone().ok()?;
    let mut near = BufReader::new(near);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if near.read_line(&mut head).ok()? == 0 {
                let _ = far.shutdown(std::net::Shutdown::Write);
                return None;
            }
        }
        let length = head.lines().find_map(|l| {
            let (name, value) = l.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        near.read_exact(&mut body).ok()?;
        let is_eviction = head.lines().next()?.contains("/eviction");
        let turn_away = is_eviction && {
            let mut left = left.lock().unwrap();
            let some = *left > 0;
            *left = left.saturating_sub(1);
            some
        };
        if turn_away {
            own.write_all(answer.as_bytes()).ok()?;
        } else {
            far.write_all(head.as_bytes()).ok()?;
            far.write_all(&body).ok()?;
        }
    }
}
