//! What a test gets from a running cluster: paths, servers, an environment for tools.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Cluster;
use crate::audit::Audit;
use crate::binaries;
use crate::options::Options;
use crate::process::Server;
use crate::x509::{Key, Spec};

impl Cluster {
    /// The kubeconfig of a cluster administrator who is known by a client certificate.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The address of kube-apiserver.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The certificate of the cluster's authority.
    pub fn ca_path(&self) -> PathBuf {
        self.authority.ca()
    }

    /// A client certificate in DER, signed by the cluster's authority.
    pub fn certify(&self, user: &str, group: &str, key: &Key, change: impl Fn(&mut Spec)) -> Vec<u8> {
        let mut spec = Spec::client(user, group, "testbed-ca");
        change(&mut spec);
        spec.sign_with(key, |message| self.authority.signature(message))
    }

    /// The administrator's certificate.
    pub fn client_cert(&self) -> &Path {
        &self.admin.cert
    }

    /// The administrator's key.
    pub fn client_key(&self) -> &Path {
        &self.admin.key
    }

    /// The cluster's folder: certificates, kubeconfigs, logs, etcd's data.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// How the cluster was started.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The real kubectl of the cluster's version.
    pub fn kubectl(&self) -> PathBuf {
        binaries::find("kubectl").unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// kube-apiserver.
    pub fn apiserver(&self) -> &Server {
        &self.apiserver
    }

    /// etcd.
    pub fn etcd(&self) -> &Server {
        &self.etcd
    }

    /// kube-controller-manager.
    ///
    /// # Panics
    /// When the cluster was started without it.
    pub fn controller_manager(&self) -> &Server {
        self.controller_manager
            .as_ref()
            .expect("started without kube-controller-manager")
    }

    /// kube-scheduler.
    ///
    /// # Panics
    /// When the cluster was started without it.
    pub fn scheduler(&self) -> &Server {
        self.scheduler.as_ref().expect("started without kube-scheduler")
    }

    /// kwok, the kubelet of all living nodes. To restart it, see [`Cluster::restart_kwok`].
    ///
    /// # Panics
    /// When the cluster was started without it.
    pub fn kwok(&self) -> &Server {
        self.kwok.as_ref().expect("started without kwok")
    }

    /// Kills kwok and starts it again. A new kwok would wait until the node leases of the old one have expired, so they are freed.
    pub fn restart_kwok(&self) {
        self.kwok().kill();
        for lease in self.list("coordination.k8s.io/v1/Lease", "kube-node-lease", "") {
            let name = lease["metadata"]["name"].as_str().unwrap_or_default();
            self.patch(
                "coordination.k8s.io/v1/Lease",
                "kube-node-lease",
                name,
                json!({"spec": {"holderIdentity": null}}),
            );
        }
        self.kwok().restart();
    }

    /// What kube-apiserver was asked.
    pub fn audit(&self) -> Audit<'_> {
        Audit {
            cluster: self,
            log: self.audit_log.clone(),
        }
    }

    /// The environment in which a test runs a tool: this cluster, a home of its own, no colours, no terminal's width.
    ///
    /// For `Command::env_clear().envs(cluster.env())`.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let home = self.dir().join("home");
        std::fs::create_dir_all(&home).unwrap_or_else(|e| panic!("{e}"));
        let system = std::env::var("PATH").unwrap_or_default();
        vec![
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            ("HOME", home.display().to_string()),
            ("PATH", format!("{}:{system}", binaries::folder().display())),
            ("COLUMNS", "120".to_owned()),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
            ("NO_COLOR", "1".to_owned()),
        ]
    }
}
