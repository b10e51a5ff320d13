//! The command line of a run, and what its changes are called.

use clap::Parser as _;
use upkeep::Exit;

use super::world::{Orders, PODS, World};
use crate::{cli::Cli, ladder::Mend, render};

impl World {
    /// The command line that says what was allowed.
    pub fn cli(&self) -> Cli {
        let flags = &self.flags;
        let mut words = vec!["kubectl-finalize".to_owned(), "ns".into(), "shop".into()];
        if let Some(rung) = flags.rung {
            words.push(format!("--force-up-to={}", render::diagnosis::word(rung)));
        }
        words.push(format!("--even-if-alive={}", flags.even_if_alive));
        words.push(format!("--dry-run={}", flags.dry_run));
        words.push(format!("--yes={}", flags.planned && flags.terminal.is_none()));
        let pods = self
            .things
            .values()
            .any(|thing| thing.kind == PODS && thing.deleted.is_some());
        if flags.powered_off && pods {
            words.push("--powered-off=n1".into());
        }
        // A name that has no effect is refused, which is for few runs.
        let unseen = self.orders != Orders::Readable || self.dark.is_some() || self.noise.is_some();
        if flags.leave_behind && unseen {
            let orders = self.orders != Orders::Readable || self.dark.is_none();
            words.extend(orders.then(|| "--leave-behind=orders.shop.example.com".to_owned()));
            words.extend(self.dark.map(|_| "--leave-behind=metrics.example.com".to_owned()));
        }
        Cli::try_parse_from(words).unwrap()
    }
}

/// What a change is called.
pub fn word(mend: &Mend) -> &'static str {
    match mend {
        Mend::ScaleUp { .. } => "scale up",
        Mend::OutOfService { .. } => "out of service",
        Mend::Serve { .. } => "serve",
        Mend::Exclude { .. } => "exclude",
        Mend::Unconvert { .. } => "unconvert",
        Mend::Abandon { .. } => "abandon",
        Mend::Evict { .. } => "evict",
        Mend::DeleteStored { .. } => "delete stored",
        Mend::DeleteAgain { .. } => "delete again",
        Mend::Unblock { .. } => "unblock",
        Mend::Strip { status: true, .. } => "strip through the status",
        Mend::Strip { .. } => "strip",
        Mend::Finalize { .. } => "finalize",
    }
}

/// What an exit is called.
pub fn exit_word(exit: Exit) -> &'static str {
    match exit {
        Exit::Done => "exit 0",
        Exit::Refused => "exit 3",
        Exit::Incomplete => "exit 4",
        Exit::Deadline => "exit 5",
        Exit::Failed | Exit::Usage | Exit::Interrupted | Exit::Terminated => "another exit",
    }
}
