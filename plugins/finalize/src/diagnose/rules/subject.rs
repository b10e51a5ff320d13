//! What causes are called: the same from one look to the next.

use upkeep::discovery::Kind;

use super::super::{CauseKey, desk::Desk};
use crate::facts::{Object, Said};

/// The key of a finalizer's cause.
pub fn key(desk: &Desk<'_>, kind: &Kind, object: &Object, name: &str) -> CauseKey {
    CauseKey {
        id: "finalizer",
        subject: desk.reference(kind, object),
        detail: name.to_owned(),
    }
}

/// Whether the cause lies elsewhere, or is not known yet; or what keeps that from being found out.
pub type LedOn<'a> = Result<bool, &'a Said>;
