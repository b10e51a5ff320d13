//! One row, with the eviction API and without.

use testsupport::{DEFAULT_TIMEOUT, wait_for};

use crate::{kit::Ran, place::Place};

/// Each row runs with the eviction API and without, as kubectl's tests do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    Evict,
    Delete,
}

/// One row in one of the two ways.
pub struct Row {
    pub place: Place,
    pub how: How,
}

pub fn both(id: &str, row: impl Fn(&Row)) {
    for (how, word) in [(How::Evict, "evict"), (How::Delete, "delete")] {
        let place = Place::new(&format!("{id}-{word}"));
        row(&Row { place, how });
    }
}

impl Row {
    pub fn flags<'a>(&self, args: &[&'a str]) -> Vec<&'a str> {
        let mut args = args.to_vec();
        if self.how == How::Delete {
            args.push("--disable-eviction");
        }
        args
    }

    pub fn evacuate(&self, args: &[&str]) -> Ran {
        self.place.evacuate(&self.flags(args))
    }

    /// How these pods go in this way, as [`Place::moves`] says it.
    pub fn moves(&self, pods: &[String]) -> Vec<String> {
        let one = |pod: &String| match self.how {
            How::Evict => format!("evict {pod} 201"),
            How::Delete => format!("delete {pod} 200"),
        };
        pods.iter().map(one).collect()
    }

    /// Exactly these pods went, each asked once and in this way, and stdout says so in kubectl's words.
    #[track_caller]
    pub fn assert_drained(&self, ran: &Ran, pods: &[String]) {
        let (node, ns) = (&self.place.node, self.place.ns.name());
        let mut lines = vec![format!("node/{node} cordoned")];
        for pod in pods {
            match self.how {
                How::Evict => lines.extend([format!("evicting pod {ns}/{pod}"), format!("pod/{pod} evicted")]),
                How::Delete => lines.push(format!("pod/{pod} deleted")),
            }
        }
        lines.push(format!("node/{node} drained"));
        assert_eq!(ran.code, Some(0), "{}", ran.text());
        assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), lines, "{}", ran.text());
        assert_eq!(self.place.moves(), self.moves(pods), "{}", ran.text());
        assert!(self.place.is_cordoned());
        let left = self.place.ns.pods_on(node);
        assert!(pods.iter().all(|pod| !left.contains(pod)), "{left:?}");
    }

    /// Refused: exit 3, nothing on stdout, nothing changed, the pods are still there.
    #[track_caller]
    pub fn assert_refused(&self, ran: &Ran, pods: &[&str]) {
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{}", ran.text());
        self.place.assert_untouched();
        assert_eq!(self.place.ns.pods_on(&self.place.node), pods);
    }
}

/// The name of the only pod of a namespace on a node.
pub fn only_pod(place: &Place) -> String {
    wait_for("one Ready pod", DEFAULT_TIMEOUT, || {
        let on_node = place.ns.pods_on(&place.node);
        (on_node.len() == 1).then(|| on_node[0].clone())
    })
}
