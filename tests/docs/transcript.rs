//! A block of a document that shows a terminal: commands after `$ `, and what they print.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use regex::Regex;
use testsupport::Cluster;

/// Above a block that is recorded.
const MARK: &str = "<!-- Recorded by `make examples`; a test runs it again. -->\n```console\n";
const END: &str = "```\n";

/// The text of a document around its recorded block.
pub struct Page<'a> {
    before: &'a str,
    block: &'a str,
    after: &'a str,
}

impl<'a> Page<'a> {
    /// Nothing where the document has no such block.
    pub fn of(text: &'a str) -> Option<Self> {
        let (before, rest) = text.split_once(MARK)?;
        let end = rest.find(END)?;
        Some(Self {
            before,
            block: &rest[..end],
            after: &rest[end + END.len()..],
        })
    }

    /// The same document with this in the block.
    pub fn with(&self, steps: &[Step]) -> String {
        let block: Vec<String> = steps.iter().map(Step::shown).collect();
        format!("{}{MARK}{}{END}{}", self.before, block.join("\n"), self.after)
    }

    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for line in self.block.lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    command: command.to_owned(),
                    printed: String::new(),
                }),
                (None, Some(step)) => step.printed += &format!("{line}\n"),
                (None, None) => panic!("{line:?} stands before the first command"),
            }
        }
        steps
    }
}

/// A command, and all that it prints.
pub struct Step {
    pub command: String,
    pub printed: String,
}

impl Step {
    fn shown(&self) -> String {
        format!("$ {}\n{}\n", self.command, self.printed.trim_end())
    }

    /// Runs the command anew, with kubectl and the plugins on the path.
    pub fn again(&self, cluster: &Cluster, path: &std::ffi::OsStr, home: &Path) -> Self {
        let output = Command::new("sh")
            // Both streams in the order in which a terminal would show them.
            .args(["-c", &format!("{{ {}; }} 2>&1", self.command)])
            .env_clear()
            .envs(cluster.env())
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("PATH", path)
            .env("HOME", home)
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.code() {
            Some(0) => {}
            code => printed += &format!("[exit code {}]\n", code.unwrap_or(-1)),
        }
        Self {
            command: self.command.clone(),
            printed: printed.replace(&home.display().to_string(), "~"),
        }
    }

    /// What does not change from run to run: no time that has passed, no random parts of names, no order of what happens at once
    /// between the first line and the last.
    pub fn lasting(&self) -> Vec<String> {
        let rules = [
            (r"(Terminating|for|in|on) +\d+(\.\d+)?s\b", "$1 TIME"),
            (r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-\d+", "RUN"),
            (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID"),
            (r"-[bcdf0-9]{7,10}-[0-9bcdfghjklmnpqrstvwxz]{5}\b", "-POD"),
            (r"\b(agent)-[0-9bcdfghjklmnpqrstvwxz]{5}\b", "$1-POD"),
            (r"\s+", " "),
        ];
        let rules: Vec<(Regex, &str)> = rules
            .iter()
            .map(|(rule, to)| (Regex::new(rule).unwrap(), *to))
            .collect();
        let lasting = |line: &str| {
            let start = line.trim().to_owned();
            rules
                .iter()
                .fold(start, |text, (rule, to)| rule.replace_all(&text, *to).into_owned())
        };
        // How often it looks on the way depends on the servers.
        let passing = Regex::new("not been asked to go yet").unwrap();
        let mut lines: Vec<String> = self.printed.lines().map(lasting).collect();
        lines.retain(|line| !line.is_empty() && !passing.is_match(line));
        if let [_, between @ .., _] = &mut lines[..] {
            between.sort();
        }
        lines.dedup();
        lines
    }
}
