//! The command line: every flag of `kubectl drain` with its spelling and meaning, and those that go further.

mod switches;
mod values;

use std::time::Duration;

use clap::{Parser, ValueEnum};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use upkeep::{
    Error, Result,
    args::{KubeArgs, parse_bool, parse_duration},
    complete,
    output::Format,
};

use self::{
    switches::Switches,
    values::{
        FOREVER, booleans, parse_on_blocked, parse_reason, parse_run, parse_surge, parse_wait_jobs, policies,
        surge_modes,
    },
};
use crate::{
    engine::OnBlocked,
    facts::is_node_name,
    preflight::{fence::PoweredOff, jobs::WaitJobs, surge::Mode},
};

const EXAMPLES: &str = "\
Examples:
  # Empty a node: check everything, cordon it, evict its pods as fast as their budgets allow
  kubectl evacuate node1

  # Show what would happen, and change nothing
  kubectl evacuate node1 --dry-run=client

  # All nodes of a rack, four at a time, within half an hour altogether
  kubectl evacuate -l rack=b --parallel=4 --timeout=30m

  # Also move pods that nothing will re-create, and give up the data of emptyDir volumes
  kubectl evacuate node1 --force --delete-emptydir-data

  # Tell others why, keep load balancers away, and bring the node back afterwards
  kubectl evacuate node1 --reason='disk swap' --exclude-lb
  kubectl evacuate node1 --uncordon

  # Let Deployments whose budget never allows an eviction run one more pod for a while, so that theirs can go
  kubectl evacuate node1 --surge

  # Get rid of the pods and volumes of a node whose machine is surely powered off
  kubectl evacuate node1 --powered-off

  # Empty a node and take it out of the cluster
  kubectl evacuate node1 --delete

  # Let running Jobs finish, for an hour at most; evict all other pods at once
  kubectl evacuate node1 --wait-jobs=1h

  # Pods that a budget has held back for ten minutes are deleted all the same
  kubectl evacuate node1 --on-blocked=delete-after=10m

Exit codes:
  0 done   1 failed   2 usage   3 refused, nothing was changed   4 ended, the rest is listed
  5 ended by --timeout   130 interrupted   143 terminated";

/// Empty a node safely and fast.
///
/// Everything that can be checked is checked first: pods without a controller, local data, disruption budgets, room
/// elsewhere, rights. A refused check changes nothing. Then the node is cordoned and its pods are evicted at the same
/// time, as many as their budgets allow. Static pods and those of DaemonSets stay.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-evacuate",
    bin_name = "kubectl evacuate",
    version = upkeep::about::version(env!("CARGO_PKG_VERSION"), env!("UPKEEP_COMMIT")),
    after_help = EXAMPLES,
    args_override_self = true,
    override_usage = "kubectl evacuate NODE... [flags]\n       kubectl evacuate -l SELECTOR [flags]"
)]
#[allow(clippy::struct_excessive_bools)]
pub struct Cli {
    /// Nodes to empty
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<String>,

    /// Label selector of the nodes to empty, instead of names
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,

    /// Only pods with these labels; others stay and are reported, and the node is not marked as drained
    #[arg(long, value_name = "SELECTOR")]
    pub pod_selector: Option<String>,

    /// What is on or off.
    #[command(flatten)]
    pub switches: Switches,

