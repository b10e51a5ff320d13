//! The command line of each server.

use std::fmt::Display;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::binaries;
use crate::certs::{Authority, Pair};
use crate::options::Options;
use crate::ports;
use crate::process::Plan;

/// The servers that are clients of kube-apiserver, by the names of their users.
///
/// They have the rights of an administrator, so that a start does not wait for a service account per controller.
pub const CLIENTS: [&str; 3] = [CONTROLLER_MANAGER, SCHEDULER, KWOK];
/// The user of kube-controller-manager.
pub const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
/// The user of kube-scheduler.
pub const SCHEDULER: &str = "system:kube-scheduler";
/// The user of kwok.
pub const KWOK: &str = "kwok";

/// What all servers of one cluster share.
pub struct Site {
    dir: PathBuf,
    ca: PathBuf,
    serving: Pair,
    service_account_key: PathBuf,
    /// What the servers that are clients of kube-apiserver show it.
    token: String,
    etcd: u16,
    etcd_peer: u16,
    apiserver: u16,
    controller_manager: u16,
    scheduler: u16,
    kwok: u16,
}

impl Site {
    /// Free ports, and the certificates of the servers.
    pub fn new(dir: &Path, authority: &Authority) -> Result<Self> {
        let [etcd, etcd_peer, apiserver, controller_manager, scheduler, kwok] = ports::free()?;
        Ok(Self {
            dir: dir.to_owned(),
            ca: authority.ca(),
            serving: authority.server("kubernetes")?,
            service_account_key: authority.bare_key("service-accounts.key")?,
            token: random_token()?,
            etcd,
            etcd_peer,
            apiserver,
            controller_manager,
            scheduler,
            kwok,
        })
    }

