//! What a sub-machine does after a look: surges and fences take the same way.

use super::event::At;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<Act, End> {
    /// This request, and then another look.
    Do(Act),
    /// Nothing until something changes, or this time has come.
    Wait(At),
    /// It is over.
    Over(End),
}
