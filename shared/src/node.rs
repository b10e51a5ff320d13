//! Whether a node may be fenced: tainted as out of service, so that its pods are forced off and its volumes are detached.
//!
//! A kubelet that has stopped reporting is not a machine that is powered off: pods may run there and write to their volumes.
//! Only a person can know, so a person has to confirm it. Where the kubelet is reporting the machine is on, whatever a person
//! has confirmed (KEP-2268, "known to be shut down"). This is the one judgement of that for all plugins: [`doubt`] before
//! anybody is asked, [`doubt_since`] directly before the taint and every [`LOOK_EVERY`] while it stands.

use std::{fmt, time::Duration};

use k8s_openapi::{api::core::v1::Node, jiff::Timestamp};

use crate::ui::human_duration;

/// Where kubelets renew their Leases, one per node.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";
/// For how many seconds a Lease counts as held (`nodeLeaseDurationSeconds` of the kubelet). A kubelet renews it every ten
/// seconds, also while it cannot post the status of its node.
pub const LEASE_HELD: i64 = 40;
/// For how long a Lease that looks old has to stay as it is before its node is tainted: the clock of a node may be behind, and a
/// kubelet renews its Lease every ten seconds.
pub const WATCHED: Duration = Duration::from_secs(11);
/// How often a node that is tainted as out of service is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The taint that says to the cluster that a machine is powered off (KEP-2268).
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The Ready condition of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// The kubelet reports that pods can run.
    True,
    /// The kubelet reports that pods cannot run.
    False,
    /// No report within the grace period of the node controller, or none ever.
    Unknown,
}

impl Ready {
    /// Of the `status` of the condition.
    pub fn of(status: Option<&str>) -> Self {
        match status {
            Some("True") => Self::True,
            Some("False") => Self::False,
            _ => Self::Unknown,
        }
    }

    /// Of a node, with the time of its last change.
    pub fn of_node(node: &Node) -> (Self, Option<Timestamp>) {
        let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
        let ready = conditions.into_iter().flatten().find(|c| c.type_ == "Ready");
        let since = ready.and_then(|c| c.last_transition_time.as_ref()).map(|t| t.0);
        (Self::of(ready.map(|c| c.status.as_str())), since)
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        })
    }
}

/// What is known about the kubelet of one node.
#[derive(Debug, Clone, Copy)]
pub struct Kubelet<'a> {
    /// The Ready condition.
    pub ready: Ready,
    /// `spec.renewTime` of its Lease, in milliseconds since the epoch; nothing where there is no Lease.
    pub renewed: Option<i64>,
    /// Why the Lease could not be read.
    pub unread: Option<&'a str>,
    /// How many of all nodes are [`Ready::Unknown`], where they were counted.
    pub unavailable: Option<(usize, usize)>,
}

/// Why a node must not be fenced, whatever a person has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The kubelet is reporting.
    Reporting(Ready),
    /// The Lease was renewed so many milliseconds ago.
    Renewed(i64),
    /// The Lease has changed since a person has confirmed that the machine is powered off.
    Moved,
    /// The Lease cannot be read, for this reason.
    Unread(String),
    /// So many of all nodes have stopped reporting.
    CutOff(usize, usize),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reporting(ready) => write!(
                f,
                "its kubelet is reporting (Ready is {ready}): the machine is not powered off"
            ),
            Self::Renewed(millis) => {
                let ago = Duration::from_millis(u64::try_from(*millis).unwrap_or(0));
                write!(
                    f,
                    "Ready is Unknown, but its kubelet has renewed its Lease {} ago",
                    human_duration(ago)
                )
            }
            Self::Moved => {
                f.write_str("its kubelet is reporting again (its Lease has changed): the machine is not powered off")
            }
            Self::Unread(why) => write!(f, "whether its kubelet is reporting again cannot be checked: {why}"),
            Self::CutOff(unavailable, all) => f.write_str(&too_many(*unavailable, *all)),
        }
    }
}

/// What speaks against fencing a node that a person says is powered off.
pub fn doubt(kubelet: &Kubelet<'_>, now: Timestamp) -> Option<Doubt> {
    let held = |at: &i64| now.as_millisecond().saturating_sub(*at) < LEASE_HELD * 1_000;
    let renewed = kubelet.renewed.filter(held);
    common(kubelet)
        .or_else(|| renewed.map(|at| Doubt::Renewed(now.as_millisecond().saturating_sub(at))))
        .or_else(|| cut_off(kubelet))
}

/// What speaks against fencing it now, or leaving it fenced: `renewed` is what its Lease said when a person has confirmed that
/// the machine is powered off. A clock that was set back is a sign of life as well, so any other value counts.
pub fn doubt_since(kubelet: &Kubelet<'_>, renewed: Option<i64>) -> Option<Doubt> {
    common(kubelet)
        .or_else(|| (kubelet.renewed != renewed).then_some(Doubt::Moved))
        .or_else(|| cut_off(kubelet))
}

