//! What was read from the cluster, as plain data: the only thing that decide sees.
//!
//! API types are converted here once, so that the rules work on the few fields they need, and 5,000 pods stay small.

mod budget;
mod cluster;
mod deployment;
mod node;
mod pod;
mod quantity;
mod scaling;

pub use budget::{Budget, Threshold, Unhealthy};
pub use cluster::{Attachment, Facts, Meta, Silence, Volume, Volumes, Webhook};
pub use deployment::{Deployment, Scaler};
pub use node::{CORDONED, Node, OUT_OF_SERVICE, OUT_OF_SERVICE_TAINT, OutOfService, Ready};
#[cfg(test)]
pub use pod::Phase;
pub use pod::{Owner, Pod, UNSCHEDULABLE_TAINT};
pub use quantity::{Milli, Resources};
pub use scaling::{Quota, Scaling};

/// `metadata.uid`: what an object is keyed by wherever it has one.
pub type Uid = String;
