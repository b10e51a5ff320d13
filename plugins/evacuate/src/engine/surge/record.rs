//! What a surge writes on the objects that it changes: enough for another run to go on, or to undo it.
//!
//! Each of these stands in the same patch as the change that it is about. The Deployment controller copies annotations of
//! a Deployment to its ReplicaSet and never removes them there, and `rollout undo` copies them back: a record alone proves
//! nothing, so one of another run is believed only while pods are marked by that run. Whoever may write the object may write
//! anything there, so what this program would never write is taken for unreadable.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use upkeep::lock::is_run_id;

use crate::facts::{Uid, is_node_name};

/// On a Deployment: a [`Record`]. On a HorizontalPodAutoscaler: a [`Raised`].
pub const SURGE: &str = "kubectl-upkeep/surge";
/// On a pod: a [`Mark`].
pub const MARK: &str = "kubectl-upkeep/surge-mark";
/// Which pods a ReplicaSet deletes first among those that are equal otherwise (KEP-2255).
pub const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The lowest cost that the API server accepts: deleted before all others.
pub const LOWEST: &str = "-2147483648";
/// The highest: deleted after all others.
pub const HIGHEST: &str = "2147483647";

/// How far a surge has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// More pods are being started.
    Out,
    /// The new pods are Ready; the Deployment goes back to its own number, and the marked pods with it.
    Back,
    /// It did not work: the Deployment goes back to its own number, and the new pods with it.
    Undo,
}

/// A surge, on its Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The run that does it.
    pub run: String,
    /// How far it has come.
    pub stage: Stage,
    /// `spec.replicas` as it was.
    pub replicas: i32,
    /// `spec.replicas` for the time of the surge.
    pub target: i32,
    /// The pods that are to go.
    pub pods: BTreeSet<Uid>,
    /// The nodes that are emptied.
    pub nodes: BTreeSet<String>,
}

/// A pod that is to go first, on that pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The run that has marked it.
    pub run: String,
    /// The cost that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// An autoscaler whose limits are raised for the time of a surge, on that autoscaler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Raised {
    /// The run that has raised them.
    pub run: String,
    /// `spec.minReplicas` as it was.
    pub min: i32,
    /// `spec.maxReplicas` as it was.
    pub max: i32,
    /// `spec.minReplicas` as it was set.
    pub raised_min: i32,
    /// `spec.maxReplicas` as it was set.
    pub raised_max: i32,
}

/// What one of these annotations holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Written<T> {
    /// It is not there.
    #[default]
    Nothing,
    /// It is there and means something else than this program writes.
    Unreadable,
    /// It is there.
    This(T),
}

/// Whether something that can be read is something that this program writes.
pub trait Sane {
    /// Its values are possible.
    fn is_sane(&self) -> bool;
}

/// The most pods and nodes that one surge is about.
const MOST: usize = 10_000;

impl Sane for Record {
    fn is_sane(&self) -> bool {
        let more = i64::from(self.target) - i64::from(self.replicas);
        is_run_id(&self.run)
            && self.replicas >= 0
            && usize::try_from(more).is_ok_and(|more| more <= MOST)
            && self.pods.len() <= MOST
            && (1..=MOST).contains(&self.nodes.len())
            && self.nodes.iter().all(|node| is_node_name(node))
    }
}

impl Sane for Mark {
    fn is_sane(&self) -> bool {
        // The API server takes only numbers of 32 bits as a cost.
        let cost = self.previous.as_ref().is_none_or(|cost| cost.parse::<i32>().is_ok());
        is_run_id(&self.run) && cost
    }
}

impl Sane for Raised {
    fn is_sane(&self) -> bool {
        let limits = |min: i32, max: i32| (0..=max).contains(&min);
        is_run_id(&self.run) && limits(self.min, self.max) && limits(self.raised_min, self.raised_max)
    }
}

impl<T: DeserializeOwned + Sane> Written<T> {
    /// Reads one annotation.
    pub fn read(annotations: Option<&BTreeMap<String, String>>, key: &str) -> Self {
        match annotations
            .and_then(|a| a.get(key))
            .map(|text| serde_json::from_str::<T>(text))
        {
            None => Self::Nothing,
            Some(Ok(this)) if this.is_sane() => Self::This(this),
            Some(_) => Self::Unreadable,
        }
    }
}

impl<T> Written<T> {
    /// What it says, where it can be read.
    pub fn this(&self) -> Option<&T> {
        match self {
            Self::This(this) => Some(this),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: DeserializeOwned + Sane>(value: &Value) -> Written<T> {
        Written::read(Some(&BTreeMap::from([("key".into(), value.to_string())])), "key")
    }

    fn changed(whole: &Value, field: &str, value: Value) -> Value {
        let mut changed = whole.clone();
        changed[field] = value;
        changed
    }

    #[test]
    fn r47_what_this_program_would_never_write_is_not_read() {
        let whole =
            json!({"run": "3f00aa", "stage": "out", "replicas": 1, "target": 2, "pods": ["u"], "nodes": ["node-1"]});
        assert!(matches!(read::<Record>(&whole), Written::This(_)));
        let forged = [
            ("replicas", json!(-1)),
            ("replicas", json!(3)),
            ("replicas", json!(4_000_000_000_u32)),
            ("target", json!(i32::MAX)),
            ("target", json!(-5)),
            ("run", json!("")),
            ("run", json!("a\nb")),
            ("run", json!(7)),
            ("stage", json!("gone")),
            ("nodes", json!([])),
            ("nodes", json!(["../secrets"])),
            ("nodes", json!(["Node"])),
            ("pods", json!("u")),
        ];
        for (field, value) in forged {
            let text = value.to_string();
            assert_eq!(
                read::<Record>(&changed(&whole, field, value)),
                Written::Unreadable,
                "{field}: {text}"
            );
        }
        let mark = json!({"run": "3f", "previous": "-7"});
        assert!(matches!(read::<Mark>(&mark), Written::This(_)));
        assert_eq!(
            read::<Mark>(&changed(&mark, "previous", json!("much"))),
            Written::Unreadable
        );
        let raised = json!({"run": "3f", "min": 1, "max": 2, "raisedMin": 2, "raisedMax": 3});
        assert!(matches!(read::<Raised>(&raised), Written::This(_)));
        assert_eq!(read::<Raised>(&changed(&raised, "min", json!(-1))), Written::Unreadable);
        assert_eq!(read::<Raised>(&changed(&raised, "max", json!(0))), Written::Unreadable);
    }
}
