//! An object with very many finalizers: each of them costs questions to the server and room in the report, and whoever may
//! write the object can add a thousand. The first few are judged; the rest follows once those are removed.

use upkeep::{
    report::{Finding, ObjRef, Severity},
    ui::plural,
};

use super::super::{Found, desk::Desk};
use crate::facts::Object;

/// How many finalizers of one object are judged at a time.
const JUDGED: usize = 20;
/// How many of such objects are named.
const NAMED: usize = 3;

/// Those that are judged now. Names that the knowledge base spells out come first: nothing that is made up hides them.
pub fn judged<'o>(desk: &Desk<'_>, object: &'o Object) -> Vec<&'o str> {
    let mut names: Vec<&str> = object.finalizers.iter().map(String::as_str).collect();
    if names.len() > JUDGED {
        let known = desk.knowledge.finalizers();
        names.sort_by_key(|name| !known.contains(name));
        names.truncate(JUDGED);
    }
    names
}

impl Found {
    /// Remembers how many finalizers of the object are left for later.
    pub fn left_for_later(&mut self, reference: ObjRef, object: &Object) {
        let left = object.finalizers.len().saturating_sub(JUDGED);
        if left > 0 {
            self.beyond.insert(reference, left);
        }
    }

    /// One line for all of these objects.
    pub fn many(&mut self) {
        if self.beyond.is_empty() {
            return;
        }
        let named: Vec<String> = self.beyond.iter().take(NAMED).map(of_one).collect();
        let others = match self.beyond.len().saturating_sub(NAMED) {
            0 => String::new(),
            others => format!(", and {} like these", plural(others, "object")),
        };
        self.notes.push(Finding {
            id: "many-finalizers",
            severity: Severity::Info,
            subjects: self.beyond.keys().take(NAMED).cloned().collect(),
            evidence: format!(
                "at most {JUDGED} finalizers of an object are judged at a time; the others follow once these are removed: {}{others}",
                named.join(", ")
            ),
            hint: None,
        });
    }
}

fn of_one((object, left): (&ObjRef, &usize)) -> String {
    format!("{left} more of {object}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;
    use upkeep::discovery::Discovery;

    use super::*;
    use crate::{
        facts::{Facts, Key},
        knowledge::Knowledge,
    };

    #[test]
    fn a_thousand_finalizers_hide_no_known_one() {
        let knowledge = Knowledge::built_in().unwrap();
        let target = Key::within("", "configmaps", "s", "x");
        let facts = Facts::of(&Discovery::default(), target, SignedDuration::ZERO);
        let desk = Desk::new(&facts, &knowledge);
        let mut object = Object {
            finalizers: (0..999).map(|i| format!("f{i}.example.com/x")).collect(),
            ..Object::default()
        };
        object.finalizers.push("foregroundDeletion".into());
        let names = judged(&desk, &object);
        assert_eq!(names.len(), JUDGED);
        assert_eq!(names.first(), Some(&"foregroundDeletion"));
        assert_eq!(names.get(1), Some(&"f0.example.com/x"));

        let mut found = Found::default();
        for i in 0..5 {
            let reference = ObjRef {
                kind: "configmap".into(),
                namespace: Some("s".into()),
                name: format!("o{i}"),
                uid: String::new(),
            };
            found.left_for_later(reference, &object);
        }
        found.many();
        let said: Vec<&str> = found.notes.iter().map(|note| note.evidence.as_str()).collect();
        assert!(
            matches!(said.as_slice(), [one] if one.contains("980 more of configmap s/o0") && one.ends_with(", and 2 objects like these")),
            "{said:?}"
        );
    }
}
