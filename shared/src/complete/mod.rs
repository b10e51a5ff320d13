//! Completion of words in a shell: flags, and names from the kubeconfig and the cluster.
//!
//! There are three ways in. kubectl runs `kubectl_complete-NAME` (a link to the plugin) with the words so far; the hidden first
//! argument `__complete` does the same without a link; and the script that `completion SHELL` prints serves the binary
//! under its own name.

mod names;
mod script;

pub use names::{clusters, contexts, from_cluster, matching, namespaces, nodes, users, words_before};
pub use script::SHELLS;

use std::ffi::OsString;
use std::process::ExitCode;

use clap_complete::engine::CompletionCandidate;

use crate::error::{Error, Exit};
use crate::ui::Ui;

/// kubectl's word for "and do not offer file names" (cobra's `ShellCompDirectiveNoFileComp`).
const NO_FILES: u8 = 4;
/// And for "leave it to the shell": flags whose value is a file.
const DEFAULT: u8 = 0;

/// To be called first in `main`, with the plugin's command. Where this run is to complete a word, or to print a completion
/// script or the manual page, it does so and returns the exit code; in all other cases it returns nothing at once.
pub fn intercept(command: clap::Command) -> Option<ExitCode> {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    // The scripts of clap_complete call back through this variable.
    if std::env::var_os(script::VARIABLE).is_some_and(|shell| !shell.is_empty()) {
        names::remember(&command, &words);
        return Some(script::answer(command, &program));
    }
    let called_by_kubectl = std::path::Path::new(&program)
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("kubectl_complete-"));
    let words = if called_by_kubectl {
        words
    } else {
        match words.first().and_then(|word| word.to_str()) {
            Some("__complete") => words[1..].to_vec(),
            Some("completion") if words.len() <= 2 => return Some(print_script(&command, words.get(1))),
            Some("__manual") if words.len() == 1 => return Some(print(crate::manual::page(command))),
            _ => return None,
        }
    };
    names::remember(&command, &words);
    let ui = Ui::from_env();
    ui.document(&answer(command, words));
    ui.flush();
    Some(Exit::Done.into())
}

fn print_script(command: &clap::Command, shell: Option<&OsString>) -> ExitCode {
    let ui = Ui::from_env();
    let shell = shell
        .map(|shell| shell.to_string_lossy().into_owned())
        .unwrap_or_default();
    if matches!(shell.as_str(), "-h" | "--help") {
        ui.document(&script::usage(command));
        ui.flush();
        return Exit::Done.into();
    }
    print(script::script(command, &shell))
}

fn print(text: crate::Result<String>) -> ExitCode {
    let ui = Ui::from_env();
    let result = text.map(|text| {
        ui.document(&text);
        Exit::Done
    });
    ui.flush();
    let code = crate::finish(&ui, result);
    ui.flush();
    code
}

/// One candidate per line, with a tab and a description where there is one, and the directive at the end.
fn answer(mut command: clap::Command, words: Vec<OsString>) -> String {
    let last = words
        .last()
        .map(|word| word.to_string_lossy().into_owned())
        .unwrap_or_default();
    // The engine wants the program's name first, and at least one word to complete.
    let mut args = vec![OsString::from("kubectl")];
    args.extend(words);
    if args.len() == 1 {
        args.push(OsString::new());
    }
    let at = args.len() - 1;
    let wants_file = names::wants_file(&command, &args);
    let found = clap_complete::engine::complete(&mut command, args, at, None).unwrap_or_default();
    let mut text = String::new();
    // As kubectl does: flags are offered to who begins one.
    let found = found
        .iter()
        .filter(|candidate| last.starts_with('-') || !is_flag(candidate));
    // The scripts of kubectl put the flag before its value themselves.
    let flag = last.split_once('=').filter(|(flag, _)| flag.starts_with("--"));
    for candidate in found.filter(|_| !wants_file) {
        let line = line(candidate);
        let bare = flag.and_then(|(flag, _)| line.strip_prefix(flag)?.strip_prefix('='));
        text.push_str(bare.unwrap_or(&line));
        text.push('\n');
    }
    text + &format!(":{}\n", if wants_file { DEFAULT } else { NO_FILES })
}

fn is_flag(candidate: &CompletionCandidate) -> bool {
    candidate.get_value().to_string_lossy().starts_with('-')
}

fn line(candidate: &CompletionCandidate) -> String {
    let value = crate::ui::escape(&candidate.get_value().to_string_lossy());
    match candidate.get_help().map(|help| help.to_string()) {
        Some(help) if !help.is_empty() => {
            let help = help.lines().next().unwrap_or_default();
            format!("{value}\t{}", crate::ui::escape(help))
        }
        _ => value,
    }
}

/// A shell that there is no script for.
fn unknown_shell(shell: &str) -> Error {
    let shells = SHELLS.join(", ");
    if shell.is_empty() {
        return Error::usage(format!("name a shell: {shells}"));
    }
    Error::usage(format!(
        "there is no completion script for {shell:?}; there are: {shells}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// A plugin.
    #[derive(clap::Parser)]
    #[command(name = "kubectl-x", bin_name = "kubectl x")]
    struct Plugin {
        #[command(flatten)]
        kube: crate::args::KubeArgs,
        /// What to do first
        #[arg(long, value_parser = ["fast", "slow"])]
        pace: Option<String>,
    }

    fn lines(words: &[&str]) -> Vec<String> {
        let text = answer(Plugin::command(), words.iter().map(OsString::from).collect());
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn flags_and_values_are_offered_with_descriptions() {
        let all = lines(&["--p"]);
        assert_eq!(all, ["--pace\tWhat to do first", ":4"]);
        assert_eq!(lines(&["--pace", ""]), ["fast", "slow", ":4"]);
        assert_eq!(lines(&["--pace=s"]), ["slow", ":4"]);
    }

    #[test]
    fn flags_are_not_offered_to_who_began_none() {
        assert_eq!(lines(&[""]), [":4"]);
        assert_eq!(lines(&[]), [":4"]);
    }

    #[test]
    fn values_that_are_files_are_left_to_the_shell() {
        assert_eq!(lines(&["--kubeconfig", ""]), [":0"]);
        assert_eq!(lines(&["--kubeconfig="]), [":0"]);
    }
}
