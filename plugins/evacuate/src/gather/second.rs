//! What is worth reading only after the first lists: volumes where pods have claims, endpoints where webhooks hear
//! evictions, and who else may be at work on the nodes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    discovery::v1::EndpointSlice,
};
use kube::{
    api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams},
    core::ObjectList,
};
use upkeep::{Result, client::Connection, report::Seen};

use super::Lists;
use crate::facts::{Facts, Volume, Volumes, Webhook};

/// Where the remediation operators of medik8s keep their leases, one per node.
const LEASE_NAMESPACE: &str = "medik8s-leases";

/// Fills in the rest.
pub async fn complete(connection: &Connection, lists: &Lists, facts: &mut Facts, delete: bool) -> Result<()> {
    let targets: BTreeSet<String> = facts.targets.iter().map(|n| n.name.clone()).collect();
    let claims = facts
        .pods
        .iter()
        .any(|p| targets.contains(&p.node) && !p.claims.is_empty());
    let mut hooks = std::mem::replace(&mut facts.webhooks, Seen::Known(Vec::new()));
    let (volumes, (), maintenances, leases) = futures::join!(
        async {
            if claims || delete {
                volumes(lists).await
            } else {
                Ok(Seen::Known(Volumes::default()))
            }
        },
        async {
            if let Seen::Known(hooks) = &mut hooks {
                futures::future::join_all(hooks.iter_mut().map(|hook| backends(connection, hook))).await;
            }
        },
        maintenances(connection),
        leases(connection),
    );
    facts.webhooks = hooks;
    facts.volumes = volumes?;
    facts.maintenances = maintenances
        .into_iter()
        .filter(|(node, _)| targets.contains(node))
        .collect();
    facts.leases = leases.into_iter().filter(|(node, _)| targets.contains(node)).collect();
    Ok(())
}

async fn volumes(lists: &Lists) -> Result<Seen<Volumes>> {
    let claims = lists.all::<PersistentVolumeClaim, BoundClaim>(ListParams::default());
    let volumes = lists.all::<PersistentVolume, Volume>(ListParams::default());
    let (claims, volumes) = futures::future::join(claims, volumes).await;
    let claims = lists.seen(claims, "persistentvolumeclaims")?;
    let volumes = lists.seen(volumes, "persistentvolumes")?;
    Ok(match (claims, volumes) {
        (Seen::Known(claims), volumes) => Seen::Known(Volumes {
            claims: claims.into_iter().map(|c| ((c.namespace, c.name), c.volume)).collect(),
            // Without the volumes themselves their names still tell what to wait for.
            volumes: volumes
                .known()
                .into_iter()
                .flatten()
                .map(|v| (v.name.clone(), v.clone()))
                .collect(),
        }),
        (Seen::Unknown { verb, resource, reason }, _) => Seen::Unknown { verb, resource, reason },
    })
}

struct BoundClaim {
    namespace: String,
    name: String,
    volume: String,
}

impl From<PersistentVolumeClaim> for BoundClaim {
    fn from(claim: PersistentVolumeClaim) -> Self {
        Self {
            namespace: claim.metadata.namespace.unwrap_or_default(),
            name: claim.metadata.name.unwrap_or_default(),
            volume: claim.spec.and_then(|s| s.volume_name).unwrap_or_default(),
        }
    }
}

impl From<PersistentVolume> for Volume {
    fn from(volume: PersistentVolume) -> Self {
        let spec = volume.spec.unwrap_or_default();
        Self {
            name: volume.metadata.name.unwrap_or_default(),
            labels: volume.metadata.labels.unwrap_or_default(),
            local: spec.local.is_some() || spec.host_path.is_some(),
            node_affinity: spec.node_affinity.and_then(|a| a.required),
        }
    }
}

/// The nodes on which ready endpoints of a webhook's service run.
async fn backends(connection: &Connection, hook: &mut Webhook) {
    let Some((namespace, service)) = &hook.service else {
        return;
    };
    let api: Api<EndpointSlice> = Api::namespaced(connection.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    hook.backends = match api.list(&params).await {
        Ok(slices) => {
            let endpoints = slices.items.into_iter().flat_map(|s| s.endpoints);
            let ready = endpoints.filter(|e| e.conditions.as_ref().is_none_or(|c| c.ready != Some(false)));
            // An endpoint outside of the cluster has no node, and is a backend all the same.
            Seen::Known(ready.map(|e| e.node_name.unwrap_or_default()).collect())
        }
        Err(error) => Seen::Unknown {
            verb: "list",
            resource: "endpointslices.discovery.k8s.io".into(),
            reason: upkeep::error::describe(&error),
        },
    };
}

/// NodeMaintenance objects (node-maintenance-operator), by the node that they name. Most clusters do not have the kind.
async fn maintenances(connection: &Connection) -> Vec<(String, String)> {
    let kind = GroupVersionKind::gvk("nodemaintenance.medik8s.io", "v1beta1", "NodeMaintenance");
    let api: Api<DynamicObject> = Api::all_with(
        connection.client.clone(),
        &ApiResource::from_gvk_with_plural(&kind, "nodemaintenances"),
    );
    let found: kube::Result<ObjectList<DynamicObject>> = api.list(&ListParams::default()).await;
    let objects = found.map(|list| list.items).unwrap_or_default();
    let pairs = objects.into_iter().filter_map(|object| {
        let node = object.data.pointer("/spec/nodeName")?.as_str()?.to_owned();
        Some((node, object.metadata.name.unwrap_or_default()))
    });
    pairs.collect()
}

/// Held remediation leases, by node.
async fn leases(connection: &Connection) -> BTreeMap<String, String> {
    let api: Api<Lease> = Api::namespaced(connection.client.clone(), LEASE_NAMESPACE);
    let leases = api
        .list(&ListParams::default())
        .await
        .map(|list| list.items)
        .unwrap_or_default();
    let pairs = leases.into_iter().filter_map(|lease| {
        let node = lease.metadata.name?.strip_prefix("node-")?.to_owned();
        Some((node, lease.spec?.holder_identity.filter(|holder| !holder.is_empty())?))
    });
    pairs.collect()
}
