//! Which context, cluster and user it is, with the flags laid over them. The rules are those of client-go's
//! `DirectClientConfig`; the words are kubectl's.

mod pod;
#[cfg(test)]
mod tests;

pub(super) use pod::{Pod, fall_back};

use kube::config::{AuthInfo, Cluster, Context, Kubeconfig};
use secrecy::SecretString;

use crate::args::KubeArgs;
use crate::error::{Error, Result};

/// What a connection is made from.
#[derive(Debug, Clone, Default)]
pub(in crate::client) struct Choice {
    pub context: Option<String>,
    pub cluster: Cluster,
    pub user: AuthInfo,
    pub user_name: String,
    pub namespace: Option<String>,
}

/// Picks from the kubeconfig and lays the flags over it. Reads no files.
pub(in crate::client) fn choose(config: &Kubeconfig, args: &KubeArgs) -> Result<Choice> {
    let context_name = given(&args.context).or_else(|| given(&config.current_context));
    let context = match &context_name {
        Some(name) => find_context(config, name)?,
        None => Context::default(),
    };
    let mut choice = Choice {
        cluster: find_cluster(config, args, &context)?,
        namespace: given(&args.namespace).or_else(|| given(&context.namespace)),
        user_name: given(&args.user).or_else(|| given(&context.user)).unwrap_or_default(),
        context: context_name,
        user: AuthInfo::default(),
    };
    choice.user = find_user(config, args, &choice.user_name)?;
    override_cluster(&mut choice.cluster, args);
    override_user(&mut choice.user, args);
    validate(&choice)?;
    Ok(choice)
}

fn find_context(config: &Kubeconfig, name: &str) -> Result<Context> {
    let found = config.contexts.iter().find(|entry| entry.name == name);
    found.and_then(|entry| entry.context.clone()).ok_or_else(|| {
        let known: Vec<_> = config.contexts.iter().map(|entry| entry.name.as_str()).collect();
        let error = Error::failed(format!("context {name:?} does not exist"));
        if known.is_empty() {
            error
        } else {
            error.hint(format!("there are: {}", known.join(", ")))
        }
    })
}

fn find_cluster(config: &Kubeconfig, args: &KubeArgs, context: &Context) -> Result<Cluster> {
    let Some(name) = given(&args.cluster).or_else(|| given(&Some(context.cluster.clone()))) else {
        return Ok(Cluster::default());
    };
    let found = config
        .clusters
        .iter()
        .find(|entry| entry.name == name)
        .and_then(|entry| entry.cluster.clone());
    match found {
        Some(cluster) => Ok(cluster),
        // kubectl would go to localhost:8080 where only the context is wrong; nobody means that.
        None if given(&args.cluster).is_none() && given(&args.server).is_some() => Ok(Cluster::default()),
        None => Err(Error::failed(format!("no server found for cluster {name:?}"))),
    }
}

fn find_user(config: &Kubeconfig, args: &KubeArgs, name: &str) -> Result<AuthInfo> {
    if name.is_empty() {
        return Ok(AuthInfo::default());
    }
    let found = config.auth_infos.iter().find(|entry| entry.name == name);
    match found {
        Some(entry) => Ok(entry.auth_info.clone().unwrap_or_default()),
        None if given(&args.user).is_none() && (args.token.is_some() || args.client_certificate.is_some()) => {
            Ok(AuthInfo::default())
        }
        // Going on without credentials would end in a puzzling 401 or, worse, as an anonymous user.
        None => Err(Error::failed(format!("auth info {name:?} does not exist"))),
    }
}

