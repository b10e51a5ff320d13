//! What is on or off.

use clap::ArgAction;
use upkeep::args::parse_bool;

/// On or off; `--flag` and `--flag=true|false` as kubectl takes them.
#[derive(clap::Args, Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Switches {
    /// Also strip finalizers whose controller is alive
    #[arg(long, value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub even_if_alive: bool,

    /// orphans: get rid of them, by way of a namespace that is made anew and deleted
    #[arg(long, value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub clean: bool,

    /// Ask nothing: answer yes to every question, up to --force-up-to
    #[arg(long, short = 'y', value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub yes: bool,

    /// Change nothing, and say what is new until it is gone
    #[arg(long, short = 'w', conflicts_with_all = ["force_up_to", "dry_run"], value_parser = parse_bool, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", hide_default_value = true, value_name = "BOOL", action = ArgAction::Set)]
    pub watch: bool,
}
