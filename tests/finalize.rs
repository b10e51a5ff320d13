//! `kubectl finalize` as a user runs it, against a real control plane. Names begin with the row of the conformance list
//! (`docs/conformance/finalize.md`).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "finalize/digest.rs"]
mod digest;
#[path = "finalize/kit.rs"]
mod kit;
#[path = "finalize/scene.rs"]
mod scene;

#[path = "finalize/admission.rs"]
mod admission;
#[path = "finalize/answers.rs"]
mod answers;
#[path = "finalize/apis.rs"]
mod apis;
#[path = "finalize/asked.rs"]
mod asked;
#[path = "finalize/combined.rs"]
mod combined;
#[path = "finalize/completion.rs"]
mod completion;
#[path = "finalize/controllers.rs"]
mod controllers;
#[path = "finalize/custom.rs"]
mod custom;
#[path = "finalize/explain.rs"]
mod explain;
#[path = "finalize/faults.rs"]
mod faults;
#[path = "finalize/namespaces.rs"]
mod namespaces;
#[path = "finalize/negative.rs"]
mod negative;
#[path = "finalize/objects.rs"]
mod objects;
#[path = "finalize/opened.rs"]
mod opened;
#[path = "finalize/orphans.rs"]
mod orphans;
#[path = "finalize/peers.rs"]
mod peers;
#[path = "finalize/plan.rs"]
mod plan;
#[path = "finalize/pods.rs"]
mod pods;
#[path = "finalize/preflight.rs"]
mod preflight;
#[path = "finalize/reports.rs"]
mod reports;
#[path = "finalize/restore.rs"]
mod restore;
#[path = "finalize/rights.rs"]
mod rights;
#[path = "finalize/scan.rs"]
mod scan;
#[path = "finalize/traces.rs"]
mod traces;
