//! Which workloads may change the finalizers of an object, by RBAC: bindings lead to ServiceAccounts, and those to the
//! workloads that run under them. Rights are what a tenant cannot give away: a binding gives nothing that its author has not.

use std::rc::Rc;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use upkeep::discovery::Kind;

use super::super::desk::Desk;
use crate::facts::{Ask, Said, Workload};

/// Roles that are made for people, or for the cluster itself.
const FOR_PEOPLE: [&str; 4] = ["cluster-admin", "admin", "edit", "view"];
const GROUP: &str = "rbac.authorization.k8s.io";

/// How narrow a rule has to be to say something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// `orders/finalizers`, by name: what an operator's own role has.
    Finalizers,
    /// `orders`, by name, or everything of just this group. Roles for everything say nothing about one kind.
    Named,
    /// Whatever lets it change the object or its finalizers.
    Any,
    /// The finalizers of some kind of this group, and the object itself.
    Group(String),
}

/// A workload that may.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// It.
    pub workload: &'a Workload,
    /// Whether its right is from a binding for the whole cluster, or in its own namespace. Who may bind roles in a namespace
    /// can name any ServiceAccount of the cluster there: what follows from that is only shown.
    pub trusted: bool,
}

/// Everybody who has a right.
pub type Candidates<'a> = Rc<Vec<Candidate<'a>>>;

/// All bindings that count in a namespace, with their rules.
pub struct Rbac {
    grants: Vec<Grant>,
}

struct Grant {
    rules: Vec<PolicyRule>,
    for_people: bool,
    subjects: Vec<Subject>,
    /// The namespace of a RoleBinding.
    within: Option<String>,
}

/// Workloads whose ServiceAccount may change objects of this kind in this namespace. Nothing while it is not known.
pub fn candidates<'a>(
    desk: &Desk<'a>,
    kind: &Kind,
    namespace: Option<&str>,
    width: &Width,
) -> Option<Result<Candidates<'a>, &'a Said>> {
    let memo = (kind.resource(), namespace.map(str::to_owned), width.clone());
    if let Some(known) = desk.known_candidates(&memo) {
        return Some(Ok(known));
    }
    let rbac = match desk.rbac(namespace)? {
        Ok(rbac) => rbac,
        Err(said) => return Some(Err(said)),
    };
    let workloads = match desk.workloads()? {
        Ok(workloads) => workloads,
        Err(said) => return Some(Err(said)),
    };
    let found = rbac.candidates(workloads, kind, width);
    Some(Ok(desk.keep_candidates(memo, found)))
}

impl Rbac {
    /// Reads the roles and bindings of the cluster, and those of a namespace. Nothing while they are not known.
    pub fn read<'a>(desk: &Desk<'a>, namespace: Option<&str>) -> Option<Result<Self, &'a Said>> {
        let all = |plural| Ask::list(GROUP, plural, None);
        let roles = desk.all::<ClusterRole>(&all("clusterroles"));
        let bindings = desk.all::<ClusterRoleBinding>(&all("clusterrolebindings"));
        let here = namespace.map(|namespace| {
            let list = |plural| Ask::list(GROUP, plural, Some(namespace));
            (
                desk.all::<Role>(&list("roles")),
                desk.all::<RoleBinding>(&list("rolebindings")),
            )
        });
        let (cluster_roles, cluster_bindings) = match (roles?, bindings?) {
            (Ok(roles), Ok(bindings)) => (roles, bindings),
            (Err(said), _) | (_, Err(said)) => return Some(Err(said)),
        };
        let (roles, bindings) = match here {
            None => (Vec::new(), Vec::new()),
            Some((roles, bindings)) => match (roles?, bindings?) {
                (Ok(roles), Ok(bindings)) => (roles, bindings),
                (Err(said), _) | (_, Err(said)) => return Some(Err(said)),
            },
        };
        Some(Ok(Self::of(&cluster_roles, cluster_bindings, &roles, bindings)))
    }

    fn of(
        cluster_roles: &[ClusterRole],
        cluster_bindings: Vec<ClusterRoleBinding>,
        roles: &[Role],
        bindings: Vec<RoleBinding>,
    ) -> Self {
        let rules = |to: &RoleRef| -> Vec<PolicyRule> {
            let of_cluster = cluster_roles.iter().filter(|_| to.kind == "ClusterRole");
            let of_cluster = of_cluster.filter(|role| role.metadata.name.as_deref() == Some(&to.name));
            let of_namespace = roles.iter().filter(|_| to.kind == "Role");
            let of_namespace = of_namespace.filter(|role| role.metadata.name.as_deref() == Some(&to.name));
            let rules = of_cluster.flat_map(|role| role.rules.iter().flatten());
            rules
                .chain(of_namespace.flat_map(|role| role.rules.iter().flatten()))
                .cloned()
                .collect()
        };
        let grant = |to: &RoleRef, subjects: Option<Vec<Subject>>, within: Option<String>| Grant {
            rules: rules(to),
            for_people: FOR_PEOPLE.contains(&to.name.as_str()) || to.name.starts_with("system:"),
            subjects: subjects.unwrap_or_default(),
            within,
        };
        let of_cluster = cluster_bindings
            .into_iter()
            .map(|b| grant(&b.role_ref, b.subjects, None));
        let of_namespace = bindings
            .into_iter()
            .map(|b| grant(&b.role_ref, b.subjects, Some(b.metadata.namespace.unwrap_or_default())));
        Self {
            grants: of_cluster.chain(of_namespace).collect(),
        }
    }

    fn candidates<'a>(&self, workloads: &'a [Workload], kind: &Kind, width: &Width) -> Vec<Candidate<'a>> {
        let changes = |grant: &&Grant| grant.rules.iter().any(|rule| changes(rule, kind));
        let also: Vec<&Grant> = self.grants.iter().filter(changes).collect();
        let grants = self.grants.iter().filter(|grant| {
            let people = grant.for_people && *width != Width::Any;
            !people && grant.rules.iter().any(|rule| grants(rule, kind, width))
        });
        let grants: Vec<&Grant> = grants.collect();
        let found = workloads.iter().filter_map(|workload| {
            let mut of_it = grants.iter().filter(|grant| grant.is_for(workload)).peekable();
            of_it.peek()?;
            let elsewhere = matches!(width, Width::Group(_)) && !also.iter().any(|grant| grant.is_for(workload));
            let home = workload.object.namespace.as_deref();
            let mut trusted = of_it.filter(|grant| grant.within.is_none() || grant.within.as_deref() == home);
            (!elsewhere).then(|| Candidate {
                workload,
                trusted: trusted.next().is_some(),
            })
        });
        found.collect()
    }
}

