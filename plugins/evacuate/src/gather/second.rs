//! What is worth reading only after the first lists: volumes where pods have claims, Jobs where pods of them run, endpoints
//! where webhooks intercept evictions, and who else may be at work on the nodes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        batch::v1 as batch,
        coordination::v1::Lease,
        core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim},
        discovery::v1::EndpointSlice,
        storage::v1::CSINode,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::api::{Api, ApiResource, GroupVersionKind, ListParams};
use upkeep::{
    Result,
    client::{Connection, Item},
    report::Seen,
};

use super::{Lists, lists::FromMeta};
use crate::{
    facts::{Facts, Job, Jobs, Pod, Volume, Volumes, Webhook},
    preflight::jobs,
};

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
    let of_jobs = |pod: &&Pod| targets.contains(&pod.node) && jobs::may_finish(pod);
    let job_namespaces: BTreeSet<&str> = facts
        .pods
        .iter()
        .filter(of_jobs)
        .map(|p| p.namespace.as_str())
        .collect();
    let (volumes, jobs, (), maintenances, leases) = futures::join!(
        async {
            if claims || delete {
                volumes(lists).await
            } else {
                Ok(Seen::Known(Volumes::default()))
            }
        },
        running_jobs(lists, &job_namespaces),
        async {
            if let Seen::Known(hooks) = &mut hooks {
                futures::future::join_all(hooks.iter_mut().map(|hook| backends(connection, hook))).await;
            }
        },
        maintenances(lists),
        leases(connection),
    );
    facts.webhooks = hooks;
    facts.volumes = volumes?;
    facts.jobs = jobs?;
    let (namespaces, limits) = futures::try_join!(namespaces(lists, facts), volume_limits(lists, facts))?;
    facts.namespaces = namespaces;
    facts.volume_limits = limits;
    facts.maintenances = maintenances
        .into_iter()
        .filter(|(node, _)| targets.contains(node))
        .collect();
    facts.leases = leases.into_iter().filter(|(node, _)| targets.contains(node)).collect();
    Ok(())
}

/// Jobs of these namespaces. Their specs are needed, so only those are read whose pods may be evicted.
async fn running_jobs(lists: &Lists, namespaces: &BTreeSet<&str>) -> Result<Seen<Jobs>> {
    if namespaces.is_empty() {
        return Ok(Seen::Known(Jobs::new()));
    }
    let listed = lists.seen(lists.within::<batch::Job, Job>(namespaces).await, "jobs.batch")?;
    Ok(listed.map(|jobs| jobs.into_iter().map(|job| (job.uid.clone(), job)).collect()))
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

/// Labels of namespaces, where a term of a pod looks at them.
async fn namespaces(lists: &Lists, facts: &Facts) -> Result<Seen<BTreeMap<String, BTreeMap<String, String>>>> {
    if !facts.pods.iter().any(|pod| pod.scheduling.looks_at_namespaces()) {
        return Ok(Seen::Known(BTreeMap::new()));
    }
    let found = lists.metadata::<Namespace, Labelled>("namespaces").await?;
    Ok(found.map(|all| all.into_iter().map(|one| (one.name, one.labels)).collect()))
}

struct Labelled {
    name: String,
    labels: BTreeMap<String, String>,
}

impl FromMeta for Labelled {
    fn from_meta(meta: ObjectMeta) -> Self {
        Self {
            name: meta.name.unwrap_or_default(),
            labels: meta.labels.unwrap_or_default(),
        }
    }
}

/// How many volumes of each driver nodes take, where a pod that goes has a volume of one.
async fn volume_limits(lists: &Lists, facts: &Facts) -> Result<Seen<BTreeMap<String, BTreeMap<String, i64>>>> {
    let volumes = facts.volumes.known();
    let of_driver = |pod: &Pod| {
        pod.claims.iter().any(|claim| {
            let key = (pod.namespace.clone(), claim.name.clone());
            let volume = volumes.and_then(|all| all.volumes.get(all.claims.get(&key)?));
            volume.is_some_and(|volume| volume.driver.is_some())
        })
    };
    let goes = |pod: &&Pod| facts.targets.iter().any(|node| node.name == pod.node);
    if !facts.pods.iter().filter(goes).any(of_driver) {
        return Ok(Seen::Known(BTreeMap::new()));
    }
    let found = lists.all::<CSINode, Limits>(ListParams::default()).await;
    let found = lists.seen(found, "csinodes.storage.k8s.io")?;
    Ok(found.map(|all| all.into_iter().map(|one| (one.node, one.drivers)).collect()))
}

struct Limits {
    node: String,
    drivers: BTreeMap<String, i64>,
}

impl From<CSINode> for Limits {
    fn from(object: CSINode) -> Self {
        let drivers = object.spec.drivers.into_iter().filter_map(|driver| {
            let count = driver.allocatable?.count?;
            Some((driver.name, i64::from(count)))
        });
        Self {
            node: object.metadata.name.unwrap_or_default(),
            drivers: drivers.collect(),
        }
    }
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
            driver: spec.csi.map(|csi| csi.driver),
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
    let api: Api<Item<EndpointSlice>> = Api::namespaced(connection.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    hook.backends = match api.list(&params).await {
        Ok(slices) => {
            let endpoints = slices.items.into_iter().flat_map(|s| s.into_inner().endpoints);
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
async fn maintenances(lists: &Lists) -> Vec<(String, String)> {
    let kind = GroupVersionKind::gvk("nodemaintenance.medik8s.io", "v1beta1", "NodeMaintenance");
    let resource = ApiResource::from_gvk_with_plural(&kind, "nodemaintenances");
    let objects = lists.dynamic(&resource, None).await.unwrap_or_default();
    let pairs = objects.into_iter().filter_map(|object| {
        let node = object.data.pointer("/spec/nodeName")?.as_str()?.to_owned();
        Some((node, object.metadata.name.unwrap_or_default()))
    });
    pairs.collect()
}

/// Held remediation leases, by node.
async fn leases(connection: &Connection) -> BTreeMap<String, String> {
    let api: Api<Item<Lease>> = Api::namespaced(connection.client.clone(), LEASE_NAMESPACE);
    let leases = api
        .list(&ListParams::default())
        .await
        .map(|list| list.items)
        .unwrap_or_default();
    let pairs = leases.into_iter().filter_map(|lease| {
        let lease = lease.into_inner();
        let node = lease.metadata.name?.strip_prefix("node-")?.to_owned();
        Some((node, lease.spec?.holder_identity.filter(|holder| !holder.is_empty())?))
    });
    pairs.collect()
}
