//! The scripts that make a shell ask the binary, as clap_complete writes them.

use std::ffi::OsStr;
use std::process::ExitCode;

use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Powershell, Zsh};

use crate::error::{Error, Exit, Result};

/// The shells that there is a script for.
pub const SHELLS: [&str; 4] = ["bash", "zsh", "fish", "powershell"];

/// Set by the scripts when they call the binary.
pub(super) const VARIABLE: &str = "KUBECTL_UPKEEP_COMPLETE";

/// The script for one shell.
pub(super) fn script(command: &clap::Command, shell: &str) -> Result<String> {
    let completer: &dyn EnvCompleter = match shell {
        "bash" => &Bash,
        "zsh" => &Zsh,
        "fish" => &Fish,
        "powershell" => &Powershell,
        other => return Err(super::unknown_shell(other)),
    };
    let name = command.get_name();
    let mut text = Vec::new();
    let written = completer.write_registration(VARIABLE, &name.replace('-', "_"), name, name, &mut text);
    written.map_err(|error| Error::failed("cannot write the completion script").caused_by(error))?;
    let script = String::from_utf8_lossy(&text).into_owned();
    // zsh reads its directive from the first line only.
    let (first, rest) = match script.strip_prefix("#compdef") {
        Some(_) => script.split_once('\n').unwrap_or((&script, "")),
        None => ("", script.as_str()),
    };
    let newline = if first.is_empty() { "" } else { "\n" };
    Ok(format!("{first}{newline}{}{rest}", note(name)))
}

/// What the script cannot do.
fn note(name: &str) -> String {
    let link = link_name(name);
    format!(
        "# This completes the command {name}. For `{plain}`, kubectl looks for {link} in PATH:\n\
         #   ln -s \"$(command -v {name})\" \"$(dirname \"$(command -v {name})\")/{link}\"\n",
        plain = name.replacen('-', " ", 1).replace('_', "-"),
    )
}

fn link_name(name: &str) -> String {
    format!("kubectl_complete-{}", name.strip_prefix("kubectl-").unwrap_or(name))
}

/// The help of `completion`.
pub(super) fn usage(command: &clap::Command) -> String {
    let name = command.get_name();
    let shells = super::SHELLS.join("|");
    format!(
        "Prints a completion script.\n\nUsage: {name} completion <{shells}>\n\n{}",
        note(name).replace("# ", "").replace('#', "")
    )
}

/// Answers a call from one of the scripts.
pub(super) fn answer(command: clap::Command, program: &OsStr) -> ExitCode {
    let name = command.get_name().to_owned();
    let words = std::iter::once(program.to_owned()).chain(std::env::args_os().skip(1));
    let done = CompleteEnv::with_factory(|| command.clone())
        .var(VARIABLE)
        .bin(name)
        .try_complete(words, None);
    // A shell has no use for an error text between its candidates.
    if done.is_ok() {
        Exit::Done.into()
    } else {
        Exit::Failed.into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_has_a_script_that_says_how_kubectl_finds_it() {
        let command = clap::Command::new("kubectl-cni_purge");
        for shell in SHELLS {
            let text = script(&command, shell).unwrap();
            assert!(
                text.contains(VARIABLE) && text.contains("kubectl_complete-cni_purge"),
                "{shell}: {text}"
            );
            assert!(text.contains("`kubectl cni-purge`"), "{shell}");
        }
        assert!(
            script(&command, "zsh")
                .unwrap()
                .starts_with("#compdef kubectl-cni_purge\n")
        );
        assert_eq!(script(&command, "tcsh").unwrap_err().exit(), Exit::Usage);
    }
}
