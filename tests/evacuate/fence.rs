//! Nodes whose machines are off.

#[path = "fence/forced.rs"]
mod forced;
#[path = "fence/kit.rs"]
pub mod kit;
#[path = "fence/refused.rs"]
mod refused;
#[path = "fence/taken_back.rs"]
mod taken_back;
