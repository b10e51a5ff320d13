//! Whether the pods that go would find a place again: the filters of the scheduler, replayed on what was read.
//!
//! Three answers are kept apart. *Fits* comes from placing all pods of the run one after another (first fit, largest
//! first), so that no room is promised twice. *Proven impossible* is said only where no node passes even without the
//! other planned pods, without Terminating pods and without pods that the new one could preempt; whatever is doubtful
//! counts as passing. Everything between the two is *tight*. Preemption and scoring are not simulated, and neither are
//! nodes that an autoscaler would add.
//!
//! The order of the parts: `scene` is what a scheduler would find, `kinds` puts identical pods together,
//! `affinity`, `volumes`, `spread` and `neighbours` judge a node whatever else happens, `fit` judges its room.

mod affinity;
mod fit;
mod kinds;
mod neighbours;
mod scene;
mod spread;
#[cfg(test)]
mod tests;
mod volumes;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use upkeep::report::Seen;

pub use self::{
    affinity::selects,
    words::{Fit, Reasons},
};
use self::{
    fit::Room,
    kinds::Kind,
    neighbours::{Crowd, Guards, Walls},
    scene::Scene,
    spread::Spread,
    volumes::Bound,
    words::{Tally, Why, Word},
};
use super::owners;
use crate::facts::{Facts, Node, Pod, Uid};

/// Finds places for all pods that are planned to go. Those that surge stay until their successors are Ready.
pub fn place(facts: &Facts, planned: &[&Pod], surging: &BTreeSet<Uid>) -> BTreeMap<Uid, Fit> {
    let mut fits = BTreeMap::new();
    let mut asked = Vec::new();
    for pod in planned {
        match without_looking(facts, pod) {
            Some(fit) => drop(fits.insert(pod.uid.clone(), fit)),
            None => asked.push(*pod),
        }
    }
    let Seen::Known(nodes) = &facts.nodes else {
        let unknown = || Fit::Unknown {
            why: "nodes could not be listed".into(),
        };
        fits.extend(asked.iter().map(|pod| (pod.uid.clone(), unknown())));
        return fits;
    };
    let scene = Scene::new(facts, nodes, planned, surging);
    let mut rooms: Vec<Room> = scene
        .open
        .iter()
        .map(|node| Room::new(node, scene.on(&node.name)))
        .collect();
    let kinds = kinds::alike(&asked);
    let guards = Guards::new(&scene);
    let mut chances: Vec<Chances> = kinds
        .iter()
        .map(|kind| Chances::of(kind.pod, &scene, &guards, &rooms))
        .collect();
    let mut crowd = Crowd::new(&kinds);
    for (kind, pod) in largest_first(&kinds, &scene) {
        let fit = chances[kind].next(pod, kind, &scene, &mut rooms, &mut crowd);
        fits.insert(pod.uid.clone(), in_doubt(fit, pod, &scene));
    }
    fits
}

/// What can be said without looking at any node.
fn without_looking(facts: &Facts, pod: &Pod) -> Option<Fit> {
    let not_replaced = |why: &str| Some(Fit::NotReplaced { why: why.into() });
    let Some(owner) = &pod.owner else {
        return not_replaced("it has no controller");
    };
    if pod.mirror {
        return not_replaced("it is a static pod");
    }
    if pod.finished() {
        return not_replaced("it has finished");
    }
    if owner.is_daemon_set() {
        return not_replaced("its DaemonSet runs one pod per node");
    }
    if owners::gone(facts, owner) {
        return not_replaced(&format!("its {} does not exist any more", owner.kind));
    }
    // These two do not count Terminating pods: the next one exists already.
    if pod.deletion.is_some() && matches!(owner.kind.as_str(), "ReplicaSet" | "ReplicationController") {
        return not_replaced("it is Terminating, and its replacement has been started");
    }
    let unknown = |why: String| Some(Fit::Unknown { why });
    if let Some(why) = pod.scheduling.opaque {
        return unknown(why.into());
    }
    pod.scheduling
        .other_scheduler
        .as_ref()
        .and_then(|name| unknown(format!("the scheduler {name} places it")))
}

/// Takes back what cannot be known for this pod.
fn in_doubt(fit: Fit, pod: &Pod, scene: &Scene) -> Fit {
    let fits = matches!(fit, Fit::Fits { .. });
    let impossible = matches!(fit, Fit::Impossible { .. });
    if !impossible && volumes::unseen(pod, scene.volumes) {
        return Fit::Unknown {
            why: "its volumes could not be read".into(),
        };
    }
    if !fits && pod.tolerates_cordon() {
        return Fit::Unknown {
            why: "it tolerates a cordon and may come back".into(),
        };
    }
    // Other controllers may write the next pod differently, or give it another volume.
    match pod.owner.as_ref().filter(|o| impossible && !owners::built_in(o)) {
        Some(owner) => Fit::Unknown {
            why: format!("its {} may start it differently", owner.kind),
        },
        None => fit,
    }
}

