//! The command line.

mod complete;
mod switches;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Parser, ValueEnum as _, ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
};
use clap_complete::engine::ArgValueCompleter;
use upkeep::{
    Error, Result,
    args::{KubeArgs, parse_duration},
    output::Format,
};

use self::switches::Switches;
use crate::ladder::Rung;

const EXAMPLES: &str = "\
Examples:
  # Say why a namespace does not go away, mend it step by step, and wait until it is gone
  kubectl finalize ns stuck

  # Only say why, and what could be done; write it down, and do just that later
  kubectl finalize ns stuck --dry-run
  kubectl finalize ns stuck --force-up-to=strip --plan-out=plan.json
  kubectl finalize --apply=plan.json --force-up-to=strip

  # Pods on a node whose machine is powered off for certain
  kubectl finalize ns stuck --force-up-to=repair --powered-off=node1

  # Any other object
  kubectl finalize pvc/data -n shop

  # Everything that is stuck in the cluster, or will get stuck
  kubectl finalize scan

  # What would get stuck if a namespace were deleted now
  kubectl finalize preflight ns shop

  # Objects whose namespace does not exist any more, and how to get rid of them
  kubectl finalize orphans
  kubectl finalize orphans shop --clean

  # Bring back what a run has changed or deleted
  kubectl finalize restore ~/.local/state/kubectl-upkeep/finalize/CLUSTER/RUN

  # What a finalizer protects, who takes it off, and what is lost when it is stripped
  kubectl finalize explain kubernetes.io/pvc-protection

Exit codes:
  0 gone, or a dry run   1 failed, or findings   2 usage   3 refused, nothing was changed   4 still held, or orphans
  5 ended by --timeout   130 interrupted   143 terminated";

/// Say why an object will not go away, and mend it with the least force.
///
/// The cause is looked for first: finalizers and who would have to take them off, pods whose kubelet is silent, webhooks,
/// conversions and APIs that do not answer, volumes in use, policies. Then the gentlest step that can help is made, and it is
/// looked again. Nothing is forced that was not allowed with --force-up-to or on the terminal.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-finalize",
    bin_name = "kubectl finalize",
    version = upkeep::about::version(env!("CARGO_PKG_VERSION"), env!("UPKEEP_COMMIT")),
    after_help = EXAMPLES,
    args_override_self = true,
    override_usage = "kubectl finalize KIND NAME [flags]\n       kubectl finalize KIND/NAME [flags]\n       \
                      kubectl finalize scan [flags]\n       kubectl finalize preflight ns NAME [flags]\n       \
                      kubectl finalize orphans [NAMESPACE...] [--clean] [flags]\n       \
                      kubectl finalize restore DIR [flags]\n       kubectl finalize explain FINALIZER"
)]
pub struct Cli {
    /// What will not go away: KIND NAME, or KIND/NAME
    #[arg(value_name = "KIND NAME", num_args = 1.., conflicts_with = "apply", add = ArgValueCompleter::new(complete::target))]
    pub target: Vec<String>,

    /// How much force may be used. Without it: "wait" where nobody can be asked; on a terminal each step above is asked for
    #[arg(long, value_name = "RUNG", value_enum)]
    pub force_up_to: Option<Rung>,

    /// What is on or off.
    #[command(flatten)]
    pub switches: Switches,

    /// What a namespace may leave behind where it cannot be listed: "orders.shop.example.com", or a group. With
    /// --force-up-to=finalize it is taken out without that, once everything that can be listed is gone
    #[arg(long, value_name = "RESOURCE", value_delimiter = ',')]
    pub leave_behind: Vec<String>,

