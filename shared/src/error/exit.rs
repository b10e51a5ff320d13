//! The exit codes of all plugins.

use std::process::ExitCode;

/// How a run ended. The numbers are the same in every plugin and are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done; healthy; nothing found; a dry run that would proceed.
    Done = 0,
    /// Failed; unhealthy; findings.
    Failed = 1,
    /// The command line does not make sense. clap's own code for it.
    Usage = 2,
    /// Refused by a safety rule or by the user's N; nothing was changed.
    Refused = 3,
    /// Ended, but not everything could be done; the rest is listed.
    Incomplete = 4,
    /// Ended by the deadline, even when partly done.
    Deadline = 5,
    /// SIGINT: 128 + 2.
    Interrupted = 130,
    /// SIGTERM or SIGHUP, with the same undo as for SIGINT: 128 + 15.
    Terminated = 143,
}

impl Exit {
    /// The number that the calling shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
