//! Who may look after a custom resource: the workloads whose ServiceAccount has the right to change its finalizers.
//!
//! Nobody has written down who takes an unknown finalizer off, but an operator that does must be allowed to, by name of the
//! resource. Roles for everything, and those for people, say nothing.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use upkeep::discovery::Kind;

use super::{
    super::{Actor, desk::Desk},
    liveness::alive,
};
use crate::{facts::Ask, ladder::Remedy};

/// Roles that are made for people, or for the cluster itself.
const FOR_PEOPLE: [&str; 4] = ["cluster-admin", "admin", "edit", "view"];

/// A ServiceAccount: namespace and name.
type Account = (String, String);

/// The workload, with what brings it back. Nothing inside where nobody has the right, and nothing at all while it is not known.
pub fn by_rights(desk: &Desk<'_>, kind: &Kind) -> Option<Option<(Actor, Vec<Remedy>)>> {
    // What is built in is changed by many.
    if !kind.group.contains('.') || kind.group.ends_with(".k8s.io") {
        return Some(None);
    }
    let list = |plural| Ask::list("rbac.authorization.k8s.io", plural, None);
    let (roles, bindings) = (list("clusterroles"), list("clusterrolebindings"));
    let (roles, bindings) = (
        desk.all::<ClusterRole>(&roles),
        desk.all::<ClusterRoleBinding>(&bindings),
    );
    let (Ok(roles), Ok(bindings)) = (roles?, bindings?) else {
        return Some(None);
    };
    let accounts = accounts(kind, &roles, bindings);
    if accounts.is_empty() {
        return Some(None);
    }
    let workloads = match desk.workloads()? {
        Ok(workloads) => workloads,
        Err(_) => return Some(None),
    };
    let of_them = workloads.iter().filter(|w| {
        let namespace = w.object.namespace.clone().unwrap_or_default();
        accounts.contains(&(namespace, w.service_account.clone()))
    });
    // One that works says more than one that does not.
    let found = of_them.max_by_key(|w| w.ready);
    Some(found.map(|workload| {
        let (mut actor, remedies) = alive(workload.object.name.clone(), workload);
        let finalizers = format!("{}/finalizers", kind.plural);
        actor.evidence = format!("its ServiceAccount may change {finalizers}; {}", actor.evidence);
        (actor, remedies)
    }))
}

fn accounts(kind: &Kind, roles: &[ClusterRole], bindings: Vec<ClusterRoleBinding>) -> BTreeSet<Account> {
    let named = roles.iter().filter_map(|role| {
        let name = role.metadata.name.as_deref()?;
        let for_people = FOR_PEOPLE.contains(&name) || name.starts_with("system:");
        let grants = role.rules.iter().flatten().any(|rule| grants(rule, kind));
        (grants && !for_people).then_some(name)
    });
    let named: BTreeSet<&str> = named.collect();
    let of_these = bindings
        .into_iter()
        .filter(|b| b.role_ref.kind == "ClusterRole" && named.contains(b.role_ref.name.as_str()));
    let subjects = of_these.flat_map(|binding| binding.subjects.unwrap_or_default());
    let accounts = subjects.filter(|s| s.kind == "ServiceAccount");
    accounts.map(|s| (s.namespace.unwrap_or_default(), s.name)).collect()
}

/// By name of group and resource: a `*` is given to many who never use it.
fn grants(rule: &PolicyRule, kind: &Kind) -> bool {
    let has = |all: &Option<Vec<String>>, wanted: &[&str]| {
        let mut all = all.iter().flatten();
        all.any(|one| wanted.contains(&one.as_str()))
    };
    let finalizers = format!("{}/finalizers", kind.plural);
    has(&rule.api_groups, &[&kind.group])
        && has(&rule.resources, &[&finalizers])
        && rule
            .verbs
            .iter()
            .any(|v| matches!(v.as_str(), "update" | "patch" | "*"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_may_change_the_finalizers_of_a_kind() {
        let kind = Kind {
            group: "shop.example.com".into(),
            plural: "orders".into(),
            ..Kind::default()
        };
        let role = |name: &str, resource: &str| {
            let rules = json!([{"apiGroups": ["shop.example.com"], "resources": [resource], "verbs": ["update"]}]);
            serde_json::from_value(json!({"metadata": {"name": name}, "rules": rules})).unwrap()
        };
        let roles: Vec<ClusterRole> = vec![
            role("operator", "orders/finalizers"),
            role("reader", "orders"),
            role("edit", "orders/finalizers"),
        ];
        let binding = |role: &str, account: &str| {
            let subjects = json!([{"kind": "ServiceAccount", "namespace": "shop", "name": account}, {"kind": "User", "name": "u"}]);
            serde_json::from_value(json!({"metadata": {}, "subjects": subjects,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}}))
            .unwrap()
        };
        let bindings = vec![
            binding("operator", "op"),
            binding("reader", "rd"),
            binding("edit", "ed"),
        ];
        let found = accounts(&kind, &roles, bindings);
        assert_eq!(found, BTreeSet::from([("shop".to_owned(), "op".to_owned())]));
    }
}