impl Grant {
    /// Whether it is for the ServiceAccount that a workload runs under. What is for all of them says nothing about one.
    fn is_for(&self, workload: &Workload) -> bool {
        let (namespace, account) = workload.account();
        self.subjects.iter().any(|subject| match subject.kind.as_str() {
            "ServiceAccount" => subject.name == account && subject.namespace.as_deref() == Some(namespace),
            "User" => subject.name.strip_prefix("system:serviceaccount:") == Some(&format!("{namespace}:{account}")),
            "Group" => subject.name.strip_prefix("system:serviceaccounts:") == Some(namespace),
            _ => false,
        })
    }
}

fn has(all: &Option<Vec<String>>, wanted: &str) -> bool {
    all.iter().flatten().any(|one| one == "*" || one == wanted)
}

/// A rule for single objects says nothing about another.
fn writes(rule: &PolicyRule) -> bool {
    let mut verbs = rule.verbs.iter();
    let some = rule.resource_names.iter().flatten().next().is_some();
    !some && verbs.any(|verb| matches!(verb.as_str(), "update" | "patch" | "*"))
}

/// Who removes a finalizer writes to the object.
fn changes(rule: &PolicyRule, kind: &Kind) -> bool {
    writes(rule) && has(&rule.api_groups, &kind.group) && has(&rule.resources, &kind.plural)
}

