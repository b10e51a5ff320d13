//! Whether the pods that go would find a place again: the filters of the scheduler, replayed on what was read.
//!
//! Four answers are kept apart. *Fits* comes from placing all pods of the run one after another (first fit, largest
//! first), so that no room is promised twice, and only where every filter passes for certain. *Proven impossible* is said only
//! where no node passes even without the other planned pods, without Terminating pods and without pods that the new one could
//! preempt; whatever is doubtful counts as passing. Where the answer hangs on what is doubtful it is *unknown*, with the doubt.
//! Everything else is *tight*. Preemption and scoring are not simulated, and neither are
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

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    volumes::{Attached, Bound},
    words::{Doubt, Tally, Why, Word},
};
use super::owners;
use crate::facts::{Facts, Node, Pod, Resources, Uid};

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
    let (Seen::Known(nodes), Seen::Known(())) = (&facts.nodes, &facts.elsewhere) else {
        let what = if facts.nodes.known().is_some() {
            "pods of other nodes"
        } else {
            "nodes"
        };
        let unknown = || Fit::Unknown {
            why: format!("{what} could not be listed"),
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
    let mut so_far = SoFar {
        crowd: Crowd::new(&kinds, &scene),
        attached: Attached::new(&scene),
    };
    let mut chances: Vec<Chances> = kinds
        .iter()
        .map(|kind| Chances::of(kind.pod, &scene, &guards, &rooms, &so_far.attached))
        .collect();
    let spreads: Vec<&Spread> = chances.iter().map(|c| &c.spread).collect();
    let concerned = spread::concerned(&kinds, &spreads);
    let mixed = owners_of_mixed(facts);
    for (kind, pod) in largest_first(&kinds, &scene) {
        let (fit, place) = chances[kind].next(pod, kind, &scene, &rooms, &so_far);
        if let Some(index) = place {
            let node = scene.open[index];
            rooms[index].take(pod);
            so_far.crowd.add(kind, node);
            so_far.attached.add(&chances[kind].bound, node);
            for other in &concerned[kind] {
                chances[*other].spread.add(pod, node);
            }
        }
        fits.insert(pod.uid.clone(), in_doubt(fit, pod, &scene, &mixed));
    }
    fits
}

/// What the pods that have been placed so far mean for the next one, apart from their room.
struct SoFar<'a> {
    crowd: Crowd<'a>,
    attached: Attached<'a>,
}

