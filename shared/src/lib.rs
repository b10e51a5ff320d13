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

use std::future::Future;
use std::process::ExitCode;

pub use error::{Error, Exit, Result};

/// Runs the work of a plugin to its end on one thread and turns the outcome into an exit code, see [`finish`].
///
/// Threads that still wait for something (a name that is looked up, an answer from the user) are left behind: they must not
/// hold up the end of a run that was interrupted.
pub fn run(ui: &ui::Ui, work: impl Future<Output = Result<Exit>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(ui, Err(Error::failed("cannot start").caused_by(error))),
    };
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    finish(ui, result)
}

/// The last thing `main` does: prints an error, if there is one, and turns the outcome into an exit code.
///
/// When the reader of stdout went away (`| head`), nothing more is printed and the code is 0, as for any Unix filter.
pub fn finish(ui: &ui::Ui, result: Result<Exit>) -> ExitCode {
    if ui.stdout_is_gone() {
        return Exit::Done.into();
    }
    if let (Ok(Exit::Done), Some(error)) = (&result, ui.stdout_error()) {
        ui.error(&error);
        return error.exit().into();
    }
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            ui.error(&error);
            error.exit().into()
        }
    }
}
