//! What `upkeep` promises about its connection, against a real kube-apiserver: one test for each way in which kube-rs alone
//! would behave otherwise than kubectl.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "shared/bench.rs"]
mod bench;
#[path = "shared/completion.rs"]
mod completion;
#[path = "shared/credentials.rs"]
mod credentials;
#[path = "shared/errors.rs"]
mod errors;
#[path = "shared/limits.rs"]
mod limits;
#[path = "shared/logs.rs"]
mod logs;
#[path = "shared/network.rs"]
mod network;
#[path = "shared/plain.rs"]
mod plain;
#[path = "shared/requests.rs"]
mod requests;
#[path = "shared/tls.rs"]
mod tls;
