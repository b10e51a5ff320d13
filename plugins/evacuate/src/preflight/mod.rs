//! What will happen, decided before anything does.

pub mod budgets;
pub mod capacity;
pub mod critical;
pub mod duration;
pub mod fence;
pub mod filters;
pub mod jobs;
pub mod marks;
pub mod operators;
pub mod owners;
pub mod pdb;
pub mod pinned;
pub mod plan;
pub mod preview;
#[cfg(test)]
mod random;
pub mod removal;
pub mod surge;
pub mod tenants;
#[cfg(test)]
pub mod testkit;
pub mod webhooks;
