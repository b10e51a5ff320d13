//! How random clusters are made.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    gates::{Behind, Class, Gate, UP, Verdict},
    known::KNOWLEDGE,
    scenes::{SCENES, set},
    words::{self, REASONS},
    world::{CLAIMS, Dark, Flags, KINDS, Orders, PODS, Space, Thing, Twist, World},
};
use crate::ladder::Rung;

/// Known ones, those of nobody, those of the group, and any text at all.
fn finalizers(most: usize) -> impl Strategy<Value = Vec<String>> {
    let known: Vec<String> = KNOWLEDGE.finalizers().into_iter().map(str::to_owned).collect();
    let common = [
        "example.com/cleanup",
        "shop.example.com/finalizer",
        "orders.shop.example.com/cleanup",
        "foregroundDeletion",
        "orphan",
        "kubernetes.io/pvc-protection",
    ];
    let letters: Vec<char> = "ab./-_*<>$(é\u{202e}\n\"'\\ 9".chars().collect();
    let made = vec(select(letters), 0..12).prop_map(|letters| letters.into_iter().collect());
    let one = prop_oneof![
        4 => select(common.to_vec()).prop_map(str::to_owned),
        4 => select(known),
        1 => made,
    ];
    vec(one, 0..=most).prop_map(|mut all| {
        // The server keeps each once.
        let mut seen = BTreeSet::new();
        all.retain(|name| seen.insert(name.clone()));
        all
    })
}

fn things() -> impl Strategy<Value = BTreeMap<usize, Thing>> {
    let deleted = prop_oneof![
        6 => (20_i64..900).prop_map(Some),
        1 => (-30_i64..15).prop_map(Some),
        2 => Just(None),
    ];
    let invalid = prop_oneof![
        5 => Just(None),
        1 => Just(Some("spec.f: Invalid value: \"x\": field is immutable")),
        1 => Just(Some("spec.size: Required value")),
    ];
    let thing = (
        0..KINDS.len(),
        deleted,
        finalizers(3),
        any::<bool>(),
        invalid,
        0..8_usize,
    )
        .prop_map(|(kind, deleted, finalizers, labelled, invalid, words)| Thing {
            kind,
            deleted,
            finalizers,
            labelled,
            invalid,
            words,
        });
    (vec(thing, 0..6), prop::bool::weighted(0.1)).prop_map(|(mut all, used)| {
        if used {
            let of = |kind, deleted, finalizers: &[&str]| Thing {
                kind,
                deleted,
                finalizers: finalizers.iter().map(ToString::to_string).collect(),
                labelled: false,
                invalid: None,
                words: 0,
            };
            // A claim for a volume, and the pod that uses it.
            all.truncate(2);
            all.insert(0, of(CLAIMS, Some(120), &["kubernetes.io/pvc-protection"]));
            all.insert(1, of(PODS, None, &[]));
        }
        // What is being deleted and has nothing left is gone, but for a pod with time left.
        let stays = |thing: &Thing| thing.deleted.is_none() || !thing.finalizers.is_empty() || thing.kind == PODS;
        all.into_iter().filter(stays).enumerate().collect()
    })
}

fn space() -> impl Strategy<Value = Space> {
    let deleted = prop_oneof![14 => (20_i64..900).prop_map(Some), 2 => (0_i64..15).prop_map(Some), 1 => Just(None)];
    let spec = select(vec![
        vec!["kubernetes"],
        vec!["kubernetes"],
        vec!["kubernetes", "example.com/hold"],
        vec![],
    ]);
    let condition = prop_oneof![2 => Just(None), 3 => words::conditions().prop_map(Some)];
    (deleted, spec, finalizers(1), condition).prop_map(|(deleted, spec, finalizers, condition)| Space {
        deleted,
        spec,
        finalizers,
        condition,
    })
}

fn flags() -> impl Strategy<Value = Flags> {
    let rung = prop_oneof![
        6 => select(vec![Rung::Finalize, Rung::Finalize, Rung::Strip]).prop_map(Some),
        3 => select(vec![Rung::Wait, Rung::Repair, Rung::EvictUser, Rung::Narrow, Rung::Neutralise]).prop_map(Some),
        1 => Just(None),
    ];
    let dry_run = select(vec!["none", "none", "none", "none", "none", "none", "client", "server"]);
    let on = || prop::bool::weighted(0.4);
    let terminal = prop_oneof![3 => Just(None), 1 => (0..6_usize).prop_map(Some)];
    (rung, on(), on(), on(), dry_run, prop::bool::weighted(0.2), terminal).prop_map(
        |(rung, even_if_alive, leave_behind, powered_off, dry_run, planned, terminal)| Flags {
            rung,
            even_if_alive,
            leave_behind: leave_behind && rung.is_none_or(|rung| rung == Rung::Finalize),
            powered_off,
            dry_run,
            planned,
            terminal,
        },
    )
}