/// Owners whose pods ask for different amounts: some were resized in place, or another version of the template is rolled out.
/// Which amounts the next one asks for is not known then.
fn owners_of_mixed(facts: &Facts) -> BTreeSet<&str> {
    let mut first: HashMap<&str, &Resources> = HashMap::new();
    let mut mixed = BTreeSet::new();
    for pod in facts.pods.iter().filter(|pod| !pod.finished()) {
        let Some(owner) = pod.owner.as_ref().filter(|owner| owners::built_in(owner)) else {
            continue;
        };
        let requests = &pod.scheduling.requests;
        if *first.entry(&owner.uid).or_insert(requests) != requests {
            mixed.insert(owner.uid.as_str());
        }
    }
    mixed
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
fn in_doubt(fit: Fit, pod: &Pod, scene: &Scene, mixed: &BTreeSet<&str>) -> Fit {
    let fits = matches!(fit, Fit::Fits { .. });
    let impossible = matches!(fit, Fit::Impossible { .. });
    if let Some(why) = doubt(pod, scene, mixed).filter(|_| !impossible) {
        return Fit::Unknown { why };
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

/// What no node can answer.
fn doubt(pod: &Pod, scene: &Scene, mixed: &BTreeSet<&str>) -> Option<String> {
    if volumes::unseen(pod, scene.volumes) {
        return Some("its volumes could not be read".into());
    }
    if pod.scheduling.is_resizing {
        return Some("it is being resized in place".into());
    }
    if let Some(owner) = pod.owner.as_ref().filter(|owner| mixed.contains(owner.uid.as_str())) {
        return Some(format!("pods of its {} ask for different amounts", owner.kind));
    }
    let asked = pod.scheduling.requests.0.iter().filter(|(_, amount)| **amount > 0);
    let mut unoffered = asked.filter(|(name, _)| !scene.offered.contains(name.as_str()));
    // Something else than a node's own count hands it out: dynamic allocation, or an extension of the scheduler.
    let unoffered = unoffered.next().map(|(name, _)| format!("no node reports {name}"));
    unoffered.or_else(|| volumes::unbound(pod, scene.volumes))
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
struct Chances<'a> {
    /// Word of each open node, in the order of the scene.
    words: Vec<Word>,
    /// How many nodes would take it now, if it were the only one.
    alone: usize,
    /// Reasons, where no node can ever take it.
    proof: Option<Reasons>,
    /// Nodes before this one are known to be full for this kind: places only get fewer, but for what spread constraints say.
    cursor: usize,
    /// Reasons why none is left.
    full: Option<Reasons>,
    spread: Spread<'a>,
    bound: Bound<'a>,
}

impl<'a> Chances<'a> {
    fn of(pod: &'a Pod, scene: &Scene<'a>, guards: &Guards<'a>, rooms: &[Room], attached: &Attached<'a>) -> Self {
        let bound = Bound::of(pod, scene.volumes);
        let spread = Spread::of(pod, scene);
        let walls = Walls::of(pod, scene, guards);
        let chosen = |node: &Node| match affinity::chosen(pod, node) {
            Some(chosen) => Word::unless(chosen, Why::NodeAffinity),
            None => Word::Unsure(Doubt::Operator),
        };
        let judge = |(node, room): (&&'a Node, &Room)| {
            affinity::taints(pod, node)
                .and(chosen(node))
                .and(bound.word(node, scene))
                .and(spread.word(node))
                .and(walls.word(node))
                .and(room.word())
        };
        let words: Vec<Word> = scene.open.iter().zip(rooms).map(judge).collect();
        let free = words.iter().zip(rooms).zip(&scene.open).filter(|((word, room), node)| {
            **word == Word::Pass && room.fits(pod, scene) && spread.allows(node) && attached.allows(&bound, node, scene)
        });
        Self {
            alone: free.count(),
            proof: proof(pod, scene, rooms, &words),
            words,
            cursor: 0,
            full: None,
            spread,
            bound,
        }
    }

    /// A place for the next pod of this kind, and which of the open nodes that is.
    fn next(
        &mut self,
        pod: &Pod,
        kind: usize,
        scene: &Scene<'a>,
        rooms: &[Room],
        so_far: &SoFar<'a>,
    ) -> (Fit, Option<usize>) {
        if let Some(reasons) = self.proof.clone() {
            return (Fit::Impossible { reasons }, None);
        }
        let takes = |index: usize| {
            let node = scene.open[index];
            rooms[index].fits(pod, scene)
                && so_far.crowd.allows(kind, node)
                && self.spread.allows(node)
                && so_far.attached.allows(&self.bound, node, scene)
        };
        let from = if self.spread.is_empty() { self.cursor } else { 0 };
        let certain = (from..rooms.len()).find(|index| self.words[*index] == Word::Pass && takes(*index));
        if let Some(index) = certain {
            self.cursor = index;
            // Alone it would not have fitted there before others were placed, where a spread constraint is even now.
            let nodes = self.alone.max(1);
            return (Fit::Fits { nodes }, Some(index));
        }
        let doubts = self.words.iter().enumerate().filter_map(|(index, word)| match word {
            Word::Unsure(doubt) => Some((index, *doubt)),
            _ => None,
        });
        let mut doubtful = doubts.filter(|(index, _)| takes(*index));
        if let Some((index, doubt)) = doubtful.next() {
            let why = doubt.text().to_owned();
            return (Fit::Unknown { why }, Some(index));
        }
        if self.spread.is_empty() {
            self.cursor = rooms.len();
        }
        let spread = &self.spread;
        let bound = &self.bound;
        let reasons = self.full.get_or_insert_with(|| {
            let mut tally = Tally::new(&scene.closed);
            for ((word, room), node) in self.words.iter().zip(rooms).zip(&scene.open) {
                match word {
                    Word::No(why) | Word::Later(why) => tally.add(why.text()),
                    Word::Pass | Word::Unsure(_) => match room.short_now(pod, scene) {
                        short if !short.is_empty() => short.iter().for_each(|reason| tally.add(reason)),
                        _ if !spread.allows(node) => tally.add(Why::Spread.text()),
                        _ if !so_far.attached.allows(bound, node, scene) => tally.add(Why::VolumeLimit.text()),
                        _ => tally.add(Why::PodAntiAffinity.text()),
                    },
                }
            }
            tally.reasons()
        });
        let reasons = reasons.clone();
        (Fit::Tight { reasons }, None)
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
