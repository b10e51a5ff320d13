//! Objects that wait for each other in a circle: owners of each other that are all deleted in the foreground, or one that owns
//! itself. The garbage collector opens a circle only when it comes across a member that nobody has asked to delete in the
//! foreground yet (`attemptToDeleteItem`: "unblocking the ownerReferences"); one in which all are waits for ever.
//!
//! The least step that opens it is the garbage collector's own: `blockOwnerDeletion` of one ownerReference is set to false. No
//! object and no finalizer is removed by that, and the garbage collector does the rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use upkeep::report::ObjRef;

use super::{
    super::{Actor, Cause, CauseKey, Found, Life, Link, desk::Desk},
    liveness::by_lease,
};
use crate::{
    facts::Key,
    knowledge::{Field, Risk},
    ladder::{Mend, Remedy, Rung},
};

/// The `id` of a circle.
const CIRCLE: &str = "owner-circle";
/// How many members are named.
const SHOWN: usize = 5;
/// The finalizer of a foreground deletion.
const FOREGROUND: &str = "foregroundDeletion";

/// Names each circle, and leads what waits within it on to it.
pub fn circles(desk: &Desk<'_>, found: &mut Found) {
    if found.links.is_empty() {
        return;
    }
    let keys: Vec<CauseKey> = found.causes.keys().cloned().collect();
    let at: BTreeMap<&CauseKey, usize> = keys.iter().zip(0..).collect();
    let edges: Vec<Vec<usize>> = found
        .causes
        .values()
        .map(|cause| cause.behind.iter().filter_map(|key| at.get(key).copied()).collect())
        .collect();
    let parts = strong(&edges);
    if parts.is_empty() {
        return;
    }
    let Some((life, evidence)) = by_lease(desk, "kube-system", "kube-controller-manager") else {
        return;
    };
    let collector = Actor {
        who: "garbage collector in kube-controller-manager".into(),
        life,
        evidence,
        workload: None,
    };
    let mut of_target = found.links.iter().filter(|link| &link.owner_key == desk.target());
    let target = of_target.next().map(|link| link.owner.clone());
    for part in parts {
        let members: BTreeSet<&CauseKey> = part.iter().filter_map(|index| keys.get(*index)).collect();
        // The target leaves first, where it is one of them.
        let target = target.as_ref().and_then(|key| at.get(key)).copied();
        let target = target.filter(|index| part.binary_search(index).is_ok());
        let start = target.or(part.first().copied()).unwrap_or_default();
        let way: Vec<&CauseKey> = shortest(&edges, &part, start)
            .iter()
            .filter_map(|i| keys.get(*i))
            .collect();
        let circle = circle(desk, found, &members, &way, &collector);
        for member in &members {
            if let Some(cause) = found.causes.get_mut(*member) {
                // What else it waits for has to leave, too.
                cause.behind.retain(|key| !members.contains(key));
                cause.behind.push(circle.key.clone());
            }
        }
        found.cause(circle);
    }
}

/// The cause: what is in the circle, and the least that opens it.
fn circle(
    desk: &Desk<'_>,
    found: &Found,
    members: &BTreeSet<&CauseKey>,
    way: &[&CauseKey],
    collector: &Actor,
) -> Cause {
    let mut objects: Vec<ObjRef> = members.iter().map(|key| key.subject.clone()).collect();
    objects.sort();
    objects.dedup();
    let mut names: Vec<String> = way.iter().map(|key| key.subject.to_string()).collect();
    names.dedup();
    let next = way.iter().skip(1).chain(way.first());
    let links = way.iter().zip(next).map(|(owner, dependent)| {
        let mut links = found.links.iter();
        links.find(|link| link.owner == **owner && link.dependent == dependent.subject)
    });
    let links: Vec<Option<&Link>> = links.collect();
    let says = match names.as_slice() {
        [only] => format!("{only} is deleted in the foreground and owns itself: it waits for its own deletion"),
        _ => {
            let count = names.len();
            let how = match links.iter().all(Option::is_some) {
                true => "own each other in a circle, and each waits for the next to be deleted",
                false => "wait for each other in a circle",
            };
            let first = names.first().cloned();
            if count > SHOWN {
                names.truncate(SHOWN);
                names.push(format!("{} more", count - SHOWN));
            }
            names.extend(first);
            format!("{count} objects {how}: {}", names.join(" -> "))
        }
    };
    let more = objects.len().saturating_sub(way.len());
    let evidence = (more > 0).then(|| format!("{more} more objects wait for each other with these"));
    // The first owner on the way round that waits for a dependent, not for something else.
    let link = links.iter().find_map(|link| *link);
    let remedies = link
        .map(|link| remedies(desk, link, collector.life))
        .unwrap_or_default();
    Cause {
        key: CauseKey {
            id: CIRCLE,
            subject: objects.first().cloned().unwrap_or_else(|| desk.target_reference()),
            detail: String::new(),
        },
        says,
        evidence: evidence.into_iter().collect(),
        // One that runs does not open it, so there is nothing to wait for.
        actor: (collector.life != Life::Alive).then(|| collector.clone()),
        holds: objects,
        behind: Vec::new(),
        remedies,
    }
}