fn twists() -> impl Strategy<Value = Vec<Twist>> {
    let twist = prop_oneof![
        12 => Just(Twist::None),
        1 => (0..8_usize).prop_map(Twist::DeniedDry),
        2 => (0..8_usize).prop_map(Twist::DeniedReal),
        2 => select(vec![0, 403, 404, 409, 422, 429, 500, 503]).prop_map(Twist::Fails),
    ];
    vec(twist, 0..12)
}

/// All of it.
pub fn worlds() -> BoxedStrategy<World> {
    let orders = prop_oneof![
        6 => Just(Orders::Readable),
        1 => Just(Orders::VersionGone),
        2 => any::<bool>().prop_map(Orders::Down),
        1 => Just(Orders::Refused),
        2 => select(vec![Orders::Damaged, Orders::Forbidden, Orders::Unserved]),
    ];
    let dark = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(registered, inside, ready)| Dark {
        registered,
        inside,
        ready,
    });
    let managers = (prop::option::of(any::<bool>()), prop::option::of(any::<bool>()));
    let ready = || prop::option::of(0..3_i32);
    let some = |share, strategy| prop::option::weighted(share, strategy);
    let cluster = (
        things(),
        gates(),
        space(),
        any::<bool>(),
        orders,
        prop::option::weighted(0.15, dark),
    );
    let more = (
        managers,
        (ready(), ready()),
        some(0.08, 2..12_u64),
        some(0.1, 2..6_u64),
        any::<bool>(),
        prop::bool::weighted(0.2),
    );
    (cluster, more, twists(), flags(), 0..SCENES)
        .prop_map(|(cluster, more, twists, flags, scene)| {
            let (things, gates, space, whole, orders, dark) = cluster;
            let (managers, (operator, known), noise, lacks, match_conditions, written_back) = more;
            let world = World {
                things,
                gates,
                space: Some(space),
                whole,
                orders,
                dark,
                managers,
                operator,
                known,
                noise,
                lacks,
                match_conditions,
                written_back,
                twists,
                flags,
            };
            set(scene, world)
        })
        .boxed()
}

/// Webhooks and policies.
fn gates() -> impl Strategy<Value = Vec<Gate>> {
    let class = select(vec![
        Class::Validating,
        Class::Validating,
        Class::Mutating,
        Class::Policy,
        Class::MutatingPolicy,
    ]);
    let name = select(vec!["guard.example.com", "check.example.com"]);
    let groups = prop_oneof![3 => Just("*"), 2 => select(KINDS.map(|kind| kind.0).to_vec())];
    let resource = prop_oneof![
        3 => Just("*"),
        1 => Just("*/*"),
        3 => select(vec!["services", "services/*", "services/status", "ingresses", "ingresses/*", "orders", "*/status",
            "namespaces/finalize"]),
    ];
    let rule = (
        groups,
        resource,
        select(vec!["*", "UPDATE", "UPDATE", "DELETE"]),
        select(vec!["*", "*", "Namespaced", "Cluster"]),
    );
    let maybe = || prop::option::weighted(0.15, any::<bool>());
    let verdict = prop_oneof![
        2 => Just(Verdict::Allows),
        4 => (0..REASONS.len(), prop::bool::weighted(0.3)).prop_map(|(words, us)| Verdict::Denies(words, us)),
        1 => Just(Verdict::WritesBack),
    ];
    let behind = select(vec![
        Behind::Ready,
        Behind::Ready,
        Behind::NotReady,
        Behind::Ending,
        Behind::NoService,
        Behind::Url,
    ]);
    let trouble = prop::option::weighted(0.3, 0..UP.len());
    let rest = (prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let gate = (
        class,
        name,
        rule,
        (maybe(), maybe(), maybe()),
        verdict,
        behind,
        trouble,
        rest,
    )
        .prop_map(
            |(class, name, rule, selects, verdict, behind, trouble, (ignores, side_effects))| Gate {
                class,
                name,
                group: rule.0,
                resource: rule.1,
                operation: rule.2,
                scope: rule.3,
                namespaces: selects.0,
                labelled: selects.1,
                condition: selects.2,
                ignores,
                verdict,
                behind,
                trouble,
                side_effects,
                left_out: false,
            },
        );
    vec(gate, 0..4)
}