fn override_cluster(cluster: &mut Cluster, args: &KubeArgs) {
    if let Some(server) = given(&args.server) {
        cluster.server = Some(server);
    }
    // A server name belongs to a server: with another server, the old name is gone.
    if given(&args.server).is_some() || given(&args.tls_server_name).is_some() {
        cluster.tls_server_name = given(&args.tls_server_name);
    }
    let insecure = args.insecure_skip_tls_verify.unwrap_or(false);
    if insecure || args.certificate_authority.is_some() {
        cluster.insecure_skip_tls_verify = Some(insecure);
        cluster.certificate_authority = args
            .certificate_authority
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned());
        cluster.certificate_authority_data = None;
    }
    if args.disable_compression.unwrap_or(false) {
        cluster.disable_compression = Some(true);
    }
}

fn override_user(user: &mut AuthInfo, args: &KubeArgs) {
    if let Some(path) = &args.client_certificate {
        user.client_certificate = Some(path.to_string_lossy().into_owned());
        user.client_certificate_data = None;
    }
    if let Some(path) = &args.client_key {
        user.client_key = Some(path.to_string_lossy().into_owned());
        user.client_key_data = None;
    }
    if let Some(token) = args.token.as_ref().filter(|token| !token.0.is_empty()) {
        // kube-rs would ask the others first.
        *user = AuthInfo {
            token: Some(SecretString::from(token.0.clone())),
            token_file: None,
            exec: None,
            auth_provider: None,
            username: None,
            password: None,
            ..user.clone()
        };
    }
    user.impersonate = given(&args.impersonate).or_else(|| given(&user.impersonate));
    user.impersonate_uid = given(&args.impersonate_uid).or_else(|| given(&user.impersonate_uid));
    if !args.impersonate_groups.is_empty() {
        user.impersonate_groups = Some(args.impersonate_groups.clone());
    }
    if !args.impersonate_extra.is_empty() {
        let mut extra = std::collections::HashMap::<String, Vec<String>>::new();
        for (key, value) in &args.impersonate_extra {
            extra.entry(key.clone()).or_default().push(value.clone());
        }
        user.impersonate_user_extra = Some(extra);
    }
}

fn validate(choice: &Choice) -> Result<()> {
    let Choice {
        cluster,
        user,
        user_name,
        ..
    } = choice;
    let has_ca =
        given(&cluster.certificate_authority).is_some() || given(&cluster.certificate_authority_data).is_some();
    if cluster.insecure_skip_tls_verify == Some(true) && has_ca {
        return Err(Error::failed(
            "specifying a root certificates file with the insecure flag is not allowed",
        ));
    }
    let beyond_a_name = user.impersonate_uid.is_some()
        || user
            .impersonate_groups
            .as_ref()
            .is_some_and(|groups| !groups.is_empty())
        || user
            .impersonate_user_extra
            .as_ref()
            .is_some_and(|extra| !extra.is_empty());
    if user.impersonate.is_none() && beyond_a_name {
        return Err(Error::failed(format!(
            "requesting uid, groups or user-extra for {user_name} without impersonating a user"
        ))
        .hint("--as names the user"));
    }
    let token = user.token.is_some() || given(&user.token_file).is_some();
    let basic = given(&user.username).is_some();
    if token && basic {
        return Err(Error::failed(format!(
            "more than one authentication method found for {user_name}; found [token basicAuth], only one is allowed"
        )));
    }
    if user.exec.is_some() && user.auth_provider.is_some() {
        return Err(Error::failed(format!(
            "authProvider cannot be provided in combination with an exec plugin for {user_name}"
        )));
    }
    let certificate = given(&user.client_certificate).is_some() || given(&user.client_certificate_data).is_some();
    let key = given(&user.client_key).is_some() || user.client_key_data.is_some();
    if certificate && !key {
        return Err(Error::failed(format!(
            "client-key-data or client-key must be specified for {user_name} to use the clientCert authentication method."
        )));
    }
    if key && !certificate {
        return Err(Error::failed(format!(
            "client-cert-data or client-cert must be specified for {user_name} to use the clientCert authentication method."
        )));
    }
    Ok(())
}

/// An empty string means not given, in flags as in files.
fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}
