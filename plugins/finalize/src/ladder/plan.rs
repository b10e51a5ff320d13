//! A plan in a file: what one person has seen and another may apply. It is bound to the UIDs of the objects and to the values
//! that the changes test, not to resourceVersions: the namespace controller rewrites the status at each of its tries.

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
    /// Whether finalizers go although their controller lives. Where this was not said, one that is back by then keeps its own.
    pub even_if_alive: bool,
    /// What may be done, the gentlest first. Each is only done when the ones before could not help.
    pub steps: Vec<Step>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it is for.
    pub cause: String,
    /// What it does, in words.
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
        even_if_alive: cap.even_if_alive,
        steps,
    }
}
