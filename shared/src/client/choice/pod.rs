//! Where the server is when neither a kubeconfig nor a flag names one.

use std::path::PathBuf;

use super::{Choice, given};
use crate::args::KubeArgs;
use crate::client::kubeconfig::reason;
use crate::error::{DEFAULT_SERVER, Error, Result};

/// The pod that this runs in, as Kubernetes tells it.
#[derive(Debug, Clone, Default)]
pub(in crate::client) struct Pod {
    /// `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
    pub service: Option<(String, String)>,
    /// `POD_NAMESPACE`, which goes before the file.
    pub namespace: Option<String>,
    /// Where the service account is mounted.
    pub account: PathBuf,
}

impl Pod {
    pub(in crate::client) fn from_env() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            service: var("KUBERNETES_SERVICE_HOST").zip(var("KUBERNETES_SERVICE_PORT")),
            namespace: var("POD_NAMESPACE"),
            account: PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount"),
        }
    }
}

/// Without a server in kubeconfig or flags: the API server of the pod around us, else kubectl's default address.
pub(in crate::client) fn fall_back(mut choice: Choice, args: &KubeArgs, pod: &Pod) -> Result<Choice> {
    if given(&choice.cluster.server).is_some() {
        return Ok(choice);
    }
    let token_file = pod.account.join("token");
    let Some((host, port)) = pod.service.as_ref().filter(|_| token_file.is_file()) else {
        choice.cluster.server = Some(DEFAULT_SERVER.to_owned());
        return Ok(choice);
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    choice.cluster.server = Some(format!("https://{host}:{port}"));
    if args.certificate_authority.is_none() && choice.cluster.insecure_skip_tls_verify != Some(true) {
        choice.cluster.certificate_authority = Some(pod.account.join("ca.crt").to_string_lossy().into_owned());
    }
    if choice.user.token.is_none() {
        choice.user.token_file = Some(token_file.to_string_lossy().into_owned());
    }
    if choice.namespace.is_none() {
        choice.namespace = match &pod.namespace {
            Some(name) => Some(name.clone()),
            None => match std::fs::read_to_string(pod.account.join("namespace")) {
                Ok(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => {
                    return Err(Error::failed("cannot read the namespace of this pod").caused_by(reason(&error)));
                }
            },
        };
    }
    Ok(choice)
}
