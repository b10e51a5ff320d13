//! A connection to the API server, chosen and made as kubectl does it.
//!
//! In order: [`kubeconfig`] reads the files, [`choice`] picks context, cluster and user and lays the flags over them,
//! [`plain`] leaves out what must not be sent without TLS, and [`config`] turns the rest into what kube-rs wants, with the proxy that
//! [`proxy`] finds. [`tls`] decides whom to trust, and [`transport`] makes the connections. [`session`] then carries every
//! request: it adds credentials ([`credentials`], [`exec`]), bounds it in time and size ([`bounds`]) and shows what the server
//! warns of ([`warnings`]); [`managed`] cuts from answers what others may nest as deep as they like, [`item`] decodes objects one
//! by one; [`pace`] keeps a watch that ends at once from becoming a storm.
//!
//! kube-rs' own loading and its own stack are not used as they are, because they differ from kubectl: missing files, unknown
//! users, `NO_PROXY`, credentials without TLS, certificates, token files that end in a line break, blocking credential plugins, no answer to a 401, hidden retries.

mod bounds;
mod choice;
mod config;
mod credentials;
mod decoded;
mod exec;
mod item;
mod kubeconfig;
mod log;
mod managed;
mod pace;
mod pages;
mod plain;
mod proxy;
mod server;
mod session;
mod shallow;
mod tls;
mod transport;
mod warnings;

use std::sync::Arc;
use std::time::Duration;

use crate::args::KubeArgs;
use crate::error::{self, Error, Result};
use crate::ui::Ui;

pub use decoded::{Decoded, Lost, Name, Unread};
pub use item::Item;
pub use kubeconfig::{Names, names};
pub use log::log_to_stderr;
pub use managed::ManagedFields;
pub use pages::{fewer, pages};
pub use server::Server;
pub use shallow::{Shallow, TOO_DEEP};

/// Who is calling, for the user agent.
#[derive(Debug, Clone, Copy)]
pub struct Agent {
    /// The binary: `kubectl-evacuate`.
    pub name: &'static str,
    /// Its version, without `v`: `0.1.0`.
    pub version: &'static str,
}

impl Agent {
    /// `kubectl-evacuate/v0.1.0 (linux/amd64)`, with Go's names for systems and machines, as everybody else in an audit log.
    pub fn user_agent(&self) -> String {
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            os => os,
        };
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            arch => arch,
        };
        format!("{}/v{} ({os}/{arch})", self.name, self.version)
    }
}

/// How long the server may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For one request with its whole answer. For a watch: until its answer begins. `None` is no limit, which only
    /// `--request-timeout=0` asks for.
    pub request: Option<Duration>,
    /// Between two pieces of a watch. Longer than the 60 s after which the server is asked to end a watch by itself, so
    /// that only a dead connection reaches it.
    pub idle: Duration,
}

impl Limits {
    /// 60 s for a request and 75 s of silence on a watch.
    pub const DEFAULT: Self = Self {
        request: Some(Duration::from_secs(60)),
        idle: Duration::from_secs(75),
    };

    /// The default, with what `--request-timeout` says.
    pub fn from_args(args: &KubeArgs) -> Self {
        match args.request_timeout {
            None => Self::DEFAULT,
            Some(Duration::ZERO) => Self {
                request: None,
                ..Self::DEFAULT
            },
            Some(request) => Self {
                request: Some(request),
                ..Self::DEFAULT
            },
        }
    }
}

/// What the plugins and the tests may set beyond the flags.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long the server may be silent.
    pub limits: Limits,
    /// Whether a credential plugin may talk to the user. Not while a shell completes a word.
    pub interactive: bool,
}

/// A client and what belongs to it.
#[derive(Clone)]
pub struct Connection {
    /// Carries requests; cheap to clone.
    pub client: kube::Client,
    /// The namespace of `-n`, else of the context, else of the pod this runs in, else `default`.
    pub namespace: String,
    /// The address of the API server, `https://host:port`.
    pub server: String,
    /// The name of the context, if there is one.
    pub context: Option<String>,
    /// The name of the user entry, if there is one.
    pub user: Option<String>,
    warnings: Arc<warnings::Warnings>,
}

