//! What the tests share: the probe as a user runs it, the library as a plugin calls it, and small servers that misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testsupport::Cluster;
use upkeep::args::KubeArgs;
use upkeep::client::{self, Agent, Connection, Limits, Options};
use upkeep::ui::{Captured, Ui};

/// The agent of connections that tests make in this process.
pub const AGENT: &str = "kubectl-test/v0.1.0";

/// The probe. `cargo test --test shared` alone does not build examples, so this does, once.
pub fn probe_path() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let args = ["build", "--quiet", "-p", "upkeep", "--example", "probe"];
        assert!(Command::new(env!("CARGO")).args(args).status().unwrap().success());
        let tests = std::env::current_exe().unwrap();
        tests.parent().unwrap().parent().unwrap().join("examples").join("probe")
    };
    BUILT.get_or_init(build).clone()
}

/// What a run of the probe printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// Without the time to build the probe and to start the cluster.
    pub took: Duration,
}

/// The probe with the environment of the shared cluster.
pub fn probe(args: &[&str]) -> Ran {
    probe_with(args, &[])
}

/// The probe without a kubeconfig, so that there are no credentials to warn of.
pub fn probe_as_nobody(args: &[&str]) -> Ran {
    probe_with(args, &[("KUBECONFIG", "/nope")])
}

/// The probe with further variables.
pub fn probe_with(args: &[&str], vars: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(probe_path());
    command
        .env_clear()
        .envs(Cluster::shared().env())
        .envs(vars.iter().copied())
        .args(args);
    let started = Instant::now();
    let output = assert_cmd::Command::from_std(command)
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        took: started.elapsed(),
    }
}

/// The flags for a kubeconfig.
pub fn flags(kubeconfig: &Path) -> KubeArgs {
    KubeArgs {
        kubeconfig: Some(kubeconfig.into()),
        ..KubeArgs::default()
    }
}

/// A connection of the shared cluster's administrator.
pub async fn connect() -> Connection {
    connect_with(&flags(Cluster::shared().kubeconfig())).await.0
}

/// A connection, and what it prints.
pub async fn connect_with(args: &KubeArgs) -> (Connection, Captured) {
    let (ui, captured) = Ui::captured();
    let options = Options {
        limits: Limits::from_args(args),
        interactive: false,
    };
    let agent = Agent {
        name: "kubectl-test",
        version: "0.1.0",
    };
    let connection = client::connect_with(args, &agent, &ui, options).await;
    (
        connection.unwrap_or_else(|error| panic!("{}", error.headline())),
        captured,
    )
}

/// Writes a kubeconfig for the shared cluster with these fields of the cluster and of the user.
pub fn kubeconfig(dir: &Path, cluster: Value, user: Value) -> PathBuf {
    let shared = Cluster::shared();
    let mut entry = json!({"server": shared.server(), "certificate-authority": shared.ca_path()});
    testsupport::merge(&mut entry, cluster);
    let config = json!({
        "clusters": [{"name": "c", "cluster": entry}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let path = dir.join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// The administrator's certificate as fields of a user.
pub fn admin() -> Value {
    json!({"client-certificate": Cluster::shared().client_cert(), "client-key": Cluster::shared().client_key()})
}

/// A server that reads a request and then sends this and nothing more; without it, it stays silent. Keeps connections open.
pub fn server_that_says(answer: Option<String>) -> SocketAddr {
    server_that_thinks(Duration::ZERO, answer)
}

/// The same, for this long after the request.
pub fn server_that_thinks(pause: Duration, answer: Option<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 8192];
            let _ = stream.read(&mut buffer);
            std::thread::sleep(pause);
            if let Some(answer) = &answer {
                let _ = stream.write_all(answer.as_bytes());
            }
            open.push(stream);
        }
    });
    address
}

/// An HTTP answer.
pub fn answer(status: &str, content_type: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
}

/// A way to the API server that can be blocked, as by a firewall that forgets a connection: it stays open and is silent.
pub struct Relay {
    pub address: SocketAddr,
    frozen: Arc<AtomicBool>,
}

impl Relay {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let frozen = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&frozen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let onward = TcpStream::connect(target).unwrap();
                pump(
                    stream.try_clone().unwrap(),
                    onward.try_clone().unwrap(),
                    Arc::clone(&stop),
                );
                pump(onward, stream, Arc::clone(&stop));
            }
        });
        Self { address, frozen }
    }

    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, frozen: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            while frozen.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_secs(3600));
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

/// A proxy that writes down where it was asked to connect to, and connects to the shared cluster's API server.
pub struct Proxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let line = read_head(&mut stream);
                log.lock()
                    .unwrap()
                    .push(line.split(' ').take(2).collect::<Vec<_>>().join(" "));
                let onward = TcpStream::connect(apiserver()).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                let never = Arc::new(AtomicBool::new(false));
                pump(
                    stream.try_clone().unwrap(),
                    onward.try_clone().unwrap(),
                    Arc::clone(&never),
                );
                pump(onward, stream, never);
            }
        });
        Self { address, asked }
    }

    /// The requests so far: `CONNECT host:port`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Where the shared cluster's API server listens.
pub fn apiserver() -> SocketAddr {
    Cluster::shared()
        .server()
        .strip_prefix("https://")
        .unwrap()
        .parse()
        .unwrap()
}
