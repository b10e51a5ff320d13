//! A network link to kube-apiserver that can be cut, stalled and slowed down.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::ports;
use crate::wait::{DEFAULT_TIMEOUT, wait_for};

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Bytes pass; replies after a while.
    Open(Duration),
    /// Connections are made and stay open, and no byte passes.
    Stalled,
    /// Connections are gone, new ones are refused.
    Cut,
}

/// A way to kube-apiserver with faults of its own; the rest of the cluster does not notice them.
pub struct Link {
    address: SocketAddr,
    kubeconfig: PathBuf,
    state: watch::Sender<State>,
    connections: Arc<AtomicUsize>,
}

impl Cluster {
    /// A new link, open at first.
    pub fn link(&self) -> Link {
        let [port] = ports::free().unwrap_or_else(|e| panic!("{e:#}"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let target = self
            .server()
            .trim_start_matches("https://")
            .parse()
            .unwrap_or_else(|e| panic!("{e}"));
        let credentials = json!({"client-certificate": self.client_cert(), "client-key": self.client_key()});
        let kubeconfig = self
            .write_kubeconfig_to(&format!("https://{address}"), &format!("link-{port}"), &credentials)
            .unwrap_or_else(|e| panic!("{e:#}"));
        let (state, receiver) = watch::channel(State::Open(Duration::ZERO));
        let connections = Arc::new(AtomicUsize::new(0));
        self.spawn(accept(address, target, receiver, Arc::clone(&connections)));
        wait_for("the link", DEFAULT_TIMEOUT, || {
            std::net::TcpStream::connect(address).ok()
        });
        Link {
            address,
            kubeconfig,
            state,
            connections,
        }
    }
}

impl Link {
    /// An administrator's kubeconfig that goes through this link.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The server's address through this link.
    pub fn server(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes all connections and refuses new ones. Returns when that is so.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
        wait_for("the link to be cut", DEFAULT_TIMEOUT, || {
            std::net::TcpStream::connect(self.address).is_err().then_some(())
        });
    }

    /// Keeps connections open and lets nothing through, as a firewall does that drops packets.
    pub fn stall(&self) {
        self.state.send_replace(State::Stalled);
    }

    /// Delays every piece of every reply.
    pub fn delay(&self, delay: Duration) {
        self.state.send_replace(State::Open(delay));
    }

    /// Lets everything through again; what was stalled arrives late.
    pub fn heal(&self) {
        self.delay(Duration::ZERO);
        wait_for("the link to heal", DEFAULT_TIMEOUT, || {
            std::net::TcpStream::connect(self.address).ok()
        });
    }
}

/// Ends when the [`Link`] is dropped: then the sender of its state is gone.
async fn accept(address: SocketAddr, target: SocketAddr, mut state: watch::Receiver<State>, open: Arc<AtomicUsize>) {
    loop {
        if state.wait_for(|state| *state != State::Cut).await.is_err() {
            return;
        }
        let Ok(listener) = TcpListener::bind(address).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((near, _)) = accepted else { continue };
                    let (state, open) = (state.clone(), Arc::clone(&open));
                    tokio::spawn(async move {
                        open.fetch_add(1, Ordering::SeqCst);
                        let _ = carry(near, target, state).await;
                        open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
                cut = ended(state.clone()) => match cut {
                    Ended::Cut => break,
                    Ended::Dropped => return,
                },
            }
        }
    }
}

enum Ended {
    Cut,
    Dropped,
}

async fn ended(mut state: watch::Receiver<State>) -> Ended {
    match state.wait_for(|state| *state == State::Cut).await {
        Ok(_) => Ended::Cut,
        Err(_) => Ended::Dropped,
    }
}

async fn carry(near: TcpStream, target: SocketAddr, state: watch::Receiver<State>) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        // Dropping both halves closes the connection.
        _ = ended(state.clone()) => Ok(()),
        result = pump(near_in, far_out, state.clone(), false) => result,
        result = pump(far_in, near_out, state, true) => result,
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<State>,
    is_reply: bool,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let now = state
            .wait_for(|state| *state != State::Stalled)
            .await
            .map(|state| *state);
        match now {
            Ok(State::Open(delay)) if is_reply => tokio::time::sleep(delay).await,
            Ok(_) => {}
            Err(_) => return Ok(()),
        }
        to.write_all(&buffer[..length]).await?;
    }
}
