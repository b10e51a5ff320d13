//! The plugins as they are installed: by the real krew and by make, with the validator of its index and the real kubectl.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "krew/archives.rs"]
mod archives;
#[path = "krew/index.rs"]
mod index;
#[path = "krew/installed.rs"]
mod installed;
#[path = "krew/made.rs"]
mod made;
#[path = "krew/manifests.rs"]
mod manifests;
#[path = "krew/place.rs"]
mod place;
#[path = "krew/workflow.rs"]
mod workflow;
