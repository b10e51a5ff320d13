//! Whether a controller that is alive may still do its work: its RoleBinding may have been deleted before the object.

use upkeep::{discovery::Kind, ui::command};
use wildmatch::WildMatch;

use super::super::{Actor, desk::Desk};
use crate::{
    facts::{Ask, Key, Object, Right, Workload},
    knowledge::Entry,
};

/// The right that it lacks, and how it gets it back. Nothing inside where it has it or the server does not tell, and nothing at
/// all while it is not known.
pub fn lacks(
    desk: &Desk<'_>,
    kind: &Kind,
    object: &Object,
    actor: &Actor,
    entry: Option<&Entry>,
) -> Option<Option<(String, String)>> {
    let Some(key) = &actor.workload else {
        return Some(None);
    };
    let Ok(workloads) = desk.workloads()? else {
        return Some(None);
    };
    let is = |w: &&Workload| w.plural == key.plural && w.object.namespace == key.namespace && w.object.name == key.name;
    let Some(workload) = workloads.iter().find(is) else {
        return Some(None);
    };
    let (namespace, account) = workload.account();
    let may = |verb, subresource| {
        let right = Right {
            verb,
            group: kind.group.clone(),
            plural: kind.plural.clone(),
            subresource,
            namespace: object.namespace.clone(),
        };
        desk.answer(&Ask::AccountMay {
            namespace: namespace.to_owned(),
            account: account.to_owned(),
            right,
        })
    };
    // Either is enough to remove a finalizer. The last one is what an operator's own role has for that.
    let (update, patch, finalizers) = (may("update", ""), may("patch", ""), may("update", "finalizers"));
    if update?.is_ok() || patch?.is_ok() || finalizers?.is_ok() {
        return Some(None);
    }
    let resource = kind.resource();
    let within: Vec<String> = object
        .namespace
        .iter()
        .map(|namespace| format!(" in namespace {namespace}"))
        .collect();
    let evidence = format!(
        "its ServiceAccount {namespace}/{account} may neither update nor patch {resource}{}",
        within.concat()
    );
    let needs = format!(
        "{namespace}/{account} needs update or patch of {resource}{}",
        within.concat()
    );
    // The pods of everybody who gives no account run as this one.
    let way = if account == "default" {
        format!("{needs}: give its pods a ServiceAccount of their own that may")
    } else if !is_known(entry, workload) {
        format!("{needs}: if it is the controller, correct its roles")
    } else {
        let to = (namespace, account);
        match object.namespace.as_deref() {
            Some(within) if is_dying(desk, within)? => format!(
                "{}; in a namespace that is being deleted no RoleBinding can be created",
                granted(kind, None, to)
            ),
            within => granted(kind, within, to),
        }
    };
    Some(Some((evidence, way)))
}

/// Whether the knowledge base names the workload with its namespace: a name alone is too little to grant a right for.
fn is_known(entry: Option<&Entry>, workload: &Workload) -> bool {
    let named = |entry: &Entry| {
        let mut names = entry.workloads.iter();
        names.any(|name| WildMatch::new(name).matches(&workload.object.name))
            && entry
                .namespaces
                .iter()
                .any(|n| Some(n) == workload.object.namespace.as_ref())
    };
    entry.is_some_and(named)
}

/// Whether nothing can be created in a namespace any more. Nothing while that is not known.
fn is_dying(desk: &Desk<'_>, namespace: &str) -> Option<bool> {
    let found = desk.raw(&Key::cluster("", "namespaces", namespace))?;
    Some(found.is_ok_and(|namespace| !namespace["metadata"]["deletionTimestamp"].is_null()))
}

/// The commands that grant the right, in a namespace or everywhere, and take it back.
fn granted(kind: &Kind, within: Option<&str>, (namespace, account): (&str, &str)) -> String {
    // A name that nobody else uses: what takes the grant back deletes by it.
    let name = format!("kubectl-finalize-{account}-{}", kind.plural);
    let (role, binding) = match within {
        Some(_) => ("role", "rolebinding"),
        None => ("clusterrole", "clusterrolebinding"),
    };
    let line = |words: &str, more: &[String]| {
        let place = within.map(|namespace| ["-n", namespace]);
        let arguments = std::iter::once(name.as_str()).chain(more.iter().map(String::as_str));
        command(words, arguments.chain(place.into_iter().flatten()))
    };
    let rules = [
        "--verb=get,list,watch,update,patch".to_owned(),
        format!("--resource={}", kind.resource()),
    ];
    let to = [
        format!("--{role}={name}"),
        format!("--serviceaccount={namespace}:{account}"),
    ];
    format!(
        "give it the right until the object is deleted: '{}', then '{}'; take it back with '{}'",
        line(&format!("kubectl create {role}"), &rules),
        line(&format!("kubectl create {binding}"), &to),
        line(&format!("kubectl delete {binding},{role}"), &[]),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{facts::ReadWorkload, knowledge::Knowledge};

    #[test]
    fn a_grant_reaches_no_further_than_it_must() {
        let kind = Kind {
            group: "shop.example.com".into(),
            plural: "orders".into(),
            ..Kind::default()
        };
        let text = granted(&kind, Some("shop"), ("ops", "keeper"));
        for line in [
            "'kubectl create role kubectl-finalize-keeper-orders --verb=get,list,watch,update,patch \
             --resource=orders.shop.example.com -n shop'",
            "'kubectl create rolebinding kubectl-finalize-keeper-orders --role=kubectl-finalize-keeper-orders \
             --serviceaccount=ops:keeper -n shop'",
            "'kubectl delete rolebinding,role kubectl-finalize-keeper-orders -n shop'",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let text = granted(&kind, None, ("ops", "keeper"));
        assert!(
            text.contains("'kubectl delete clusterrolebinding,clusterrole kubectl-finalize-keeper-orders'"),
            "{text}"
        );
    }

    #[test]
    fn a_name_alone_gets_no_grant() {
        let workload = |namespace: &str| {
            let read: Value = json!({"metadata": {"name": "mariadb-operator", "namespace": namespace}});
            serde_json::from_value::<ReadWorkload>(read).unwrap().of("deployments")
        };
        let entry = |namespaces: &[&str]| {
            let mut entry = Knowledge::built_in().unwrap().entries().first().unwrap().clone();
            entry.workloads = vec!["mariadb-*".into()];
            entry.namespaces = namespaces.iter().map(|&n| n.to_owned()).collect();
            entry
        };
        assert!(is_known(Some(&entry(&["db"])), &workload("db")));
        assert!(!is_known(Some(&entry(&["db"])), &workload("tenant")));
        assert!(!is_known(Some(&entry(&[])), &workload("db")));
        assert!(!is_known(None, &workload("db")));
    }
}
