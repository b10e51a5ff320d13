//! What will happen, decided before anything does.

pub mod budgets;
pub mod capacity;
pub mod critical;
pub mod fence;
pub mod filters;
pub mod marks;
pub mod owners;
pub mod pdb;
pub mod preview;
pub mod removal;
pub mod surge;
pub mod tenants;
#[cfg(test)]
pub mod testkit;
pub mod webhooks;
