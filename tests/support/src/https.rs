//! What the API server asks over TLS: a webhook, or an aggregated API, whose answers a test decides on.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::Engine as _;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring::default_provider, pki_types::PrivateKeyDer};
use serde_json::Value;

/// A request: `POST`, its path with query, its JSON body.
#[derive(Debug)]
pub struct Asked {
    /// `GET`.
    pub method: String,
    /// `/apis/custom.example.io/v1?timeout=32s`.
    pub path: String,
    /// Null where there is none.
    pub body: Value,
}

impl Asked {
    /// The answer of a mutating webhook that changes the object by this JSON patch.
    pub fn patched(&self, patch: &Value) -> Value {
        let patch = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
        serde_json::json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
            "uid": self.body["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch}})
    }
}

/// A server on loopback. It ends with the test process.
pub struct Https {
    port: u16,
    authority: String,
    down: Arc<AtomicBool>,
}

impl Https {
    /// Answers with what `answer` returns; where that is nothing, it never answers. A text is sent as a web page, and a number
    /// in `code` is the HTTP status.
    pub fn start(answer: impl Fn(&Asked) -> Option<Value> + Send + Sync + 'static) -> Self {
        Self::with(names(), answer)
    }

    /// The same with a certificate that has expired.
    pub fn expired(answer: impl Fn(&Asked) -> Option<Value> + Send + Sync + 'static) -> Self {
        let mut params = names();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        Self::with(params, answer)
    }

    fn with(params: CertificateParams, answer: impl Fn(&Asked) -> Option<Value> + Send + Sync + 'static) -> Self {
        let signing_key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&signing_key).expect("a certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a TLS server");
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let down = Arc::new(AtomicBool::new(false));
        let (is_down, answer) = (down.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_down.load(Ordering::SeqCst) {
                    continue; // It is closed at once.
                }
                let (config, answer) = (config.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, config, answer.as_ref()));
            }
        });
        Self {
            port,
            authority: base64::engine::general_purpose::STANDARD.encode(cert.pem()),
            down,
        }
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// For a Service of type ExternalName.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `caBundle`.
    pub fn ca_bundle(&self) -> &str {
        &self.authority
    }

    /// Closes connections without an answer, or not any more.
    pub fn down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }
}

fn names() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names")
}

/// One request of one connection, which is closed after it.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, answer: &impl Fn(&Asked) -> Option<Value>) -> Option<()> {
    let connection = ServerConnection::new(config).ok()?;
    let mut tls = BufReader::new(StreamOwned::new(connection, stream));
    let mut line = String::new();
    tls.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut length = 0;
    loop {
        let mut header = String::new();
        tls.read_line(&mut header).ok()?;
        match header.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    tls.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let Some(said) = answer(&Asked { method, path, body }) else {
        // The client gives up at some time, and closes.
        let _ = tls.read_line(&mut line);
        return None;
    };
    let code = said["code"].as_u64().unwrap_or(200);
    let (kind, said) = match said.as_str() {
        Some(page) => ("text/html", page.to_owned()),
        None => ("application/json", said.to_string()),
    };
    let length = said.len();
    let head = format!("Content-Type: {kind}\r\nConnection: close");
    let tls = tls.get_mut();
    write!(
        tls,
        "HTTP/1.1 {code} Said\r\n{head}\r\nContent-Length: {length}\r\n\r\n{said}"
    )
    .ok()?;
    tls.conn.send_close_notify();
    tls.flush().ok()
}
