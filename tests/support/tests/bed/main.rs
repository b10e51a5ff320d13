//! The test bed itself: what the plugins' tests rely on is true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod access;
mod faults;
mod workloads;

const SOON: std::time::Duration = std::time::Duration::from_secs(10);
