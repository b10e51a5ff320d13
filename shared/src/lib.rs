//! What the kubectl-upkeep plugins stand on: the configuration flags of kubectl, a client without kube-rs' traps,
//! errors with a cause and a hint, the one printer, and the shared vocabulary.

pub mod about;
pub mod args;
pub mod backup;
pub mod client;
pub mod complete;
pub mod discovery;
pub mod error;
pub mod lock;
pub mod manual;
pub mod node;
pub mod output;
pub mod report;
pub mod signals;
pub mod ui;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

pub use error::{Error, Exit, Result};

/// How long a run that was told to end waits for a terminal that takes nothing.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs the work of a plugin to its end on one thread, prints an error if there is one, and turns the outcome into an exit
/// code. All of `main`.
///
/// When the reader of stdout went away (`| head`), nothing more is printed and the code is 0, as for any Unix filter. Threads
/// that still wait for something (a name that is looked up, an answer from the user) are left behind: they must not hold up
/// the end of a run that was interrupted.
pub fn run(ui: &ui::Ui, work: impl Future<Output = Result<Exit>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let code = finish(ui, Err(Error::failed("cannot start").caused_by(error)));
            ui.flush();
            return code;
        }
    };
    let code = runtime.block_on(async {
        let result = work.await;
        let told_to_end = matches!(result, Ok(Exit::Interrupted | Exit::Terminated));
        // Only then it is known whether stdout took everything.
        let all = printed(ui, told_to_end).await;
        let code = finish(ui, result);
        printed(ui, told_to_end || !all).await;
        code
    });
    runtime.shutdown_background();
    code
}

/// Waits until everything is printed; a terminal that was stopped keeps the program until a signal comes. False if it was
/// not waited for.
async fn printed(ui: &ui::Ui, told_to_end: bool) -> bool {
    let mut signals = signals::Signals::new();
    tokio::select! {
        biased;
        () = ui.printed() => true,
        _ = signals.next() => false,
        () = tokio::time::sleep(LAST_WORDS), if told_to_end => false,
    }
}

fn finish(ui: &ui::Ui, result: Result<Exit>) -> ExitCode {
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
