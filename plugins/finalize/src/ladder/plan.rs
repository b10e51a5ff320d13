//! A plan in a file: what one person has seen and another may apply. It is bound to the UIDs of the objects and to the values
//! that the changes test, not to resourceVersions: the namespace controller rewrites the status at each of its tries.
//!
//! Anybody may have written the file. So it only ever narrows what a run may do: a change is made when the run's own diagnosis
//! offers it, the run's own flags allow it, and the file names it.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cap, History, Mend, open};
use crate::{diagnose::Diagnosis, facts::Key};

/// How the file says what it is.
pub const KIND: &str = "FinalizePlan";

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`KIND`].
    pub kind: String,
    /// 1.
    pub version: u8,
    /// What will not go away.
    pub target: Key,
    /// Its UID.
    pub uid: String,
    /// What may be done, the gentlest first. Each is only done when the ones before could not help, and when the flags of the
    /// run that applies it allow it.
    pub steps: Vec<Step>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it is for. For those who read the file: who applies it is shown the words of a diagnosis of its own.
    pub cause: String,
    /// What it does, in words, for the same.
    pub what: String,
    /// What it does.
    pub change: Mend,
}

/// Everything that may be done about what holds the target now.
pub fn plan(diagnosis: &Diagnosis, target: &Key, uid: &str, cap: &Cap) -> Plan {
    let mut steps = Vec::<Step>::new();
    for (cause, remedy) in open(diagnosis, &History::new(), cap, Timestamp::now()) {
        // One change may help against several causes.
        let known = steps.iter().any(|step| Some(&step.change) == remedy.mend.as_ref());
        if let Some(mend) = remedy.mend.clone().filter(|_| !known) {
            steps.push(Step {
                cause: cause.says.clone(),
                what: remedy.text.clone(),
                change: mend,
            });
        }
    }
    Plan {
        kind: KIND.into(),
        version: 1,
        target: target.clone(),
        uid: uid.to_owned(),
        steps,
    }
}