    /// Seconds that each pod gets to stop; negative: the pod's own; 0: at once, without waiting for the kubelet
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(i64::from(i32::MIN)..=i64::from(i32::MAX)))]
    pub grace_period: i64,

    /// Time for all nodes together, after which the run ends and lists what remains; 0 is no limit
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub timeout: Duration,

    /// Do not wait for pods whose deletion timestamp is more than this many seconds in the past; 0 waits
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub skip_wait_for_delete_timeout: i64,

    /// Objects per page of a list; 0 is everything at once
    #[arg(long, value_name = "N", default_value_t = 500, hide_short_help = true)]
    pub chunk_size: u32,

    /// Show what would happen: "client" asks the server nothing but lists, "server" also asks it about each pod
    #[arg(
        long,
        value_name = "none|client|server",
        num_args = 0..=1,
        require_equals = true,
        default_value = "none",
        default_missing_value = "unchanged",
        hide_default_value = true
    )]
    pub dry_run: DryRun,

    /// Pods that a budget holds back: "wait" for ever, "fail" at once, "delete-after=DURATION" without asking it.
    /// Without this flag: wait for a budget that can recover or that an operator manages, refuse one that never can
    #[arg(long, value_name = "POLICY", value_parser = parse_on_blocked, add = ArgValueCandidates::new(policies))]
    pub on_blocked: Option<OnBlocked>,

    /// Let running Jobs finish: their pods are not evicted while they run, all other pods are. With a duration, pods of Jobs
    /// that still run so long after the start are evicted, too; without a value only --timeout limits the wait
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = FOREVER,
        value_parser = parse_wait_jobs
    )]
    pub wait_jobs: Option<WaitJobs>,

    /// Deployments whose budget never allows an eviction run more pods for a while, so that these can go; "force" also
    /// where the budget stays shut even then.
    ///
    /// The Deployment is scaled up (and the limits of its autoscaler raised), until as many new pods are Ready on other
    /// nodes; then it is scaled back so that the pods of this node are the ones that go. It is all taken back when it does
    /// not work, and at Ctrl-C. After a crash the same command goes on, and --uncordon undoes it. Not for strategy Recreate,
    /// maxSurge 0, volumes that one node can use, host ports, KEDA
    #[arg(
        long,
        value_name = "BOOL|force",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        value_parser = parse_surge,
        add = ArgValueCandidates::new(surge_modes)
    )]
    pub surge: Mode,

    /// The machines of silent nodes are off: what runs there according to the API is removed.
    ///
    /// A node whose kubelet is not heard of (Ready is Unknown) may still run its pods; only a person can know that its
    /// machine is off. Then its pods are removed and its volumes detached with the taint node.kubernetes.io/out-of-service,
    /// which is taken off again; budgets are not asked. It is looked directly before whether the kubelet is heard of again.
    /// Without this flag a question is asked on a terminal, and elsewhere the node is refused; "false" goes on without
    /// forcing anything
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        conflicts_with = "pod_selector",
        value_parser = parse_bool,
        add = ArgValueCandidates::new(booleans)
    )]
    pub powered_off: Option<bool>,

    /// Take the node over from this run, whose lock is still fresh: "RUN" is the id that the refusal shows.
    ///
    /// For a run that is surely not at work any more, and for a lock that somebody else has forged. Versions up to 0.1.0, and
    /// runs that may not write Leases, keep the lock in an annotation, which the node itself can write: "annotation" ignores
    /// it, whatever it says. Several ids are separated by commas
    #[arg(long, value_name = "RUN", value_delimiter = ',', value_parser = parse_run)]
    pub take_over: Vec<String>,

    /// "priority": pods of lower priority go first and are gone before the next, system-critical ones last
    #[arg(
        long,
        value_name = "none|priority",
        default_value = "none",
        hide_default_value = true
    )]
    pub order: Order,

    /// After a node is empty, wait this long for the replacements of its pods to be Ready
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub wait_replacements: Option<Duration>,

    /// How many nodes are emptied at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub parallel: u16,

    /// How many evictions are asked for at the same time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256), hide_short_help = true)]
    pub concurrency: u16,

    /// Why, for the people who look at the node: it is written in an annotation, conditions and an Event
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub reason: Option<String>,

    /// Output format
    #[arg(long, short = 'o', value_name = "json|yaml|wide|name")]
    pub output: Option<Format>,

    /// The flags of every kubectl command.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// `--dry-run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Do it.
    None,
    /// Show what would happen.
    Client,
    /// Also ask the server about each pod.
    Server,
    /// `--dry-run` without a value: kubectl takes it for `client`, with a warning.
    #[value(hide = true)]
    Unchanged,
}

/// `--order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// All at once.
    None,
    /// By priority.
    Priority,
}

impl Cli {
    /// Whether silent nodes are off. Who has another way to deal with their pods, drain's own, is not asked.
    pub fn powered_off(&self) -> PoweredOff {
        let other_way = self.grace_period == 0
            || self.skip_wait_for_delete_timeout > 0
            || self.pod_selector.as_ref().is_some_and(|s| !s.is_empty());
        match self.powered_off {
            Some(true) => PoweredOff::Yes,
            None if !other_way => PoweredOff::Ask,
            _ => PoweredOff::No,
        }
    }

