//! Whether a controller that is alive may still do its work: its RoleBinding may have been deleted before the object.

use upkeep::{discovery::Kind, ui::command};

use super::super::{Actor, desk::Desk};
use crate::facts::{Ask, Object, Right, Workload};

/// The right that it lacks, and how it gets it back. Nothing inside where it has it or the server does not tell, and nothing at
/// all while it is not known.
pub fn lacks(desk: &Desk<'_>, kind: &Kind, object: &Object, actor: &Actor) -> Option<Option<(String, String)>> {
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
    let within = object
        .namespace
        .iter()
        .map(|namespace| format!(" in namespace {namespace}"));
    let evidence = format!(
        "its ServiceAccount {namespace}/{account} may neither update nor patch {resource}{}",
        within.collect::<String>()
    );
    let name = format!("{account}-{}", kind.plural);
    let verbs = [
        "--verb=get,list,watch,update,patch".to_owned(),
        format!("--resource={resource}"),
    ];
    let role = command(
        "kubectl create clusterrole",
        [name.as_str()].into_iter().chain(verbs.iter().map(String::as_str)),
    );
    let to = [
        format!("--clusterrole={name}"),
        format!("--serviceaccount={namespace}:{account}"),
    ];
    let binding = command(
        "kubectl create clusterrolebinding",
        [name.as_str()].into_iter().chain(to.iter().map(String::as_str)),
    );
    let way = format!(
        "give it the right back until the object is deleted; a RoleBinding cannot be created in a namespace that is being \
         deleted: '{role}', then '{binding}'"
    );
    Some(Some((evidence, way)))
}