    /// Nodes whose machines are powered off for certain. Those whose kubelet has stopped reporting are tainted as out of
    /// service: all of their pods, of all namespaces, are forced off, and their volumes are detached
    #[arg(long, value_name = "NODE", value_delimiter = ',', num_args = 0..=1, require_equals = true, default_missing_value = "",
        add = ArgValueCompleter::new(complete::powered_off))]
    pub powered_off: Vec<String>,

    /// Show causes and steps, and change nothing; with "server" the API server is asked what it would say to the next step
    #[arg(long, value_name = "none|client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client",
        default_value = "none", hide_default_value = true, value_parser = ["none", "client", "server"])]
    pub dry_run: String,

    /// Explain, write what may be done with this force into a new file, and change nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["apply", "watch"], value_hint = ValueHint::FilePath)]
    pub plan_out: Option<PathBuf>,

    /// Make the changes that a file of --plan-out names, as far as they are still needed, and no others. Each is asked for (or
    /// --yes). How much force may be used is not in the file: give the flags again
    #[arg(long, value_name = "FILE", conflicts_with = "watch", value_hint = ValueHint::FilePath)]
    pub apply: Option<PathBuf>,

    /// How long to wait until it is gone: 5 minutes, and with --watch as long as it takes, where this is not given; 0 is as long as it takes
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,

    /// A file with more finalizers, which win over those that are built in
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub knowledge: Option<PathBuf>,

    /// Objects per page of a list; 0 is everything at once
    #[arg(long, value_name = "N", default_value_t = 500, hide_short_help = true)]
    pub chunk_size: u32,

    /// Output format
    #[arg(long, short = 'o', value_name = "json|yaml", value_parser = documents())]
    pub output: Option<Format>,

    /// The flags of every kubectl command.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// What `-o` takes here: what is told to people has one form.
