//! What chance seldom brings together: a few of the clusters are set up for it.

use super::{
    gates::{Behind, Class, Gate, REFUSED},
    world::{ORDERS, Orders, SERVICES, World},
};
use crate::ladder::Rung;

/// One in so many clusters is each of the scenes.
pub const SCENES: u8 = 40;

/// Sets one of them, or leaves the cluster as it is.
pub fn set(scene: u8, mut world: World) -> World {
    if scene < 5 {
        world.whole = scene != 2;
        world.flags.rung = Some(Rung::Finalize);
    }
    let anything = |gate: &mut Gate, operation| {
        (gate.group, gate.resource, gate.scope, gate.name) = ("*", "*", "*", "guard.example.com");
        (gate.class, gate.operation, gate.ignores) = (Class::Validating, operation, false);
        (gate.namespaces, gate.labelled, gate.condition, gate.side_effects) = (None, None, None, false);
    };
    match scene {
        // A namespace in which there is nothing that can be listed.
        0 => {
            world.things.clear();
            world.orders = Orders::Damaged;
            world.flags.leave_behind = true;
        }
        // Orders that only one version still reads.
        1 => {
            world.orders = Orders::Down(world.written_back);
            for thing in world.things.values_mut() {
                (thing.kind, thing.deleted) = (ORDERS, None);
            }
        }
        // Webhooks of one name, one of which is dead.
        2 => {
            world.gates.iter_mut().for_each(|gate| anything(gate, "UPDATE"));
            world
                .gates
                .iter_mut()
                .take(1)
                .for_each(|gate| gate.behind = Behind::NoService);
            for thing in world.things.values_mut() {
                (thing.kind, thing.deleted, thing.finalizers) =
                    (SERVICES, Some(120), vec!["example.com/cleanup".into()]);
            }
        }
        // A webhook that answers one request in two.
        3 => {
            world.gates.iter_mut().for_each(|gate| anything(gate, "DELETE"));
            world.gates.iter_mut().for_each(|gate| gate.behind = Behind::Ending);
            world.things.values_mut().for_each(|thing| thing.deleted = None);
        }
        // Webhooks of one name: a call of the first fails although it is up, and the others are called by their URLs.
        4 => {
            for gate in &mut world.gates {
                anything(gate, "*");
                (gate.behind, gate.trouble) = (Behind::Url, None);
            }
            for gate in world.gates.iter_mut().take(1) {
                (gate.behind, gate.trouble, gate.condition) = (Behind::Ready, Some(REFUSED), Some(true));
            }
        }
        _ => {}
    }
    world
}
