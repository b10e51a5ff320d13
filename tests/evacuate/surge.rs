//! `--surge`: pods whose budget never allows an eviction move by way of more pods for a while. Never a third instance, never
//! an outage, exactly the old pods gone.

#[path = "surge/cut_off.rs"]
mod cut_off;
#[path = "surge/interfered.rs"]
mod interfered;
#[path = "surge/kit.rs"]
pub mod kit;
#[path = "surge/moves.rs"]
mod moves;
#[path = "surge/scaled.rs"]
mod scaled;
#[path = "surge/silent.rs"]
mod silent;
#[path = "surge/undone.rs"]
mod undone;