fn documents() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(["json", "yaml"]).map(|format| match format.as_str() {
        "json" => Format::Json,
        _ => Format::Yaml,
    })
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// An object: kind and name as they were typed.
    Object {
        /// `ns`.
        kind: &'a str,
        /// `stuck`.
        name: &'a str,
    },
    /// What is known about a finalizer.
    Explain(&'a str),
    /// Everything in the cluster.
    Scan,
    /// What would hold a namespace if it were deleted now.
    Preflight(&'a str),
    /// Objects whose namespace does not exist; of these namespaces, or of all.
    Orphans(Vec<&'a str>),
    /// What a run has saved in this folder.
    Restore(&'a str),
    /// What a plan is about.
    Apply(&'a Path),
}

/// How long it is waited where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(300);

impl Cli {
    /// Whether nothing may be changed.
    pub fn only_looks(&self) -> bool {
        self.dry_run != "none" || self.plan_out.is_some() || self.switches.watch
    }

    /// How long it is waited until the target is gone.
    pub fn patience(&self) -> Duration {
        match self.timeout {
            Some(Duration::ZERO) => Duration::MAX,
            Some(timeout) => timeout,
            None if self.switches.watch => Duration::MAX,
            None => PATIENCE,
        }
    }

    /// Reads the words.
    ///
    /// # Errors
    /// Words that do not make sense.
    pub fn wanted(&self) -> Result<Wanted<'_>> {
        self.names()?;
        if let Some(file) = &self.apply {
            return Ok(Wanted::Apply(file));
        }
        let words: Vec<&str> = self.target.iter().map(String::as_str).collect();
        let hint = "see 'kubectl finalize --help' for usage";
        self.fits(words.first().copied().unwrap_or_default())
            .map_err(|text| Error::usage(text).hint(hint))?;
        match words.as_slice() {
            _ if words.iter().any(|word| word.is_empty()) => {
                Err(Error::usage("an empty word names nothing").hint(hint))
            }
            ["explain", finalizer] => Ok(Wanted::Explain(finalizer)),
            ["scan"] => Ok(Wanted::Scan),
            ["orphans", namespaces @ ..] => Ok(Wanted::Orphans(namespaces.to_vec())),
            ["restore", folder] => Ok(Wanted::Restore(folder)),
            ["preflight", "ns" | "namespace" | "namespaces", name] => Ok(Wanted::Preflight(name)),
            ["preflight", one] => match one.split_once('/') {
                Some(("ns" | "namespace" | "namespaces", name)) if !name.is_empty() => Ok(Wanted::Preflight(name)),
                _ => Err(Error::usage("preflight looks at a namespace: preflight ns NAME").hint(hint)),
            },
            ["preflight", ..] => Err(Error::usage("preflight looks at a namespace: preflight ns NAME").hint(hint)),
            ["explain", ..] => Err(Error::usage("explain needs the name of one finalizer").hint(hint)),
            ["restore", ..] => Err(Error::usage("restore needs the folder of one run").hint(hint)),
            ["scan", ..] => Err(Error::usage("scan looks at the whole cluster, and takes no name").hint(hint)),
            [kind, name] if !kind.contains('/') && !name.contains('/') => Ok(Wanted::Object { kind, name }),
            [one] if one.split('/').count() == 2 => {
                let (kind, name) = one.split_once('/').unwrap_or_default();
                if kind.is_empty() || name.is_empty() {
                    return Err(Error::usage(format!("{one:?} is not KIND/NAME")).hint(hint));
                }
                Ok(Wanted::Object { kind, name })
            }
            [] => Err(Error::usage("name what will not go away: KIND NAME or KIND/NAME").hint(hint)),
            [kind, _, _, ..] if !kind.contains('/') => {
                Err(Error::usage("one object at a time: KIND NAME or KIND/NAME").hint(hint))
            }
            _ => Err(Error::usage(format!("{:?} is neither KIND NAME nor KIND/NAME", words.join(" "))).hint(hint)),
        }
    }

    /// Flags that name something name it.
    fn names(&self) -> Result<()> {
        let empty = |names: &[String]| names.iter().any(|word| word.trim().is_empty());
        if empty(&self.leave_behind) {
            return Err(Error::usage(
                "--leave-behind has an empty word: name each resource or group",
            ));
        }
        if empty(&self.powered_off) {
            let error = Error::usage("--powered-off needs the names of the nodes: --powered-off=NODE[,NODE]");
            return Err(error.hint(
                "without the flag the nodes are shown that have stopped reporting and hold pods; name those whose machines are \
                 powered off for certain",
            ));
        }
        let force = self.force_up_to.filter(|rung| *rung < Rung::Finalize);
        if let (false, Some(rung)) = (self.leave_behind.is_empty(), force) {
            let rung = rung.to_possible_value().map(|value| value.get_name().to_owned());
            let text = format!(
                "--leave-behind has no effect with --force-up-to={}: it needs --force-up-to=finalize",
                rung.unwrap_or_default()
            );
            return Err(Error::usage(text));
        }
        Ok(())
    }

    /// Flags that would be passed over say that they do not belong here.
    fn fits(&self, word: &str) -> std::result::Result<(), &'static str> {
        let Switches { clean, yes, watch, .. } = self.switches;
        let only_words = matches!(word, "scan" | "preflight" | "explain");
        match word {
            _ if clean && word != "orphans" => Err("--clean belongs to orphans"),
            _ if yes && only_words => Err("this only looks, and asks nothing: --yes does not belong here"),
            "orphans" if clean && self.output.is_some() => Err("-o shows orphans; --clean tells what it does in words"),
            "restore" if self.output.is_some() => Err("-o is for looking: restore tells what it does in words"),
            "orphans" | "restore" if self.plan_out.is_some() => Err("--plan-out belongs to KIND NAME"),
            "scan" if self.kube.namespace.is_some() => Err("scan looks at the whole cluster: -n cannot narrow it"),
            _ if only_words && (self.force_up_to.is_some() || watch || self.plan_out.is_some()) => {
                Err("this only looks, and changes nothing: --force-up-to, --watch and --plan-out belong to KIND NAME")
            }
            _ => Ok(()),
        }
    }
}
