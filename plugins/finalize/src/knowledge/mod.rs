//! What is known about finalizers: who takes them off, what they protect, what is lost when they are stripped.
//!
//! The entries are data, `knowledge/*.yaml`; a user's own file has the same form and wins.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, path::Path};

use serde::{Deserialize, Serialize};
use upkeep::{Error, Exit, Result, discovery::Kind};
use wildmatch::WildMatch;

use crate::{facts::is_built_in, input};

const BUILT_IN: [(&str, &str); 6] = [
    ("core.yaml", include_str!("../../knowledge/core.yaml")),
    ("cloud.yaml", include_str!("../../knowledge/cloud.yaml")),
    ("gitops.yaml", include_str!("../../knowledge/gitops.yaml")),
    ("multicluster.yaml", include_str!("../../knowledge/multicluster.yaml")),
    ("storage.yaml", include_str!("../../knowledge/storage.yaml")),
    ("operators.yaml", include_str!("../../knowledge/operators.yaml")),
];

/// Names that are made from those of the kind.
const RULES: &str = include_str!("../../knowledge/rules.yaml");

/// One or several finalizers of which the same is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Entry {
    /// Exact names, or with `*` for any characters.
    pub finalizers: Vec<String>,
    /// The kinds of objects it is put on; empty where it can be any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// The API groups of these kinds, with `*` for any characters; empty where it can be any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Where it stands.
    #[serde(default)]
    pub field: Field,
    /// Who takes it off, in a few words.
    pub remover: String,
    /// The program that the remover is a part of, where it is no workload of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<Part>,
    /// Where the remover usually runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Names, with `*`, of its Deployment, StatefulSet or DaemonSet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<String>,
    /// Names, with `*`, of the Lease of its leader election.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<String>,
    /// What it is there for.
    pub protects: String,
    /// What is lost when it is stripped by force.
    pub stripped: String,
    /// The right way.
    pub right: String,
    /// How bad it is to strip it.
    pub risk: Risk,
    /// What the object itself tells about that which would be left outside of the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<Leak>,
    /// What uses such an object and has to be deleted before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<Use>,
    /// Where this is from.
    pub source: String,
    /// Whether it was looked up there.
    pub checked: bool,
    /// From the user's own file.
    #[serde(skip)]
    pub own: bool,
}

/// Where a finalizer stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// `metadata.finalizers`.
    #[default]
    Metadata,
    /// `spec.finalizers` of a namespace.
    Spec,
}

/// A program that no list of workloads shows for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// It renews the Lease `kube-system/kube-controller-manager`.
    KubeControllerManager,
    /// It answers, so it runs.
    KubeApiserver,
    /// It renews the Lease `kube-system/cloud-controller-manager`.
    CloudControllerManager,
    /// Outside of the cluster.
    Outside,
}

/// How bad it is to strip a finalizer; in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Only a count or a note is off.
    Bookkeeping,
    /// Objects in the cluster are left behind.
    Orphans,
    /// Something outside of the cluster is left behind, and costs money or gives access.
    External,
    /// Data is lost or damaged.
    Data,
}

/// Something of which the object holds the name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Leak {
    /// What it is: `load balancer`.
    pub what: String,
    /// A JSON pointer into the object.
    pub at: String,
    /// Whether that is in the cluster, where it can be seen and deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inside: bool,
}

/// Objects that use another, and how they name it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// API group of their kind.
    pub group: String,
    /// `gateways`; every kind of the group where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plural: Option<String>,
    /// Kinds of the group that do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// A JSON pointer to the name of what is used; where it is left out they use every object of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// A JSON pointer to what is true once they do not use it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<String>,
}

/// All entries, the user's own first.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    entries: Vec<Entry>,
    /// For names that are made from those of the kind: `<plural>.<group>`.
    rules: Vec<Entry>,
}

impl Knowledge {
    /// What comes with the plugin.
    ///
    /// # Errors
    /// A file that cannot be read, which a test rules out.
    pub fn built_in() -> Result<Self> {
        let mut entries = Vec::new();
        for (name, text) in BUILT_IN {
            entries.extend(read(name, text)?);
        }
        let rules = read("rules.yaml", RULES)?;
        Ok(Self { entries, rules })
    }

    /// With the entries of a file before the others.
    ///
    /// # Errors
    /// A file that cannot be read or has another form.
    pub fn with_file(mut self, path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        if others_may_write(path) {
            let error = Error::usage(format!(
                "{name} may be written by every user of this machine, so it is not read"
            ));
            return Err(error.hint(format!("chmod o-w {name}")));
        }
        let text = input::read(path, Exit::Usage)?;
        let mut entries = read(&name, &text)?;
        entries.iter_mut().for_each(|entry| entry.own = true);
        entries.append(&mut self.entries);
        self.entries = entries;
        Ok(self)
    }

