//! `kubectl evacuate` as a user runs it, against a real control plane. Names begin with the row of the conformance list
//! (`docs/conformance/evacuate.md`).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "evacuate/gate.rs"]
mod gate;
#[path = "evacuate/kit.rs"]
mod kit;
#[path = "evacuate/scene.rs"]
mod scene;
#[macro_use]
#[path = "evacuate/place.rs"]
mod place;

#[path = "evacuate/bad_input.rs"]
mod bad_input;
#[path = "evacuate/better.rs"]
mod better;
#[path = "evacuate/cordon.rs"]
mod cordon;
#[path = "evacuate/drain.rs"]
mod drain;
#[path = "evacuate/faults.rs"]
mod faults;
#[path = "evacuate/fence.rs"]
mod fence;
#[path = "evacuate/library.rs"]
mod library;
#[path = "evacuate/peers.rs"]
mod peers;
#[path = "evacuate/removal.rs"]
mod removal;
#[path = "evacuate/reports.rs"]
mod reports;
#[path = "evacuate/rights.rs"]
mod rights;
#[path = "evacuate/saved.rs"]
mod saved;
#[path = "evacuate/surge.rs"]
mod surge;
#[path = "evacuate/told.rs"]
mod told;
#[path = "evacuate/volumes.rs"]
mod volumes;
#[path = "evacuate/witness.rs"]
mod witness;