fn grants(rule: &PolicyRule, kind: &Kind, width: &Width) -> bool {
    let group = |wanted: &str| rule.api_groups.iter().flatten().any(|group| group == wanted);
    let resources = || rule.resources.iter().flatten();
    let finalizers = || resources().filter_map(|resource| resource.strip_suffix("/finalizers"));
    writes(rule)
        && match width {
            Width::Finalizers => group(&kind.group) && finalizers().any(|plural| plural == kind.plural),
            Width::Named => group(&kind.group) && has(&rule.resources, &kind.plural),
            Width::Any => {
                let finalizers = finalizers().any(|plural| plural == kind.plural || plural == "*");
                changes(rule, kind) || (finalizers && has(&rule.api_groups, &kind.group))
            }
            Width::Group(of) => group(of) && finalizers().any(|plural| plural != "*"),
        }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::facts::Object;

    fn workload(namespace: &str, account: &str) -> Workload {
        Workload {
            plural: "deployments",
            object: Object {
                namespace: Some(namespace.into()),
                name: account.into(),
                ..Object::default()
            },
            wanted: 1,
            ready: 1,
            service_account: account.into(),
        }
    }

    fn role(name: &str, group: &str, resources: Value, more: &Value) -> Value {
        let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": ["update"]});
        for (field, value) in more.as_object().into_iter().flatten() {
            rule[field] = value.clone();
        }
        json!({"metadata": {"name": name}, "rules": [rule]})
    }

    fn binding(kind: &str, role: &str, subject: &Value) -> Value {
        json!({"metadata": {"namespace": "shop"}, "subjects": [subject],
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role}})
    }

    fn account(namespace: &str, name: &str) -> Value {
        json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
    }

    fn orders() -> Kind {
        Kind {
            group: "shop.example.com".into(),
            plural: "orders".into(),
            kind: "Order".into(),
            namespaced: true,
            ..Kind::default()
        }
    }

    /// `ns/account`, with `!` where that is only shown.
    fn found(roles: &[Value], bindings: &[Value], here: (&[Value], &[Value]), width: &Width) -> Vec<String> {
        let read = |all: &[Value]| serde_json::from_value(json!(all)).unwrap();
        let rbac = Rbac::of(
            &serde_json::from_value::<Vec<ClusterRole>>(read(roles)).unwrap(),
            serde_json::from_value(read(bindings)).unwrap(),
            &serde_json::from_value::<Vec<Role>>(read(here.0)).unwrap(),
            serde_json::from_value(read(here.1)).unwrap(),
        );
        let workloads = [
            workload("ops", "op"),
            workload("shop", "helper"),
            workload("victim", "break-glass"),
        ];
        let found = rbac.candidates(&workloads, &orders(), width);
        let named = found.iter().map(|c| {
            let (namespace, name) = c.workload.account();
            format!("{namespace}/{name}{}", if c.trusted { "" } else { "!" })
        });
        named.collect()
    }

    #[test]
    fn who_may_change_the_finalizers_of_a_kind() {
        let none = json!({});
        let roles = [
            role("operator", "shop.example.com", json!(["orders/finalizers"]), &none),
            role("writer", "shop.example.com", json!(["orders"]), &none),
            role("all", "*", json!(["*"]), &none),
            role(
                "one",
                "shop.example.com",
                json!(["orders/finalizers"]),
                &json!({"resourceNames": ["o"]}),
            ),
            role(
                "reader",
                "shop.example.com",
                json!(["orders/finalizers"]),
                &json!({"verbs": ["get"]}),
            ),
            role("edit", "shop.example.com", json!(["orders/finalizers"]), &none),
        ];
        let op = account("ops", "op");
        let cases: [(&str, &Width, &[&str]); 10] = [
            ("operator", &Width::Finalizers, &["ops/op"]),
            ("operator", &Width::Named, &[]),
            ("writer", &Width::Finalizers, &[]),
            ("writer", &Width::Named, &["ops/op"]),
            ("all", &Width::Named, &[]),
            ("all", &Width::Any, &["ops/op"]),
            ("one", &Width::Finalizers, &[]),
            ("reader", &Width::Finalizers, &[]),
            ("edit", &Width::Finalizers, &[]),
            ("operator", &Width::Group("shop.example.com".into()), &[]),
        ];
        for (role, width, wanted) in cases {
            let bindings = [binding("ClusterRole", role, &op)];
            assert_eq!(found(&roles, &bindings, (&[], &[]), width), wanted, "{role} {width:?}");
        }
        let both = [
            binding("ClusterRole", "operator", &op),
            binding("ClusterRole", "all", &op),
        ];
        let of_group = Width::Group("shop.example.com".into());
        assert_eq!(found(&roles, &both, (&[], &[]), &of_group), ["ops/op"]);
    }

    #[test]
    fn accounts_by_whatever_name() {
        let roles = [role(
            "operator",
            "shop.example.com",
            json!(["orders/finalizers"]),
            &json!({}),
        )];
        let cases = [
            (
                json!({"kind": "User", "name": "system:serviceaccount:ops:op"}),
                vec!["ops/op"],
            ),
            (
                json!({"kind": "Group", "name": "system:serviceaccounts:ops"}),
                vec!["ops/op"],
            ),
            (json!({"kind": "Group", "name": "system:serviceaccounts"}), vec![]),
            (json!({"kind": "Group", "name": "system:authenticated"}), vec![]),
            (json!({"kind": "User", "name": "op"}), vec![]),
        ];
        for (subject, wanted) in cases {
            let bindings = [binding("ClusterRole", "operator", &subject)];
            assert_eq!(
                found(&roles, &bindings, (&[], &[]), &Width::Finalizers),
                wanted,
                "{subject}"
            );
        }
    }

    /// Who may bind roles in a namespace can name any account there.
    #[test]
    fn a_binding_in_the_namespace_of_a_tenant() {
        let here = [role(
            "own",
            "shop.example.com",
            json!(["orders/finalizers"]),
            &json!({}),
        )];
        let bindings = [
            binding("Role", "own", &account("victim", "break-glass")),
            binding("Role", "own", &account("shop", "helper")),
            binding("Role", "none", &account("ops", "op")),
        ];
        let found = found(&[], &[], (&here, &bindings), &Width::Finalizers);
        assert_eq!(found, ["shop/helper", "victim/break-glass!"]);
    }
}