fn remedies(desk: &Desk<'_>, link: &Link, life: Life) -> Vec<Remedy> {
    if life != Life::Dead {
        let mend = Mend::Unblock {
            key: link.key.clone(),
            uid: link.dependent.uid.clone(),
            owner: link.owner_uid.clone(),
        };
        let text = format!(
            "set blockOwnerDeletion to false in the ownerReference of {} to {}, so that the garbage collector can go on",
            link.dependent, link.owner.subject
        );
        return vec![Remedy {
            overdue: link.overdue,
            ..Remedy::mend(Rung::Narrow, text, mend)
        }];
    }
    // Nobody acts on an open circle either.
    let start = "start kube-controller-manager: its garbage collector deletes the objects once the circle is open";
    let entry = desk.knowledge.of(FOREGROUND, None, Field::Metadata);
    let lost = entry.map_or(String::new(), |entry| format!("; {}", entry.stripped));
    let mend = Mend::Strip {
        key: link.owner_key.clone(),
        uid: link.owner_uid.clone(),
        finalizer: FOREGROUND.to_owned(),
        status: false,
    };
    let text = format!("remove the finalizer {FOREGROUND} of {}{lost}", link.owner.subject);
    vec![
        Remedy::by_hand(Rung::Repair, start),
        Remedy {
            risk: Some(entry.map_or(Risk::Orphans, |entry| entry.risk)),
            overdue: link.overdue,
            ..Remedy::mend(Rung::Strip, text, mend)
        },
    ]
}

/// The strongly connected components with a circle in them (Tarjan, with a stack of its own: circles may be as long as lists
/// are). Each node is in at most one of them.
fn strong(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let count = edges.len();
    let (mut index, mut low) = (vec![NEW; count], vec![NEW; count]);
    let (mut open, mut on_stack) = (Vec::new(), vec![false; count]);
    let mut parts = Vec::new();
    let mut next = 0;
    for root in 0..count {
        if index[root] != NEW {
            continue;
        }
        // A node, and how many of its edges were followed.
        let mut path = vec![(root, 0)];
        while let Some((node, followed)) = path.pop() {
            if followed == 0 {
                (index[node], low[node]) = (next, next);
                next += 1;
                open.push(node);
                on_stack[node] = true;
            }
            if let Some(&to) = edges[node].get(followed) {
                path.push((node, followed + 1));
                if index[to] == NEW {
                    path.push((to, 0));
                } else if on_stack[to] {
                    low[node] = low[node].min(index[to]);
                }
                continue;
            }
            if let Some(&(parent, _)) = path.last() {
                low[parent] = low[parent].min(low[node]);
            }
            if low[node] == index[node] {
                let from = open.iter().rposition(|other| *other == node).unwrap_or_default();
                let mut part = open.split_off(from);
                part.iter().for_each(|member| on_stack[*member] = false);
                part.sort_unstable();
                if part.len() > 1 || edges[node].contains(&node) {
                    parts.push(part);
                }
            }
        }
    }
    parts
}

/// The shortest way from a node back to itself within its component.
fn shortest(edges: &[Vec<usize>], part: &[usize], start: usize) -> Vec<usize> {
    let mut came_from = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &to in edges[node].iter().filter(|to| part.binary_search(to).is_ok()) {
            if to == start {
                let mut way = vec![node];
                while let Some(&before) = way
                    .last()
                    .filter(|last| **last != start)
                    .and_then(|last| came_from.get(last))
                {
                    way.push(before);
                }
                way.reverse();
                return way;
            }
            came_from.entry(to).or_insert_with(|| {
                queue.push_back(to);
                node
            });
        }
    }
    part.to_vec()
}

/// Where the target is not read yet.
impl Desk<'_> {
    fn target_reference(&self) -> ObjRef {
        let Key { namespace, name, .. } = self.target();
        ObjRef {
            kind: self.target().one(),
            namespace: namespace.clone(),
            name: name.clone(),
            uid: String::new(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn components_with_a_circle() {
        type Lists<'a> = &'a [&'a [usize]];
        let cases: [(Lists<'_>, Lists<'_>); 6] = [
            (&[], &[]),
            (&[&[]], &[]),
            (&[&[0]], &[&[0]]),
            (&[&[1], &[2], &[0]], &[&[0, 1, 2]]),
            (&[&[1], &[0, 2], &[3], &[2], &[4]], &[&[2, 3], &[0, 1], &[4]]),
            (&[&[1], &[2], &[]], &[]),
        ];
        for (edges, wanted) in cases {
            let edges: Vec<Vec<usize>> = edges.iter().map(|to| to.to_vec()).collect();
            assert_eq!(strong(&edges), wanted, "{edges:?}");
        }
    }

    #[test]
    fn the_shortest_way_round() {
        let edges = [vec![1, 2], vec![2], vec![3, 0], vec![0]];
        assert_eq!(shortest(&edges, &[0, 1, 2, 3], 0), [0, 2]);
        assert_eq!(shortest(&edges, &[0, 1, 2, 3], 1), [1, 2, 0]);
        assert_eq!(shortest(&[vec![0]], &[0], 0), [0]);
    }

    /// As long as a list can be.
    #[test]
    fn a_circle_of_a_hundred_thousand() {
        let count = 100_000;
        let edges: Vec<Vec<usize>> = (0..count).map(|node| vec![(node + 1) % count]).collect();
        let parts = strong(&edges);
        assert_eq!((parts.len(), parts[0].len()), (1, count));
        assert_eq!(shortest(&edges, &parts[0], 0).len(), count);
    }
}
