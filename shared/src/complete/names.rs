//! Names that can be typed: from the kubeconfig files, and from the cluster that the line so far is about.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use clap::{ArgMatches, Args, FromArgMatches};
use clap_complete::engine::CompletionCandidate;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::Api;
use kube::api::ListParams;

use crate::args::KubeArgs;
use crate::client::{self, Agent, Connection, Limits, Options};
use crate::ui::Ui;

/// A person waits behind a key press: rather no names than late ones.
const PATIENCE: Duration = Duration::from_millis(2500);
/// Nobody picks from more.
const MOST: u32 = 1000;

/// The connection flags of the line that is being typed.
static TYPED: OnceLock<KubeArgs> = OnceLock::new();
/// Its words that belong to no flag.
static WORDS: OnceLock<Vec<String>> = OnceLock::new();

/// Keeps the connection flags and the words before for the completers, which are only given the word itself.
pub(super) fn remember(command: &clap::Command, words: &[OsString]) {
    // Only the first call counts, and there is only one.
    drop(TYPED.set(read_flags(words)));
    drop(WORDS.set(read_words(command, words)));
}

/// The words before the one that is being typed, without flags and their values.
pub fn words_before() -> &'static [String] {
    WORDS.get().map_or(&[], Vec::as_slice)
}

fn read_words(command: &clap::Command, words: &[OsString]) -> Vec<String> {
    let ids: Vec<clap::Id> = command.get_positionals().map(|arg| arg.get_id().clone()).collect();
    let before = words.iter().take(words.len().saturating_sub(1)).cloned();
    let command = command.clone().no_binary_name(true).ignore_errors(true);
    let Ok(matches) = command.try_get_matches_from(before) else {
        return Vec::new();
    };
    let raw = ids.iter().filter_map(|id| matches.get_raw(id.as_str()));
    raw.flatten().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The connection flags in an unfinished line. Everything else in it is passed over.
fn read_flags(words: &[OsString]) -> KubeArgs {
    let command = KubeArgs::augment_args(clap::Command::new("x").no_binary_name(true)).disable_help_flag(true);
    let own: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect();
    let mut known: Vec<OsString> = Vec::new();
    // The last word is the one that is being typed.
    let mut words = words.iter().take(words.len().saturating_sub(1));
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let name = text
            .strip_prefix("--")
            .map(|rest| rest.split('=').next().unwrap_or(rest));
        let short = matches!(text.get(..2), Some("-n" | "-s"));
        if !short && !name.is_some_and(|name| own.iter().any(|own| own == name)) {
            continue;
        }
        let switch = matches!(name, Some("insecure-skip-tls-verify" | "disable-compression"));
        let complete = text.contains('=') || switch || (short && text.len() > 2);
        if complete {
            known.push(word.clone());
        } else if let Some(value) = words.next() {
            known.extend([word.clone(), value.clone()]);
        }
    }
    let matches: Option<ArgMatches> = command.ignore_errors(true).try_get_matches_from(known).ok();
    matches
        .and_then(|matches| KubeArgs::from_arg_matches(&matches).ok())
        .unwrap_or_default()
}

/// Whether the word that is being typed is the value of a flag that takes a file.
pub(super) fn wants_file(command: &clap::Command, args: &[OsString]) -> bool {
    let [.., before, last] = args else { return false };
    let (before, last) = (before.to_string_lossy(), last.to_string_lossy());
    let name = match last.strip_prefix("--").and_then(|rest| rest.split_once('=')) {
        Some((name, _)) => name.to_owned(),
        None => before.strip_prefix("--").unwrap_or_default().to_owned(),
    };
    let path = |hint| {
        matches!(
            hint,
            clap::ValueHint::FilePath | clap::ValueHint::DirPath | clap::ValueHint::AnyPath
        )
    };
    command
        .get_arguments()
        .any(|arg| arg.get_long() == Some(name.as_str()) && path(arg.get_value_hint()))
}

/// Contexts of the kubeconfig files.
pub fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    from_files(current, |names| names.contexts)
}

/// Clusters of the kubeconfig files.
pub fn clusters(current: &OsStr) -> Vec<CompletionCandidate> {
    from_files(current, |names| names.clusters)
}

/// Users of the kubeconfig files.
pub fn users(current: &OsStr) -> Vec<CompletionCandidate> {
    from_files(current, |names| names.users)
}

