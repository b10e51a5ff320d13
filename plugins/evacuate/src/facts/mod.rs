//! What was read from the cluster, as plain data: the only thing that decide sees.
//!
//! API types are converted here once, so that the rules work on the few fields they need, and 5,000 pods stay small.

mod budget;
mod cluster;
mod deployment;
pub mod finalizers;
mod job;
mod node;
mod pod;
mod quantity;
mod scaling;
mod workload;

pub use budget::{Budget, Threshold, Unhealthy};
pub use cluster::{Attachment, Claimed, Facts, Meta, Partial, Silence, Volume, Volumes, Webhook};
pub use deployment::{Deployment, Scaler};
pub use job::{JOB, Job, Jobs};
pub use node::{CORDONED, Node, OUT_OF_SERVICE, OUT_OF_SERVICE_TAINT, OutOfService, is_node_name};
#[cfg(test)]
pub use pod::Phase;
pub use pod::{Owner, Pod, UNSCHEDULABLE_TAINT};
pub use quantity::{Milli, Resources};
pub use scaling::{Quota, Scaling};
pub use upkeep::node::Ready;
pub use workload::{Workload, Workloads};

/// `metadata.uid`: what an object is keyed by wherever it has one.
pub type Uid = String;