    /// The address of kube-apiserver.
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver)
    }

    /// How one of [`CLIENTS`] says who it is.
    ///
    /// By token: kube-apiserver verifies a client certificate anew for each request, which took 7 % of its time.
    pub fn credentials(&self, name: &str) -> serde_json::Value {
        json!({"token": format!("{}-{name}", self.token)})
    }

    /// Where kube-apiserver writes what it was asked.
    pub fn audit_log(&self) -> PathBuf {
        self.dir.join("logs/audit.log")
    }

    /// etcd, which does not wait for the disk.
    pub fn etcd(&self) -> Result<Plan> {
        let clients = format!("http://127.0.0.1:{}", self.etcd);
        let peers = format!("http://127.0.0.1:{}", self.etcd_peer);
        let args = vec![
            flag("name", "testbed"),
            flag("data-dir", self.dir.join("etcd").display()),
            flag("listen-client-urls", &clients),
            flag("advertise-client-urls", &clients),
            flag("listen-peer-urls", &peers),
            flag("initial-advertise-peer-urls", &peers),
            flag("initial-cluster", format!("testbed={peers}")),
            // One member needs no long election.
            flag("heartbeat-interval", 50),
            flag("election-timeout", 500),
            flag("log-level", "warn"),
            "--unsafe-no-fsync".to_owned(),
        ];
        self.plan("etcd", args, &format!("{clients}/health"))
    }

    /// kube-apiserver with the usual admission and an audit log of everything that is not a controller's own work.
    pub fn apiserver(&self, options: &Options) -> Result<Plan> {
        let policy = self.dir.join("audit-policy.json");
        std::fs::write(&policy, audit_policy().to_string())?;
        let tokens = self.dir.join("pki/tokens.csv");
        let line = |name: &&str| format!("{}-{name},{name},{name},\"system:masters\"\n", self.token);
        std::fs::write(&tokens, CLIENTS.iter().map(line).collect::<String>())?;
        let mut args = vec![
            flag("etcd-servers", format!("http://127.0.0.1:{}", self.etcd)),
            flag("bind-address", "127.0.0.1"),
            flag("advertise-address", "127.0.0.1"),
            // A loopback address is not allowed in the endpoints of `kubernetes`, and nothing reads them.
            flag("endpoint-reconciler-type", "none"),
            flag("secure-port", self.apiserver),
            flag("tls-cert-file", self.serving.cert.display()),
            flag("tls-private-key-file", self.serving.key.display()),
            flag("client-ca-file", self.ca.display()),
            flag("token-auth-file", tokens.display()),
            flag("authorization-mode", "Node,RBAC"),
            flag("enable-admission-plugins", "NodeRestriction"),
            flag("service-account-issuer", "https://kubernetes.default.svc"),
            flag(
                "service-account-key-file",
                self.service_account_key.with_extension("pub").display(),
            ),
            flag("service-account-signing-key-file", self.service_account_key.display()),
            flag("service-cluster-ip-range", "10.96.0.0/16"),
            flag("audit-policy-file", policy.display()),
            flag("audit-log-path", self.audit_log().display()),
            flag("audit-log-maxsize", 100_000),
            flag("max-requests-inflight", 3000),
            flag("max-mutating-requests-inflight", 2000),
            flag("profiling", false),
        ];
        if !options.controller_manager {
            args.push(flag("disable-admission-plugins", "ServiceAccount"));
        }
        args.extend(options.apiserver_args.iter().cloned());
        self.plan("kube-apiserver", args, &format!("{}/readyz", self.server()))
    }

    /// kube-controller-manager with fast clients, so that it is not what a test waits for.
    pub fn controller_manager(&self, kubeconfig: &Path, options: &Options) -> Result<Plan> {
        let mut args = vec![
            flag("kubeconfig", kubeconfig.display()),
            flag("authentication-kubeconfig", kubeconfig.display()),
            flag("authorization-kubeconfig", kubeconfig.display()),
            flag("bind-address", "127.0.0.1"),
            flag("secure-port", self.controller_manager),
            flag("tls-cert-file", self.serving.cert.display()),
            flag("tls-private-key-file", self.serving.key.display()),
            flag("service-account-private-key-file", self.service_account_key.display()),
            flag("root-ca-file", self.ca.display()),
            flag("leader-elect", false),
            flag("kube-api-qps", 2000),
            flag("kube-api-burst", 4000),
            flag("concurrent-deployment-syncs", 20),
            flag("concurrent-replicaset-syncs", 20),
            flag("concurrent-statefulset-syncs", 20),
            flag("concurrent-daemonset-syncs", 10),
            flag("concurrent-job-syncs", 20),
            flag("concurrent-namespace-syncs", 20),
            flag("node-monitor-period", "1s"),
            flag(
                "node-monitor-grace-period",
                format!("{}s", options.node_monitor_grace.as_secs()),
            ),
            flag("profiling", false),
        ];
        args.extend(options.controller_manager_args.iter().cloned());
        let probe = format!("https://127.0.0.1:{}/healthz", self.controller_manager);
        self.plan("kube-controller-manager", args, &probe)
    }

    /// kube-scheduler, which obeys a pod's preference for a node before all else.
    pub fn scheduler(&self, kubeconfig: &Path) -> Result<Plan> {
        let config = self.dir.join("scheduler.json");
        std::fs::write(&config, scheduler_config(kubeconfig).to_string())?;
        let args = vec![
            flag("config", config.display()),
            flag("authentication-kubeconfig", kubeconfig.display()),
            flag("authorization-kubeconfig", kubeconfig.display()),
            flag("bind-address", "127.0.0.1"),
            flag("secure-port", self.scheduler),
            flag("tls-cert-file", self.serving.cert.display()),
            flag("tls-private-key-file", self.serving.key.display()),
        ];
        self.plan(
            "kube-scheduler",
            args,
            &format!("https://127.0.0.1:{}/healthz", self.scheduler),
        )
    }

    /// kwok, which plays the kubelet of every node with the label [`crate::node::ALIVE`].
    pub fn kwok(&self, kubeconfig: &Path, options: &Options) -> Result<Plan> {
        let config = self.dir.join("kwok.yaml");
        let settings = include_str!("kwok.yaml")
            .replace("PARALLELISM", &options.kwok_parallelism.to_string())
            .replace("STOPS_IN", &options.stops_in)
            .replace("NODE_LEASE", &options.node_lease.as_secs().to_string())
            .replace("ALIVE_LABEL", crate::node::ALIVE);
        std::fs::write(&config, settings)?;
        let args = vec![
            flag("kubeconfig", kubeconfig.display()),
            flag("config", config.display()),
            flag("server-address", format!("127.0.0.1:{}", self.kwok)),
            // It says each patch otherwise, which is megabytes.
            flag("v", "WARN"),
        ];
        self.plan("kwok", args, &format!("http://127.0.0.1:{}/healthz", self.kwok))
    }

    fn plan(&self, name: &'static str, args: Vec<String>, probe: &str) -> Result<Plan> {
        Ok(Plan {
            name,
            program: binaries::find(name)?,
            args,
            probe: probe.parse()?,
            ca: self.ca.clone(),
        })
    }
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("failed to read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn flag(name: &str, value: impl Display) -> String {
    format!("--{name}={value}")
}

/// One line for each request, of the servers' own only what they delete: the rest would be most of the log.
fn audit_policy() -> serde_json::Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "resources": [{"group": "coordination.k8s.io"}, {"group": "events.k8s.io"}, {"group": "", "resources": ["events"]}]},
            {
                "level": "None",
                "users": [CONTROLLER_MANAGER, SCHEDULER, KWOK, "system:apiserver"],
                "verbs": ["get", "list", "watch", "create", "update", "patch"],
            },
            {"level": "Metadata"},
        ],
    })
}

fn scheduler_config(kubeconfig: &Path) -> serde_json::Value {
    json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig, "qps": 2000, "burst": 4000},
        "leaderElection": {"leaderElect": false},
        "podInitialBackoffSeconds": 1,
        "podMaxBackoffSeconds": 1,
        "profiles": [{
            "schedulerName": "default-scheduler",
            "plugins": {"multiPoint": {"enabled": [{"name": "NodeAffinity", "weight": 100}]}},
        }],
    })
}
