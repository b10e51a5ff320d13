//! A whole control plane: how it starts, runs futures and ends.

mod access;

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::core::ApiResource;
use kube::discovery::Scope;
use kube::{Client, Config};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::certs::{Authority, Pair};
use crate::guardian::Guardian;
use crate::options::Options;
use crate::process::Server;
use crate::servers::{self, Site};
use crate::users::write_kubeconfig;

const ATTEMPTS: usize = 3;

/// A running control plane with simulated kubelets. Dropping it ends its processes and removes its folder.
pub struct Cluster {
    // Dropped in this order: first the servers, last the folder.
    kwok: Option<Server>,
    scheduler: Option<Server>,
    controller_manager: Option<Server>,
    apiserver: Server,
    etcd: Server,
    own: OnceLock<Client>,
    kinds: Mutex<HashMap<String, (ApiResource, Scope)>>,
    options: Options,
    took: Duration,
    admin: Pair,
    kubeconfig: PathBuf,
    server: String,
    audit_log: PathBuf,
    authority: Authority,
    runtime: Option<Runtime>,
    _guardian: Guardian,
    dir: TempDir,
}

impl Cluster {
    /// The control plane that all tests of this process share. The first call starts it.
    ///
    /// # Panics
    /// When it cannot be started: then no test can run.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options::default()))
    }

    /// A control plane of one's own, for tests that break it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(options: Options) -> Self {
        Self::try_start(options).unwrap_or_else(|e| panic!("failed to start a control plane: {e:#}"))
    }

    /// A control plane of one's own, or why there is none.
    pub fn try_start(options: Options) -> Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::start_once(options.clone()) {
                // Another process took a port between our look and the server's.
                Err(e) if attempt < ATTEMPTS && format!("{e:#}").contains("address already in use") => attempt += 1,
                result => return result,
            }
        }
    }

    fn start_once(options: Options) -> Result<Self> {
        let started = Instant::now();
        let dir = tempfile::Builder::new().prefix("upkeep-testbed-").tempdir()?;
        let root = dir.path().to_owned();
        let guardian = Guardian::over(&root)?;
        let logs = root.join("logs");
        std::fs::create_dir_all(&logs)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("testbed")
            .enable_all()
            .build()
            .context("failed to start a runtime")?;
        let handle = runtime.handle();

        let authority = Authority::new(&root.join("pki"))?;
        let site = Site::new(&root, &authority)?;
        let server = site.server();
        let user = |name: &str, credentials: &serde_json::Value| {
            let path = root.join(format!("{}.kubeconfig", name.replace(':', "-")));
            write_kubeconfig(&path, &server, &authority.ca(), name, credentials)
        };

        let etcd = Server::start(site.etcd()?, &logs, handle.clone())?;
        etcd.try_wait_ready()?;
        let apiserver = Server::start(site.apiserver(&options)?, &logs, handle.clone())?;
        apiserver.try_wait_ready()?;

        let start = |wanted: bool, name: &str, plan: &dyn Fn(&Path) -> Result<crate::process::Plan>| {
            let start = || Server::start(plan(&user(name, &site.credentials(name))?)?, &logs, handle.clone());
            wanted.then(start).transpose()
        };
        let controller_manager = start(options.controller_manager, servers::CONTROLLER_MANAGER, &|k| {
            site.controller_manager(k, &options)
        })?;
        let scheduler = start(options.scheduler, servers::SCHEDULER, &|k| site.scheduler(k))?;
        let kwok = start(options.kwok, servers::KWOK, &|k| site.kwok(k, &options))?;
        for server in [&controller_manager, &scheduler, &kwok].into_iter().flatten() {
            server.try_wait_ready()?;
            server.supervise();
        }

        let admin = authority.client("admin", Some("system:masters"))?;
        let kubeconfig = user(
            "admin",
            &json!({"client-certificate": admin.cert, "client-key": admin.key}),
        )?;
        let mut cluster = Self {
            kwok,
            scheduler,
            controller_manager,
            apiserver,
            etcd,
            own: OnceLock::new(),
            kinds: Mutex::default(),
            took: Duration::ZERO,
            admin,
            kubeconfig,
            server,
            audit_log: site.audit_log(),
            authority,
            runtime: Some(runtime),
            _guardian: guardian,
            dir,
            options,
        };
        if cluster.options.controller_manager {
            cluster.wait_service_account("default");
        }
        cluster.took = started.elapsed();
        Ok(cluster)
    }

    /// How long the start took.
    pub fn startup_time(&self) -> Duration {
        self.took
    }

    /// A new administrator's client. Make it in the runtime that uses it, or outside of any.
    pub fn client(&self) -> Client {
        let _guard = tokio::runtime::Handle::try_current()
            .is_err()
            .then(|| self.runtime().enter());
        Client::try_from(self.client_config()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs a future on the cluster's own runtime and waits for it. May be called from anywhere.
    pub fn block_on<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let handle = self.runtime().handle().clone();
        std::thread::scope(|scope| match scope.spawn(move || handle.block_on(future)).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// The client that this crate uses itself.
    pub(crate) fn own_client(&self) -> Client {
        self.own
            .get_or_init(|| {
                let _guard = self.runtime().enter();
                Client::try_from(self.client_config()).unwrap_or_else(|e| panic!("{e}"))
            })
            .clone()
    }

    /// Lets a task run as long as the cluster.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime().spawn(task);
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) fn kinds(&self) -> MutexGuard<'_, HashMap<String, (ApiResource, Scope)>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The controller manager makes a namespace's service account a moment after the namespace.
    pub(crate) fn wait_service_account(&self, namespace: &str) {
        crate::wait_for("the default service account", crate::DEFAULT_TIMEOUT, || {
            self.get("v1/ServiceAccount", namespace, "default").map(drop)
        });
    }

    fn client_config(&self) -> Config {
        let mut config = Config::new(self.server.parse().unwrap_or_else(|e| panic!("{e}")));
        config.root_cert_file = Some(self.ca_path());
        config.auth_info.client_certificate = Some(self.admin.cert.display().to_string());
        config.auth_info.client_key = Some(self.admin.key.display().to_string());
        config
            .headers
            .push((http::header::USER_AGENT, http::HeaderValue::from_static("testbed")));
        config
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("the runtime lives as long as the cluster")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A runtime must not be dropped where it could block; this cluster may be dropped in a test's own runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
