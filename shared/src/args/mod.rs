//! The configuration flags of kubectl, with its spelling and meaning.
//!
//! These are only the flags as they were typed. What they do to a kubeconfig is in [`crate::client`].

mod duration;
mod typos;

pub use duration::{parse_duration, parse_request_timeout};
pub use typos::parse;

use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;

use crate::complete;

/// The flags that every kubectl command has. Flatten it into a plugin's own flags.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Cluster options")]
pub struct KubeArgs {
    /// Read this kubeconfig file and no other
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,

    /// Use this context of the kubeconfig instead of the current one
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::contexts))]
    pub context: Option<String>,

    /// Namespace, instead of that of the context
    #[arg(long, short = 'n', value_name = "NAME", add = ArgValueCompleter::new(complete::namespaces))]
    pub namespace: Option<String>,

    /// Use this cluster of the kubeconfig instead of that of the context
    #[arg(long, value_name = "NAME", hide_short_help = true, add = ArgValueCompleter::new(complete::clusters))]
    pub cluster: Option<String>,

    /// Use this user of the kubeconfig instead of that of the context
    #[arg(long, value_name = "NAME", hide_short_help = true, add = ArgValueCompleter::new(complete::users))]
    pub user: Option<String>,

    /// Address of the API server, instead of that of the cluster
    #[arg(long, short = 's', value_name = "URL", hide_short_help = true)]
    pub server: Option<String>,

    /// Log in with this bearer token
    #[arg(long, value_name = "TOKEN", hide_short_help = true)]
    pub token: Option<Secret>,

    /// Act as this user or service account (impersonation)
    #[arg(long = "as", value_name = "USER", hide_short_help = true)]
    pub impersonate: Option<String>,

    /// Act with this UID
    #[arg(long = "as-uid", value_name = "UID", hide_short_help = true)]
    pub impersonate_uid: Option<String>,

    /// Act as a member of this group; can be repeated
    #[arg(long = "as-group", value_name = "GROUP", hide_short_help = true)]
    pub impersonate_groups: Vec<String>,

    /// Act with this extra attribute; can be repeated
    #[arg(long = "as-user-extra", value_name = "KEY=VALUE", hide_short_help = true, value_parser = parse_extra)]
    pub impersonate_extra: Vec<(String, String)>,

    /// Trust only servers with a certificate of this authority (PEM)
    #[arg(long, value_name = "FILE", hide_short_help = true, value_hint = clap::ValueHint::FilePath)]
    pub certificate_authority: Option<PathBuf>,

    /// Log in with this client certificate (PEM)
    #[arg(long, value_name = "FILE", hide_short_help = true, value_hint = clap::ValueHint::FilePath)]
    pub client_certificate: Option<PathBuf>,

    /// Key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", hide_short_help = true, value_hint = clap::ValueHint::FilePath)]
    pub client_key: Option<PathBuf>,

    /// Accept any certificate of the server; anybody in between can read and change everything
    #[arg(
        long, value_name = "BOOL", hide_short_help = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = parse_bool
    )]
    pub insecure_skip_tls_verify: Option<bool>,

    /// Name that the server's certificate must have, instead of the host's
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub tls_server_name: Option<String>,

    /// How long one request may take, with a unit (1s, 2m, 3h) or in seconds; 0 means without limit [default: 60s]
    #[arg(long, value_name = "TIME", hide_short_help = true, value_parser = parse_request_timeout)]
    pub request_timeout: Option<std::time::Duration>,

    /// Accepted as in kubectl; nothing is cached
    #[arg(long, value_name = "DIR", hide_short_help = true, value_hint = clap::ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,

    /// Do not ask for compressed answers
    #[arg(
        long, value_name = "BOOL", hide_short_help = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = parse_bool
    )]
    pub disable_compression: Option<bool>,

    /// Log to stderr: 6 shows requests, 8 what the libraries say
    #[arg(
        long = "v",
        short = 'v',
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        hide_short_help = true
    )]
    pub verbosity: u8,
}

/// A value that is not shown by `Debug`, so that it reaches no log and no panic message.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(...)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// The values that Go's `strconv.ParseBool` takes, for `--flag=true`.
///
/// # Errors
/// Anything else.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

fn parse_extra(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Plugin {
        #[command(flatten)]
        kube: KubeArgs,
        node: Option<String>,
    }

    fn parse(args: &[&str]) -> KubeArgs {
        Plugin::try_parse_from(std::iter::once(&"x").chain(args)).unwrap().kube
    }

    #[test]
    fn flags_are_spelt_as_in_kubectl() {
        let args = parse(&[
            "--kubeconfig=f",
            "--context",
            "c",
            "--cluster",
            "k",
            "--user",
            "u",
            "-n",
            "ns",
            "-s",
            "https://h",
            "--token",
            "t",
            "--as",
            "a",
            "--as-uid",
            "1",
            "--as-group",
            "g",
            "--as-group",
            "h",
            "--as-user-extra",
            "k=v=w",
            "--certificate-authority",
            "ca",
            "--client-certificate",
            "cert",
            "--client-key",
            "key",
            "--tls-server-name",
            "name",
            "--request-timeout",
            "5",
            "--cache-dir",
            "d",
            "--disable-compression",
            "--insecure-skip-tls-verify",
            "-v",
            "6",
        ]);
        assert_eq!(args.impersonate_groups, ["g", "h"]);
        assert_eq!(args.impersonate_extra, [("k".to_owned(), "v=w".to_owned())]);
        assert_eq!(args.request_timeout, Some(std::time::Duration::from_secs(5)));
        assert_eq!(
            (args.insecure_skip_tls_verify, args.disable_compression),
            (Some(true), Some(true))
        );
        assert_eq!(args.verbosity, 6);
        assert_eq!(
            parse(&["--v=8", "--insecure-skip-tls-verify=false"]).insecure_skip_tls_verify,
            Some(false)
        );
    }

    #[test]
    fn a_switch_does_not_swallow_the_next_word() {
        let plugin = Plugin::try_parse_from(["x", "--insecure-skip-tls-verify", "node-1"]).unwrap();
        assert_eq!(plugin.node.as_deref(), Some("node-1"));
    }

    #[test]
    fn a_token_is_not_in_debug_output() {
        assert!(!format!("{:?}", parse(&["--token", "s3cret"])).contains("s3cret"));
    }
}
