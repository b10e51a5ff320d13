//! Whatever TLS kubectl accepts, we accept, and what it refuses we refuse in the same words. Each row runs both.

#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/keys.rs"]
mod keys;
#[path = "tls/servers.rs"]
mod servers;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use testsupport::x509::{Key, pem};

use crate::bench::{Ran, probe_path};

/// A server on loopback that shows this chain and answers everything with an empty list of nodes.
struct Server {
    port: u16,
}

impl Server {
    fn start(chain: Vec<Vec<u8>>, key: &Key) -> Self {
        Self::with_versions(chain, key, rustls::ALL_VERSIONS)
    }

    fn with_versions(chain: Vec<Vec<u8>>, key: &Key, versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let identity = CertifiedKey::new(chain, key.rustls());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                std::thread::spawn(move || serve(stream, config));
            }
        });
        Self { port }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>) -> Option<()> {
    let mut tls = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        tls.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let body = r#"{"kind":"NodeList","apiVersion":"v1","metadata":{},"items":[]}"#;
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    write!(tls, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").ok()?;
    tls.conn.send_close_notify();
    tls.flush().ok()
}

/// Runs kubectl and the probe with the same kubeconfig.
fn both(dir: &Path, cluster: &Value, user: &Value, vars: &[(&str, &str)]) -> [Ran; 2] {
    let config = json!({
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let path = dir.join("config");
    std::fs::write(&path, config.to_string()).unwrap();
    let run = |mut command: Command| {
        command
            .env_clear()
            .envs(vars.iter().copied())
            .env("HOME", dir)
            .arg("--kubeconfig")
            .arg(&path);
        let started = std::time::Instant::now();
        let output = command.output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            took: started.elapsed(),
        }
    };
    let mut kubectl = Command::new(testsupport::program("kubectl").unwrap());
    kubectl.args(["get", "--raw", "/api/v1/nodes"]);
    [run(kubectl), run(Command::new(probe_path()))]
}

/// Compares the two: both accept, or both refuse with these words.
fn compare(name: &str, [kubectl, ours]: &[Ran; 2], refused: Option<&str>) -> Result<(), String> {
    let accepted = [kubectl.code == 0, ours.code == 0];
    let right = match refused {
        None => accepted == [true, true],
        Some(words) => {
            let said = [kubectl, ours].map(|ran| ran.stderr.replace("\\\"", "\"").contains(words));
            accepted == [false, false] && said == [true, true]
        }
    };
    let [kubectl, ours] = [kubectl, ours].map(|ran| format!("{} {}", ran.code, ran.stderr.trim_end()));
    right
        .then_some(())
        .ok_or_else(|| format!("{name}, {refused:?}\n  kubectl: {kubectl}\n  ours:    {ours}"))
}

/// One server with one kubeconfig.
struct Row {
    name: &'static str,
    server: Server,
    host: &'static str,
    cluster: Value,
    vars: Vec<(&'static str, String)>,
    /// The words of a refusal.
    refused: Option<&'static str>,
}

impl Row {
    fn run(&self) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = json!({"server": self.server.url(self.host)});
        testsupport::merge(&mut cluster, self.cluster.clone());
        if let Some(text) = cluster["ca"].take().as_str() {
            std::fs::write(dir.path().join("ca.pem"), text).unwrap();
            cluster["certificate-authority"] = json!("ca.pem");
        }
        cluster.as_object_mut().unwrap().remove("ca");
        let vars: Vec<_> = self
            .vars
            .iter()
            .map(|(name, text)| {
                let path = dir.path().join(name);
                std::fs::write(&path, text).unwrap();
                (*name, path.display().to_string())
            })
            .collect();
        let vars: Vec<_> = vars.iter().map(|(name, path)| (*name, path.as_str())).collect();
        // Without any, kubectl would ask for a name and a password.
        let user = json!({"token": "t"});
        compare(self.name, &both(dir.path(), &cluster, &user, &vars), self.refused)
    }
}

fn run_all(rows: &[Row]) {
    probe_path();
    let failed: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = rows.iter().map(|row| scope.spawn(|| row.run())).collect();
        running
            .into_iter()
            .filter_map(|row| row.join().unwrap().err())
            .collect()
    });
    assert!(
        failed.is_empty(),
        "{} of {} rows:\n{}",
        failed.len(),
        rows.len(),
        failed.join("\n")
    );
}

fn certificate(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
