//! What is read about nodes whose kubelets are silent: when they were last heard of, what is attached to them, and what
//! the server's controllers would do for them.

use futures::future::{join, join_all};
use k8s_openapi::{
    api::{coordination::v1::Lease, storage::v1::VolumeAttachment},
    apimachinery::pkg::version::Info,
    jiff::Timestamp,
};
use kube::{Api, Client, Error, api::ListParams};
use upkeep::{Result, client::Item, node::LEASE_NAMESPACE};

use super::{Lists, lists::optional};
use crate::facts::{Attachment, Facts, Ready, Silence};

/// The minor version in which the taint has become generally available (KEP-2268).
const KNOWS_TAINT: u32 = 28;

/// Fills in what is known about silent nodes among the targets, if there are any.
///
/// # Errors
/// Anything but a missing right.
pub async fn complete(lists: &Lists, facts: &mut Facts) -> Result<()> {
    let silent = facts.targets.iter().filter(|n| n.ready == Ready::Unknown);
    let names: Vec<String> = silent.map(|n| n.name.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let client = lists.client();
    let leases = join_all(names.into_iter().map(async |name| {
        let renewed = optional(last_heard(&client, &name).await, "get", "leases.coordination.k8s.io");
        renewed.map(|renewed| (name, renewed)).map_err(|e| lists.explain(&e))
    }));
    let (leases, version) = join(leases, client.apiserver_version()).await;
    let version = version.map_err(|e| lists.explain(&e))?;
    facts.silence = Some(Silence {
        leases: leases.into_iter().collect::<Result<_>>()?,
        knows_taint: knows_taint(&version),
    });
    Ok(())
}

/// Fills in what is attached to the targets.
///
/// # Errors
/// Anything but a missing right.
pub async fn attachments(lists: &Lists, facts: &mut Facts) -> Result<()> {
    let all = lists.all::<VolumeAttachment, Attachment>(ListParams::default()).await;
    let all = lists.seen(all, "volumeattachments.storage.k8s.io")?;
    let here = |a: &Attachment| facts.targets.iter().any(|t| t.name == a.node);
    facts.attachments = all.map(|all| all.into_iter().filter(here).collect());
    Ok(())
}

/// When a kubelet has last renewed its Lease; nothing where there is none.
///
/// # Errors
/// The server's.
pub async fn last_heard(client: &Client, node: &str) -> std::result::Result<Option<Timestamp>, Error> {
    let leases: Api<Item<Lease>> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let lease = leases.get_opt(node).await?;
    // A Lease that cannot be read is no Lease that is missing.
    if let Some(unread) = lease.as_ref().and_then(Item::unread) {
        return Err(Error::SerdeError(serde::de::Error::custom(&unread.why)));
    }
    Ok(lease.and_then(|l| l.into_inner().spec?.renew_time).map(|t| t.0))
}

/// Vendors write the minor version as `27+`.
fn knows_taint(version: &Info) -> bool {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    };
    match (number(&version.major), number(&version.minor)) {
        (Some(1), Some(minor)) => minor >= KNOWS_TAINT,
        (Some(major), _) => major > 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_know_the_taint() {
        let known = |major: &str, minor: &str| {
            knows_taint(&Info {
                major: major.into(),
                minor: minor.into(),
                ..Info::default()
            })
        };
        assert!(known("1", "28") && known("1", "36+") && known("2", "0"));
        assert!(!known("1", "27") && !known("1", "9+") && !known("", "") && !known("v1", "30"));
    }
}