    /// What is known about a finalizer of an object of this kind. The user's own entries count before built-in ones, the exact
    /// name before a pattern that fits, an entry for this kind before one for any.
    pub fn of(&self, finalizer: &str, kind: Option<&str>, field: Field) -> Option<&Entry> {
        let fits = |entry: &&Entry| entry.field == field && entry.may_be_on(kind) && entry.fits(finalizer);
        let found = self.entries.iter().filter(fits);
        found.min_by_key(|entry| (!entry.own, !entry.names(finalizer), entry.kinds.is_empty()))
    }

    /// The same for an object of a kind, with the rules for names that are made from those of their kind: what an entry says
    /// comes before a rule.
    pub fn of_kind(&self, finalizer: &str, kind: &Kind) -> Option<&Entry> {
        let by_name = self.of(finalizer, Some(&kind.kind), Field::Metadata);
        by_name.or_else(|| self.rules.iter().find(|rule| rule.is_made_for(finalizer, kind)))
    }

    /// Everything that is known about a finalizer, on whatever kind.
    pub fn all_of(&self, finalizer: &str) -> Vec<&Entry> {
        let exact: Vec<&Entry> = self.entries.iter().filter(|e| e.names(finalizer)).collect();
        if !exact.is_empty() {
            return exact;
        }
        let rule = || self.rules.iter().find(|rule| rule.may_be_made(finalizer));
        let pattern = self.entries.iter().find(|e| e.fits(finalizer));
        pattern.or_else(rule).into_iter().collect()
    }

    /// All that are known by a name without `*`, each once, in order.
    pub fn finalizers(&self) -> BTreeSet<&str> {
        let names = self.entries.iter().flat_map(|entry| &entry.finalizers);
        names.map(String::as_str).filter(|name| !name.contains('*')).collect()
    }

    #[cfg(test)]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Entry {
    fn names(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|name| name == finalizer)
    }

    fn fits(&self, finalizer: &str) -> bool {
        // Most are plain names, and each finalizer is compared with all of them.
        let is_pattern = |name: &String| name.as_bytes().contains(&b'*') || name.as_bytes().contains(&b'?');
        let fits = |name: &String| name == finalizer || (is_pattern(name) && WildMatch::new(name).matches(finalizer));
        self.finalizers.iter().any(fits)
    }

    /// Whether the finalizer is what one of the patterns makes of the names of the kind.
    fn is_made_for(&self, finalizer: &str, kind: &Kind) -> bool {
        let of_group = self
            .groups
            .iter()
            .any(|group| WildMatch::new(group).matches(&kind.group));
        let named = |pattern: &String| {
            let name = pattern
                .replace("<plural>", &kind.plural)
                .replace("<kind>", &kind.kind.to_lowercase())
                .replace("<group>", &kind.group);
            WildMatch::new(&name).matches(finalizer)
        };
        of_group && !is_built_in(&kind.group) && self.finalizers.iter().any(named)
    }

    /// Whether it is for some kind. Patterns for every group say nothing then.
    fn may_be_made(&self, finalizer: &str) -> bool {
        let mut groups = self.groups.iter().filter(|group| *group != "*");
        groups.any(|group| {
            self.finalizers.iter().any(|pattern| {
                let name = pattern
                    .replace("<group>", group)
                    .replace("<plural>", "*")
                    .replace("<kind>", "*");
                WildMatch::new(&name).matches(finalizer)
            })
        })
    }

    fn may_be_on(&self, kind: Option<&str>) -> bool {
        let Some(kind) = kind else { return true };
        self.kinds.is_empty() || self.kinds.iter().any(|k| k == kind)
    }
}

/// What anybody may write says nothing about whom a finalizer belongs to.
#[cfg(unix)]
fn others_may_write(path: &Path) -> bool {
    let mode = |file: std::fs::Metadata| std::os::unix::fs::MetadataExt::mode(&file);
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && mode(file) & 0o002 != 0)
}

/// Files have no such mode there.
#[cfg(not(unix))]
fn others_may_write(_: &Path) -> bool {
    false
}

/// A list, or what `explain -o yaml` prints.
fn read(name: &str, text: &str) -> Result<Vec<Entry>> {
    #[derive(Deserialize)]
    struct Explanation {
        entries: Vec<Entry>,
    }
    let read = serde_yaml::from_str::<Vec<Entry>>(text);
    read.or_else(|error| match serde_yaml::from_str::<Explanation>(text) {
        Ok(explanation) => Ok(explanation.entries),
        Err(_) => Err(error),
    })
    .map_err(|error| {
        // Below it the text is shown, which the user has.
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default();
        Error::usage(format!("{name} is no list of finalizers"))
            .caused_by(first.trim_start_matches("error: "))
            .hint("its form: https://github.com/kubectl-upkeep/kubectl-upkeep/tree/main/plugins/finalize/knowledge#readme")
    })
}