impl Connection {
    /// Warns, each text once per run. It is escaped here.
    pub fn warn_once(&self, text: &str) {
        self.warnings.say(text);
    }

    /// The error as kubectl would print it.
    pub fn explain(&self, error: &kube::Error) -> Error {
        error::from_kube(error, &self.server)
    }
}

/// Connects with the flags of a command line. Reads files and may run a credential plugin; nothing is sent yet.
///
/// # Errors
/// A kubeconfig that cannot be read, a name in it that does not exist, credentials that cannot be had.
pub async fn connect(args: &KubeArgs, agent: &Agent, ui: &Ui) -> Result<Connection> {
    connect_with(
        args,
        agent,
        ui,
        Options {
            limits: Limits::from_args(args),
            interactive: true,
        },
    )
    .await
}

/// As [`connect`], for a program that looks at who has set which field. Answers are read without `managedFields` otherwise.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with_managed_fields(args: &KubeArgs, agent: &Agent, ui: &Ui) -> Result<Connection> {
    let options = Options {
        limits: Limits::from_args(args),
        interactive: true,
    };
    open(args, agent, ui, options, ManagedFields::Bounded).await
}

/// As [`connect`], with limits of one's own.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(args: &KubeArgs, agent: &Agent, ui: &Ui, options: Options) -> Result<Connection> {
    open(args, agent, ui, options, ManagedFields::LeftOut).await
}

async fn open(
    args: &KubeArgs,
    agent: &Agent,
    ui: &Ui,
    options: Options,
    managed_fields: ManagedFields,
) -> Result<Connection> {
    let sources = kubeconfig::Sources::from_env(args.kubeconfig.clone());
    let choice = choice::choose(&kubeconfig::load(&sources)?, args)?;
    let mut choice = choice::fall_back(choice, args, &choice::Pod::from_env())?;
    let proxies = proxy::Proxies::from_env();
    if let Some(warning) = plain::leave_out(&mut choice)? {
        ui.warning(&warning);
    }
    let tls = tls::Settings::read(&choice)?;
    let config = config::build(&choice, &proxies, &agent.user_agent())?;
    let server = config::shown(&config.cluster_url);
    let client = session::open(config, tls, &choice, options, managed_fields, ui)
        .await
        .map_err(|error| match error {
            session::OpenError::Ours(error) => error,
            session::OpenError::Kube(error) => config::explain(&error, &server),
        })?;
    Ok(Connection {
        client,
        namespace: choice.namespace.unwrap_or_else(|| "default".to_owned()),
        server,
        context: choice.context,
        user: args
            .impersonate
            .clone()
            .or(Some(choice.user_name))
            .filter(|name| !name.is_empty()),
        warnings: Arc::new(warnings::Warnings::new(ui.clone())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_agent_is_built_like_kubectls() {
        let text = Agent {
            name: "kubectl-evacuate",
            version: "0.1.0",
        }
        .user_agent();
        assert!(text.starts_with("kubectl-evacuate/v0.1.0 ("), "{text}");
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        assert!(text.ends_with(" (linux/amd64)"), "{text}");
    }

    #[test]
    fn a_request_timeout_of_zero_is_no_limit() {
        let with = |seconds| {
            Limits::from_args(&KubeArgs {
                request_timeout: Some(Duration::from_secs(seconds)),
                ..KubeArgs::default()
            })
        };
        assert_eq!(Limits::from_args(&KubeArgs::default()), Limits::DEFAULT);
        assert_eq!(with(0).request, None);
        assert_eq!(with(5).request, Some(Duration::from_secs(5)));
        assert_eq!(with(5).idle, Limits::DEFAULT.idle);
    }
}