/// Nodes of the cluster that the line does not name yet. Who began with `node/` is offered that form.
pub fn nodes(current: &OsStr) -> Vec<CompletionCandidate> {
    let text = current.to_string_lossy().into_owned();
    let (prefix, _) = text.split_at(node_prefix(&text));
    let named: Vec<&str> = words_before().iter().map(|word| &word[node_prefix(word)..]).collect();
    let names = from_cluster(async |connection| names_of(Api::<Node>::all(connection.client)).await.ok());
    let names = names.into_iter().filter(|name| !named.contains(&name.as_str()));
    matching(names.map(|name| format!("{prefix}{name}")), &text)
}

/// The bytes of a word that stand before the name of a node.
fn node_prefix(word: &str) -> usize {
    let found = ["node/", "nodes/", "no/"]
        .into_iter()
        .find(|prefix| word.starts_with(prefix));
    found.map_or(0, str::len)
}

/// Namespaces of the cluster.
pub fn namespaces(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = from_cluster(async |connection| names_of(Api::<Namespace>::all(connection.client)).await.ok());
    matching(names, &current.to_string_lossy())
}

fn from_files(current: &OsStr, pick: impl Fn(client::Names) -> Vec<String>) -> Vec<CompletionCandidate> {
    let explicit: Option<PathBuf> = TYPED.get().and_then(|args| args.kubeconfig.clone());
    let names = client::names(explicit).map(pick).unwrap_or_default();
    let harmless = |name: &String| name.chars().all(|c| is_plain(c) || "/@+=,".contains(c));
    matching(names.into_iter().filter(harmless), &current.to_string_lossy())
}

/// Characters that mean nothing to a shell. Completion scripts of older releases of kubectl pass what they are offered to
/// `compgen -W`, which expands it: a user who may create a Role could call it `$(...)`. So names with other characters are
/// not offered. Contexts of a kubeconfig may also have the characters of `kubernetes-admin@kubernetes` and of ARNs.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._:-".contains(c)
}

/// Those that begin with what was typed.
pub fn matching(names: impl IntoIterator<Item = String>, current: &str) -> Vec<CompletionCandidate> {
    names
        .into_iter()
        .filter(|name| name.starts_with(current))
        .map(CompletionCandidate::new)
        .collect()
}

async fn names_of<K>(api: Api<K>) -> kube::Result<Vec<String>>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    // Answered from the server's cache, and without the objects themselves.
    let list = api
        .list_metadata(&ListParams::default().limit(MOST).match_any())
        .await?;
    Ok(list.items.into_iter().filter_map(|item| item.metadata.name).collect())
}

/// Asks the cluster for names. Whatever goes wrong, a shell must not see it: then there are no names. Names with characters that
/// mean something to a shell are left out.
pub fn from_cluster(ask: impl AsyncFnOnce(Connection) -> Option<Vec<String>>) -> Vec<String> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let args = TYPED.get().cloned().unwrap_or_default();
    let limits = Limits {
        request: Some(PATIENCE),
        idle: PATIENCE,
    };
    let found = runtime.block_on(async {
        let agent = Agent {
            name: "kubectl-upkeep-complete",
            version: env!("CARGO_PKG_VERSION"),
        };
        let (silent, _) = Ui::captured();
        let work = async {
            let connection = client::connect_with(
                &args,
                &agent,
                &silent,
                Options {
                    limits,
                    interactive: false,
                },
            )
            .await
            .ok()?;
            ask(connection).await
        };
        tokio::time::timeout(PATIENCE, work).await.ok().flatten()
    });
    // A name lookup that hangs in its thread is left behind.
    runtime.shutdown_background();
    let mut names = found.unwrap_or_default();
    names.retain(|name| name.chars().all(is_plain));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &[&str]) -> KubeArgs {
        read_flags(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn connection_flags_are_found_in_an_unfinished_line() {
        let args = flags(&[
            "node-1",
            "--context",
            "c",
            "--force",
            "--kubeconfig=k",
            "-n",
            "ns",
            "--grace",
            "5",
            "-shttps://h",
            "no",
        ]);
        assert_eq!(
            (args.context.as_deref(), args.namespace.as_deref()),
            (Some("c"), Some("ns"))
        );
        assert_eq!(
            (args.kubeconfig, args.server.as_deref()),
            (Some("k".into()), Some("https://h"))
        );
    }

    #[test]
    fn the_word_that_is_being_typed_does_not_count() {
        assert_eq!(
            flags(&["--context", "c", "--context", "d"]).context.as_deref(),
            Some("c")
        );
        assert_eq!(flags(&["--request-timeout", "nonsense", ""]).context, None);
        assert_eq!(
            flags(&["--insecure-skip-tls-verify", "x", "--user", "u", ""])
                .user
                .as_deref(),
            Some("u")
        );
    }
}