fn common(kubelet: &Kubelet<'_>) -> Option<Doubt> {
    if let Some(why) = kubelet.unread {
        return Some(Doubt::Unread(why.to_owned()));
    }
    (kubelet.ready != Ready::Unknown).then_some(Doubt::Reporting(kubelet.ready))
}

fn cut_off(kubelet: &Kubelet<'_>) -> Option<Doubt> {
    let (unavailable, all) = kubelet.unavailable?;
    is_cut_off(unavailable, all).then_some(Doubt::CutOff(unavailable, all))
}

/// Whether so many nodes have stopped reporting that the control plane may be what is cut off. The node controller stops
/// evicting for the same reason (`--unhealthy-zone-threshold`); to force is worse, so less is enough.
pub fn is_cut_off(unavailable: usize, all: usize) -> bool {
    unavailable.saturating_mul(3) > all
}

/// The words for that.
pub fn too_many(unavailable: usize, all: usize) -> String {
    format!("{unavailable} of {all} nodes have stopped reporting: the control plane may be cut off, and not the nodes")
}

/// How it shows that a kubelet has stopped reporting: `Ready is Unknown for 12m, its Lease was last renewed 13m ago`.
/// `since` is the last transition of Ready.
pub fn evidence(now: Timestamp, since: Option<Timestamp>, renewed: Option<Timestamp>) -> String {
    let ago = |at: Timestamp| {
        let seconds = now.as_second().saturating_sub(at.as_second());
        human_duration(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    };
    let ready = since.map_or_else(
        || "it has never reported".to_owned(),
        |at| format!("Ready is Unknown for {}", ago(at)),
    );
    let lease = renewed.map_or_else(
        || "it has no Lease".to_owned(),
        |at| format!("its Lease was last renewed {} ago", ago(at)),
    );
    format!("{ready}, {lease}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_000_000, 0);

    fn kubelet(ready: Ready, seconds_ago: Option<i64>, unavailable: (usize, usize)) -> Kubelet<'static> {
        Kubelet {
            ready,
            renewed: seconds_ago.map(|ago| NOW.as_millisecond() - ago * 1_000),
            unread: None,
            unavailable: Some(unavailable),
        }
    }

    #[test]
    fn only_a_kubelet_that_has_stopped_reporting_leaves_no_doubt() {
        for (ready, ago, unavailable, wanted) in [
            (Ready::Unknown, Some(41), (1, 3), None),
            (Ready::Unknown, None, (1, 3), None),
            (Ready::Unknown, Some(39), (1, 3), Some(Doubt::Renewed(39_000))),
            // A node whose clock is ahead.
            (Ready::Unknown, Some(-5), (1, 3), Some(Doubt::Renewed(-5_000))),
            (Ready::True, Some(400), (1, 3), Some(Doubt::Reporting(Ready::True))),
            (Ready::False, None, (1, 3), Some(Doubt::Reporting(Ready::False))),
            (Ready::Unknown, Some(41), (2, 5), Some(Doubt::CutOff(2, 5))),
            (Ready::Unknown, Some(41), (1, 1), Some(Doubt::CutOff(1, 1))),
            // What is not off needs no other reason.
            (Ready::True, Some(1), (2, 2), Some(Doubt::Reporting(Ready::True))),
        ] {
            assert_eq!(doubt(&kubelet(ready, ago, unavailable), NOW), wanted, "{ready} {ago:?}");
        }
        let blind = Kubelet {
            unread: Some("forbidden"),
            ..kubelet(Ready::Unknown, None, (1, 9))
        };
        assert_eq!(doubt(&blind, NOW), Some(Doubt::Unread("forbidden".into())));
        assert_eq!(doubt_since(&blind, None), Some(Doubt::Unread("forbidden".into())));
    }

    #[test]
    fn whatever_the_lease_says_it_must_not_change() {
        let still = kubelet(Ready::Unknown, Some(100), (1, 9));
        assert_eq!(doubt_since(&still, still.renewed), None);
        // Renewed with a clock that is far behind: old, and alive.
        let slow = kubelet(Ready::Unknown, Some(90), (1, 9));
        assert_eq!(doubt_since(&slow, still.renewed), Some(Doubt::Moved));
        assert_eq!(
            doubt_since(&kubelet(Ready::Unknown, None, (1, 9)), still.renewed),
            Some(Doubt::Moved)
        );
        assert_eq!(doubt_since(&still, None), Some(Doubt::Moved));
        let back = kubelet(Ready::True, Some(100), (0, 9));
        assert_eq!(doubt_since(&back, back.renewed), Some(Doubt::Reporting(Ready::True)));
        // Nodes are only counted before something is forced.
        let more = kubelet(Ready::Unknown, Some(100), (4, 9));
        assert_eq!(doubt_since(&more, more.renewed), Some(Doubt::CutOff(4, 9)));
        let uncounted = Kubelet {
            unavailable: None,
            ..more
        };
        assert_eq!(doubt_since(&uncounted, more.renewed), None);
    }

    #[test]
    fn more_than_a_third() {
        assert!(!is_cut_off(0, 0) && !is_cut_off(1, 3) && !is_cut_off(2, 6));
        assert!(is_cut_off(1, 2) && is_cut_off(2, 5));
    }
}
