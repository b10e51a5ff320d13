//! Who may look after custom resources: the workloads whose ServiceAccount has the right to change their finalizers.
//!
//! Nobody has written down who takes an unknown finalizer off, but an operator that does must be allowed to, by name of the
//! resource. Roles for everything, and those for people, say nothing.

use std::collections::BTreeSet;

use upkeep::discovery::Kind;

use super::{
    super::{Actor, SOMEBODY, desk::Desk},
    liveness::{alive, unread},
};
use crate::{facts::Ask, ladder::Remedy};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};

/// Roles that are made for people, or for the cluster itself.
const FOR_PEOPLE: [&str; 4] = ["cluster-admin", "admin", "edit", "view"];

/// A ServiceAccount: namespace and name.
type Account = (String, String);

/// Resources of an API group: one, or all of them.
#[derive(Clone, Copy)]
pub struct Resources<'a> {
    /// `shop.example.com`.
    pub group: &'a str,
    /// `orders`.
    pub plural: Option<&'a str>,
    /// A kind that must be allowed to be changed as well.
    pub also: Option<&'a Kind>,
}

/// The workload, with what brings it back. Nothing inside where nobody has the right, and nothing at all while it is not known.
pub fn by_rights(desk: &Desk<'_>, resources: Resources<'_>) -> Option<Option<(Actor, Vec<Remedy>)>> {
    let list = |plural| Ask::list("rbac.authorization.k8s.io", plural, None);
    let (roles, bindings) = (list("clusterroles"), list("clusterrolebindings"));
    let (roles, bindings) = (
        desk.all::<ClusterRole>(&roles),
        desk.all::<ClusterRoleBinding>(&bindings),
    );
    let (roles, bindings) = match (roles?, bindings?) {
        (Ok(roles), Ok(bindings)) => (roles, bindings),
        (Err(said), _) | (_, Err(said)) => return Some(Some(unread(SOMEBODY.into(), said))),
    };
    let mut accounts = accounts(&|rule| grants(rule, resources), &roles, &bindings);
    if let Some(kind) = resources.also {
        let others = self::accounts(&|rule| changes(rule, kind), &roles, &bindings);
        accounts.retain(|account| others.contains(account));
    }
    if accounts.is_empty() {
        return Some(None);
    }
    let workloads = match desk.workloads()? {
        Ok(workloads) => workloads,
        Err(said) => return Some(Some(unread(SOMEBODY.into(), said))),
    };
    let of_them = workloads.iter().filter(|w| {
        let namespace = w.object.namespace.clone().unwrap_or_default();
        accounts.contains(&(namespace, w.service_account.clone()))
    });
    // One that works says more than one that does not.
    let found = of_them.max_by_key(|w| w.ready);
    Some(found.map(|workload| {
        let (mut actor, remedies) = alive(workload.object.name.clone(), workload);
        let finalizers = match resources.plural {
            Some(plural) => format!("{plural}/finalizers"),
            None => format!("finalizers of {}", resources.group),
        };
        actor.evidence = format!("its ServiceAccount may change {finalizers}; {}", actor.evidence);
        (actor, remedies)
    }))
}

fn accounts(
    grants: &dyn Fn(&PolicyRule) -> bool,
    roles: &[ClusterRole],
    bindings: &[ClusterRoleBinding],
) -> BTreeSet<Account> {
    let named = roles.iter().filter_map(|role| {
        let name = role.metadata.name.as_deref()?;
        let for_people = FOR_PEOPLE.contains(&name) || name.starts_with("system:");
        let grants = role.rules.iter().flatten().any(grants);
        (grants && !for_people).then_some(name)
    });
    let named: BTreeSet<&str> = named.collect();
    let of_these = bindings
        .iter()
        .filter(|b| b.role_ref.kind == "ClusterRole" && named.contains(b.role_ref.name.as_str()));
    let subjects = of_these.flat_map(|binding| binding.subjects.iter().flatten());
    let accounts = subjects.filter(|s| s.kind == "ServiceAccount");
    accounts
        .map(|s| (s.namespace.clone().unwrap_or_default(), s.name.clone()))
        .collect()
}

/// By name of group and resource: a `*` is given to many who never use it.
fn grants(rule: &PolicyRule, of: Resources<'_>) -> bool {
    let is_finalizers = |resource: &str| match (resource.strip_suffix("/finalizers"), of.plural) {
        (Some(plural), Some(wanted)) => plural == wanted,
        (Some(plural), None) => plural != "*",
        (None, _) => false,
    };
    let groups = rule.api_groups.iter().flatten();
    let resources = rule.resources.iter().flatten();
    let mut verbs = rule.verbs.iter();
    groups.clone().any(|group| group == of.group)
        && resources.clone().any(|resource| is_finalizers(resource))
        && verbs.any(|v| matches!(v.as_str(), "update" | "patch" | "*"))
}

/// Who takes a finalizer off an object writes to it.
fn changes(rule: &PolicyRule, kind: &Kind) -> bool {
    let has = |all: &Option<Vec<String>>, wanted: &str| all.iter().flatten().any(|one| one == "*" || one == wanted);
    let mut verbs = rule.verbs.iter();
    has(&rule.api_groups, &kind.group)
        && has(&rule.resources, &kind.plural)
        && verbs.any(|v| matches!(v.as_str(), "update" | "patch" | "*"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_may_change_the_finalizers_of_a_kind() {
        let orders = |plural| Resources {
            group: "shop.example.com",
            plural,
            also: None,
        };
        let accounts = |of: Resources<'_>, roles: &[ClusterRole], bindings: Vec<ClusterRoleBinding>| {
            super::accounts(&|rule| grants(rule, of), roles, &bindings)
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
        let operator = BTreeSet::from([("shop".to_owned(), "op".to_owned())]);
        assert_eq!(accounts(orders(Some("orders")), &roles, bindings.clone()), operator);
        assert_eq!(accounts(orders(None), &roles, bindings.clone()), operator);
        assert_eq!(accounts(orders(Some("invoices")), &roles, bindings), BTreeSet::new());
    }
}
