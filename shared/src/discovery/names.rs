//! What a person types for a kind.

use super::{Discovery, Kind};

impl Discovery {
    /// The kind that kubectl would take for this word: plural, singular, short name or kind, in any case, with
    /// `.group` or `.version.group` where that is needed. The core group comes first, then the server's order.
    pub fn find(&self, typed: &str) -> Option<&Kind> {
        let typed = typed.to_ascii_lowercase();
        let mut parts = typed.splitn(3, '.');
        let (name, second, third) = (
            parts.next().filter(|name| !name.is_empty())?,
            parts.next(),
            parts.next(),
        );
        let group = typed.split_once('.').map(|(_, group)| group);
        // `deployments.v1.apps` before `x.y.z` as the group `y.z`, as kubectl reads it.
        let exact = self
            .kinds
            .iter()
            .filter(|k| Some(k.version.as_str()) == second && Some(k.group.as_str()) == third.or(Some("")));
        let in_group = self.preferred().filter(|k| group.is_none_or(|group| k.group == group));
        let candidates: Vec<&Kind> = exact.chain(in_group).collect();
        let by_name = candidates.iter().find(|k| k.answers_to(name));
        let by_short = || candidates.iter().find(|k| k.short_names.iter().any(|s| s == name));
        by_name.or_else(by_short).copied()
    }

    /// The kind with this group and name, as manifests and owner references have it.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Kind> {
        let same = |k: &&Kind| k.kind == kind && k.api_version() == api_version;
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let exact = self.kinds.iter().find(same);
        exact.or_else(|| self.preferred().find(|k| k.is(group, kind)))
    }
}

impl Kind {
    fn answers_to(&self, name: &str) -> bool {
        self.plural == name || self.singular == name || self.kind.eq_ignore_ascii_case(name)
    }
}
