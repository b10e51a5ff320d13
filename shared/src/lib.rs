//! What the kubectl-upkeep plugins stand on: the configuration flags of kubectl, a client without kube-rs' traps,
//! errors with a cause and a hint, the one printer, and the shared vocabulary.

pub mod args;
pub mod client;
pub mod complete;
pub mod error;
pub mod lock;
pub mod output;
pub mod report;
pub mod ui;

use std::process::ExitCode;

pub use error::{Error, Exit, Result};

/// The last thing `main` does: prints an error, if there is one, and turns the outcome into an exit code.
///
/// When the reader of stdout went away (`| head`), nothing more is printed and the code is 0, as for any Unix filter.
pub fn finish(ui: &ui::Ui, result: Result<Exit>) -> ExitCode {
    if ui.stdout_is_gone() {
        return Exit::Done.into();
    }
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            ui.error(&error);
            error.exit().into()
        }
    }
}