    /// Checks what clap cannot, and strips `node/`.
    ///
    /// # Errors
    /// A command line that does not make sense.
    pub fn node_names(&self) -> Result<Vec<String>> {
        let hint = "see 'kubectl evacuate --help' for usage";
        let selects = self.selector.as_ref().is_some_and(|s| !s.trim().is_empty());
        if self.nodes.is_empty() && !selects {
            // An empty selector means every node of the cluster, and comes from an empty variable.
            return Err(Error::usage("name the nodes to empty, or select them with -l SELECTOR").hint(hint));
        }
        if !self.nodes.is_empty() && selects {
            return Err(Error::usage("cannot specify both a node name and a --selector option").hint(hint));
        }
        if self.surge == Mode::On && self.nodes.iter().any(|typed| typed == "force") {
            let error = Error::usage("--surge takes its value after an equals sign: --surge=force");
            return Err(error.hint("a node of that name can be written node/force"));
        }
        if self.wait_jobs == Some(WaitJobs::Forever)
            && let Some(typed) = self.nodes.iter().find(|typed| parse_duration(typed).is_ok())
        {
            let error = Error::usage(format!(
                "--wait-jobs takes its value after an equals sign: --wait-jobs={typed}"
            ));
            return Err(error.hint(format!("a node of that name can be written node/{typed}")));
        }
        let mut names = Vec::<String>::new();
        for typed in &self.nodes {
            let name = match typed.split_once('/') {
                None => typed.as_str(),
                Some(("node" | "nodes" | "no", name)) => name,
                Some((other, _)) => {
                    return Err(Error::usage(format!("expected resource of type node, got {other:?}")).hint(hint));
                }
            };
            if !is_node_name(name) {
                return Err(Error::usage(format!("{typed:?} is not the name of a node")).hint(hint));
            }
            if !names.iter().any(|n| n == name) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(args: &[&str]) -> Cli {
        Cli::try_parse_from(std::iter::once("kubectl-evacuate").chain(args.iter().copied())).unwrap()
    }

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn switches_are_typed_as_in_kubectl() {
        let cli = parse(&[
            "n",
            "--force",
            "--delete-emptydir-data=true",
            "--wait-detach=false",
            "--grace-period",
            "-1",
        ]);
        assert!(cli.switches.force && cli.switches.delete_emptydir_data && !cli.switches.wait_detach);
        assert!(!cli.switches.disable_eviction && cli.switches.ignore_daemonsets);
        assert_eq!(cli.grace_period, -1);
        assert_eq!(cli.nodes, ["n"]);
    }

    #[test]
    fn dry_run_takes_its_value_only_with_an_equals_sign() {
        assert_eq!(parse(&["n", "--dry-run=server"]).dry_run, DryRun::Server);
        assert_eq!(parse(&["--dry-run", "n"]).dry_run, DryRun::Unchanged);
        assert_eq!(parse(&["n"]).dry_run, DryRun::None);
    }

    #[test]
    fn nodes_may_be_written_as_kubectl_prints_them() {
        assert_eq!(parse(&["node/a", "b", "no/a"]).node_names().unwrap(), ["a", "b"]);
        for bad in ["pod/a", "node/", "node/a/b", "..", "a?b", "A", "a b", ""] {
            assert_eq!(
                parse(&[bad]).node_names().unwrap_err().exit(),
                upkeep::Exit::Usage,
                "{bad}"
            );
        }
        assert!(parse(&[]).node_names().is_err());
        assert!(parse(&["-l", " "]).node_names().is_err());
        assert!(parse(&["a", "-l", ""]).node_names().is_ok());
        assert!(parse(&["a", "-l", "x=y"]).node_names().is_err());
        assert!(parse(&["a", "--surge", "force"]).node_names().is_err());
        assert!(parse(&["a", "--surge", "node/force"]).node_names().is_ok());
        assert!(parse(&["a", "--wait-jobs", "1h"]).node_names().is_err());
        assert!(parse(&["a", "--wait-jobs", "node/1h"]).node_names().is_ok());
        assert!(parse(&["a", "1h", "--wait-jobs=1h"]).node_names().is_ok());
    }

    #[test]
    fn what_to_do_with_blocked_pods() {
        assert_eq!(parse_on_blocked("wait").unwrap(), OnBlocked::Wait);
        assert_eq!(
            parse_on_blocked("delete-after=1m30s").unwrap(),
            OnBlocked::DeleteAfter(90_000)
        );
        for bad in ["", "delete-after", "delete-after=x", "waits"] {
            assert!(parse_on_blocked(bad).is_err(), "{bad}");
        }
    }
}
