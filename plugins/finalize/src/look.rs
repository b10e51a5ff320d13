//! What every way to look at the cluster needs.

use k8s_openapi::jiff::SignedDuration;
use upkeep::{client::Connection, discovery::Discovery, ui::Ui};

use crate::{cli::Cli, gather::Cluster, knowledge::Knowledge};

/// The command line, the cluster, and what is known.
pub struct Look<'a> {
    /// The command line.
    pub cli: &'a Cli,
    /// Where to say it.
    pub ui: &'a Ui,
    /// The cluster.
    pub connection: &'a Connection,
    /// What it serves.
    pub discovery: &'a Discovery,
    /// What is known about finalizers.
    pub knowledge: &'a Knowledge,
    /// How far the server's clock is ahead of this machine's.
    pub skew: SignedDuration,
    /// Whether it has `matchConditions` of webhooks.
    pub match_conditions: bool,
}

impl<'a> Look<'a> {
    /// Answers questions.
    pub fn cluster(&self) -> Cluster<'a> {
        Cluster::new(self.connection, self.discovery, self.cli.chunk_size)
    }
}