/// First-fit-decreasing needs an order: the largest share of any resource that the pod asks of the largest node.
fn largest_first<'a>(kinds: &[Kind<'a>], scene: &Scene) -> Vec<(usize, &'a Pod)> {
    let sizes: Vec<_> = kinds.iter().map(|kind| fit::share(kind.pod, &scene.open)).collect();
    let mut order: Vec<(usize, &Pod)> = kinds
        .iter()
        .enumerate()
        .flat_map(|(i, kind)| kind.members.iter().map(move |pod| (i, *pod)))
        .collect();
    order.sort_by(|(a, p), (b, q)| {
        (sizes[*b], p.priority, &p.namespace, &p.name).cmp(&(sizes[*a], q.priority, &q.namespace, &q.name))
    });
    order
}

/// What the nodes say to one kind of pod, worked out once for all pods of that kind.
struct Chances {
    /// Word of each open node, in the order of the scene.
    words: Vec<Word>,
    /// How many nodes would take it now, if it were the only one.
    alone: usize,
    /// Reasons, where no node can ever take it.
    proof: Option<Reasons>,
    /// Nodes before this one are known to be full for this kind: places only get fewer.
    cursor: usize,
    /// Reasons why none is left.
    full: Option<Reasons>,
}

impl Chances {
    fn of(pod: &Pod, scene: &Scene, guards: &Guards, rooms: &[Room]) -> Self {
        let bound = Bound::of(pod, scene.volumes);
        let spread = Spread::of(pod, scene);
        let walls = Walls::of(pod, scene, guards);
        let judge = |node: &&Node| {
            affinity::taints(pod, node)
                .and(Word::unless(affinity::chosen(pod, node), Why::NodeAffinity))
                .and(bound.word(node))
                .and(spread.word(node))
                .and(walls.word(node))
        };
        let words: Vec<Word> = scene.open.iter().map(judge).collect();
        let free = words
            .iter()
            .zip(rooms)
            .filter(|(word, room)| **word == Word::Pass && room.fits(pod, scene));
        Self {
            alone: free.count(),
            proof: proof(pod, scene, rooms, &words),
            words,
            cursor: 0,
            full: None,
        }
    }

    /// A place for the next pod of this kind.
    fn next<'a>(
        &mut self,
        pod: &'a Pod,
        kind: usize,
        scene: &Scene<'a>,
        rooms: &mut [Room<'a>],
        crowd: &mut Crowd<'a>,
    ) -> Fit {
        if let Some(reasons) = &self.proof {
            return Fit::Impossible {
                reasons: reasons.clone(),
            };
        }
        while self.cursor < rooms.len() {
            let (room, node) = (&mut rooms[self.cursor], scene.open[self.cursor]);
            if self.words[self.cursor] == Word::Pass && room.fits(pod, scene) && crowd.allows(kind, node) {
                room.take(pod);
                crowd.add(kind, node);
                return Fit::Fits { nodes: self.alone };
            }
            self.cursor += 1;
        }
        let reasons = self.full.get_or_insert_with(|| {
            let mut tally = Tally::new(&scene.closed);
            for (word, room) in self.words.iter().zip(rooms.iter()) {
                match word {
                    Word::No(why) | Word::Later(why) => tally.add(why.text()),
                    Word::Pass => match room.short_now(pod, scene) {
                        short if short.is_empty() => tally.add(Why::PodAntiAffinity.text()),
                        short => short.iter().for_each(|reason| tally.add(reason)),
                    },
                }
            }
            tally.reasons()
        });
        Fit::Tight {
            reasons: reasons.clone(),
        }
    }
}

/// The reasons of all nodes, where every one has a reason that stays.
fn proof(pod: &Pod, scene: &Scene, rooms: &[Room], words: &[Word]) -> Option<Reasons> {
    let mut tally = Tally::new(&scene.closed);
    for (word, room) in words.iter().zip(rooms) {
        if let Word::No(why) = word {
            tally.add(why.text());
            continue;
        }
        let short = room.short_ever(pod, scene);
        if short.is_empty() {
            return None;
        }
        short.iter().for_each(|reason| tally.add(reason));
    }
    Some(tally.reasons())
}
