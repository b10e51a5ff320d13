//! What is on or off.

use clap::ArgAction;
use upkeep::args::parse_bool;

/// On or off; `--flag` and `--flag=true|false` as kubectl takes them.
#[derive(clap::Args, Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Switches {
    /// Also evict pods that nothing re-creates: without a controller, of a DaemonSet that no longer exists, or whose Job fails
    /// without them. They, or their Job, are saved first
    #[arg(long, value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub force: bool,

    /// Also move pods that use emptyDir volumes; their data are lost
    #[arg(long, value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub delete_emptydir_data: bool,

    /// Accepted for the sake of scripts: pods of DaemonSets are always left alone
    #[arg(long, value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub ignore_daemonsets: bool,

    /// Delete instead of evict: no budget is asked
    #[arg(long, value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub disable_eviction: bool,

    /// After a node is empty, wait until the volumes of its pods are detached; on unless --wait-detach=false
    #[arg(long, value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub wait_detach: bool,

    /// Uncordon what this run has cordoned when it ends without having emptied it
    #[arg(long, value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub uncordon_on_abort: bool,

    /// Also take the node out of external load balancers, by their label
    #[arg(long, value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub exclude_lb: bool,

    /// Then remove the node from the cluster: its Node object is deleted once it is empty. Asks before. Refused where
    /// something would be stranded: attached or local volumes, the last control plane, a member of etcd
    #[arg(long, conflicts_with = "pod_selector", value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub delete: bool,

    /// Bring nodes back instead: undo what an evacuation did to them, in whole
    #[arg(long, conflicts_with_all = ["reason", "exclude_lb", "on_blocked", "order", "wait_replacements", "uncordon_on_abort",
        "powered_off", "delete", "surge", "force", "delete_emptydir_data", "disable_eviction", "grace_period", "pod_selector",
        "skip_wait_for_delete_timeout", "wait_jobs"],
        value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub uncordon: bool,

    /// Answer yes to every question but whether a machine is off
    #[arg(long, short = 'y', value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub yes: bool,
}
