//! `kubectl evacuate`: empties nodes safely and fast.

mod after;
mod cli;
mod confirm;
mod drive;
mod dry_run;
mod engine;
mod facts;
mod gather;
mod leftovers;
mod preflight;
mod render;
mod run;
mod uncordon;

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
