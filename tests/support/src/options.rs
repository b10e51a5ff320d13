//! What a control plane of its own may differ in from the shared one.

use std::time::Duration;

/// How to start a [`crate::Cluster`]. The default is what the shared cluster uses.
#[derive(Debug, Clone)]
pub struct Options {
    /// Further arguments of kube-apiserver, for example `--enable-admission-plugins=...`. Later ones win over the defaults.
    pub apiserver_args: Vec<String>,
    /// Further arguments of kube-controller-manager.
    pub controller_manager_args: Vec<String>,
    /// Start kube-controller-manager. Without it there are no default service accounts, so that admission plugin is then off.
    pub controller_manager: bool,
    /// Start kube-scheduler.
    pub scheduler: bool,
    /// Start kwok. Without it all nodes are dead.
    pub kwok: bool,
    /// How many pods kwok works on at once.
    pub kwok_parallelism: u32,
    /// How long a pod takes to stop unless its [`crate::Shape`] says otherwise (a Go duration: `0s`, `1.5s`).
    pub stops_in: String,
    /// How long a node may be silent before it is marked as unreachable.
    pub node_monitor_grace: Duration,
    /// How long a node lease counts as held; kwok renews it in a quarter of that time.
    pub node_lease: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            apiserver_args: Vec::new(),
            controller_manager_args: Vec::new(),
            controller_manager: true,
            scheduler: true,
            kwok: true,
            kwok_parallelism: 32,
            stops_in: "0s".to_owned(),
            node_monitor_grace: Duration::from_secs(40),
            node_lease: Duration::from_secs(40),
        }
    }
}
