//! A server in front of the API server that fails where a test wants it to.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::json;
use testsupport::{Cluster, wait_for};

use crate::kit::{Ran, command_with, run};

/// A way to the API server that answers the first requests of a kind by itself; everything else it passes on to a
/// `kubectl proxy`.
pub struct Gate {
    address: SocketAddr,
    left: Arc<Mutex<usize>>,
    whole: usize,
    cluster: &'static Cluster,
    proxy: Child,
    dir: tempfile::TempDir,
}

impl Gate {
    /// `concerns` is told the head of each request, which begins with `GET /api/v1/nodes HTTP/1.1`.
    pub fn before(
        cluster: &'static Cluster,
        times: usize,
        concerns: fn(&str) -> bool,
        status: &str,
        kind: &str,
        body: &str,
    ) -> Self {
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
                std::thread::spawn(move || carry(near, behind, concerns, &answer, &left));
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
    pub fn run(&self, args: &[&str]) -> Ran {
        run(self.command(args))
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let config = self.dir.path().join("config");
        let server = format!("http://{}", self.address);
        let content = json!({
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": ""}}],
            "current-context": "x",
        });
        std::fs::write(&config, content.to_string()).unwrap();
        command_with(self.cluster, &config, args)
    }

    pub fn turned_away(&self) -> usize {
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
fn carry(
    near: TcpStream,
    behind: SocketAddr,
    concerns: fn(&str) -> bool,
    answer: &str,
    left: &Mutex<usize>,
) -> Option<()> {
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
        let turn_away = concerns(&head) && {
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
