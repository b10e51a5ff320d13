//! `kubectl finalize`: says why an object will not go away, and mends it with the least force.

mod act;
mod cli;
mod diagnose;
mod facts;
mod follow;
mod gather;
mod input;
mod knowledge;
mod ladder;
mod look;
mod orphans;
mod render;
mod restore;
mod run;
mod scan;
mod wait;

use std::process::ExitCode;

use clap::CommandFactory as _;

fn main() -> ExitCode {
    if let Some(code) = upkeep::complete::intercept(cli::Cli::command()) {
        return code;
    }
    let cli: cli::Cli = upkeep::args::parse();
    let ui = upkeep::ui::Ui::from_env();
    upkeep::run(&ui, run::run(&cli, &ui))
}
