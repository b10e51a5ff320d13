//! Real Kubernetes servers for the tests, the demo and the bench.
//!
//! [`Cluster`] starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok (simulated kubelets) as plain
//! processes on loopback, in a folder of their own, and makes nodes and workloads on them. Nothing is faked above the
//! kubelet: budgets, controllers, admission and garbage collection are the real ones.
//!
//! The API blocks and panics with a message that says what went wrong, because its callers are tests. Everything a test makes lives in
//! a namespace and on nodes of its own ([`Ns`]), so that many tests share one control plane ([`Cluster::shared`]).
//!
//! ```no_run
//! use testsupport::{Cluster, Shape};
//!
//! let cluster = Cluster::shared();
//! let ns = cluster.namespace("example");
//! let [a, b] = ns.nodes(["a", "b"]);
//! ns.deployment("web", 3, &Shape::new().prefers(&a).stops_in("2s"));
//! ns.pdb("web", serde_json::json!({"minAvailable": 2}));
//! ns.wait_pods_ready(3);
//! let mark = cluster.audit().mark();
//! // run the tool on `a`; its pods come back on `b`
//! assert_eq!(cluster.audit().count_since(mark, "kubectl-evacuate"), 0);
//! # let _ = b;
//! ```
// A support crate for tests: a panic is how a test ends, and the two programs talk to a person.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod audit;
mod binaries;
mod certs;
mod cluster;
mod guardian;
mod https;
mod link;
mod live;
mod namespace;
mod node;
mod objects;
mod options;
mod ports;
mod process;
mod ran;
mod servers;
mod shape;
mod stuck;
mod users;
mod wait;
pub mod x509;

pub use audit::{Audit, Mark, Request};
pub use binaries::find as program;
pub use cluster::Cluster;
pub use https::{Asked, Https};
pub use link::Link;
pub use live::Live;
pub use namespace::Ns;
pub use node::{Node, condition};
pub use options::Options;
pub use process::Server;
pub use ran::Ran;
pub use shape::{Shape, merge};
pub use users::Rule;
pub use wait::{DEFAULT_TIMEOUT, wait_for};
