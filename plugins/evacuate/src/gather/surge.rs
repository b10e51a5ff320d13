//! What is read for a surge: the Deployments of the namespaces that pods are to leave, and what would work against it.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment as ApiDeployment, ReplicaSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{PersistentVolumeClaim, ResourceQuota},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::Timestamp,
};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use upkeep::{
    Result,
    lock::{Identity, LOCK, Verdict, verdict},
};

use super::{Lists, lists::FromMeta};
use crate::{
    engine::surge::record::{Record, SURGE, Written},
    facts::{Deployment, Facts, Meta, Quota, Scaler, Scaling, Uid},
};

/// Reads it.
///
/// # Errors
/// Anything but a missing right.
pub async fn scaling(lists: &Lists, facts: &Facts) -> Result<Scaling> {
    let targets: BTreeSet<&str> = facts.targets.iter().map(|n| n.name.as_str()).collect();
    let from_sets = |p: &&crate::facts::Pod| p.owner.as_ref().is_some_and(|o| o.kind == "ReplicaSet");
    let leaving = || {
        facts
            .pods
            .iter()
            .filter(|p| targets.contains(p.node.as_str()))
            .filter(from_sets)
    };
    let sets = lists.metadata::<ReplicaSet, OwnedBy>("replicasets.apps");
    let (cut_off, sets) = futures::try_join!(cut_off(lists, &targets), sets)?;
    let sets = sets.known().map_or(&[][..], Vec::as_slice);
    let ours = |record: &&Record| record.nodes.iter().any(|n| targets.contains(n.as_str()));
    let copied = || sets.iter().filter_map(|set| Some((set, set.copy.this().filter(ours)?)));
    let namespaces = leaving().map(|p| p.namespace.as_str());
    let namespaces: BTreeSet<&str> = namespaces
        .chain(cut_off.iter().map(String::as_str))
        .chain(copied().map(|(set, _)| set.namespace.as_str()))
        .collect();
    let claims = leaving().any(|p| p.claims.iter().any(|c| !c.ephemeral));
    let (deployments, scalers, quotas, shared, scaled_objects) = futures::join!(
        lists.within::<ApiDeployment, Deployment>(&namespaces),
        lists.within::<HorizontalPodAutoscaler, Scaler>(&namespaces),
        lists.within::<ResourceQuota, Quota>(&namespaces),
        async {
            if claims {
                lists.within::<PersistentVolumeClaim, Shared>(&namespaces).await
            } else {
                Ok(Vec::new())
            }
        },
        scaled_objects(lists, &namespaces),
    );
    let shared = lists.seen(shared, "persistentvolumeclaims")?;
    Ok(Scaling {
        deployments: lists.seen(deployments, "deployments.apps")?,
        copies: copied()
            .filter_map(|(set, record)| Some((set.owner.clone()?, record.run.clone())))
            .collect(),
        sets: sets
            .iter()
            .filter_map(|set| Some((set.uid.clone(), set.owner.clone()?)))
            .collect(),
        scalers: lists.seen(scalers, "horizontalpodautoscalers.autoscaling")?,
        scaled_objects,
        quotas: lists.seen(quotas, "resourcequotas")?,
        shared_claims: shared.map(|claims| claims.into_iter().filter_map(|c| c.0).collect()),
        busy: busy(facts),
    })
}

/// Namespaces with Deployments whose surge for one of these nodes was not ended. Its pods may have gone already.
async fn cut_off(lists: &Lists, targets: &BTreeSet<&str>) -> Result<BTreeSet<String>> {
    let all = lists.metadata::<ApiDeployment, Meta>("deployments.apps").await?;
    let concerned = all.known().into_iter().flatten().filter(|deployment| {
        let record = Written::<Record>::read(Some(&deployment.annotations), SURGE);
        record
            .this()
            .is_some_and(|r| r.nodes.iter().any(|n| targets.contains(n.as_str())))
    });
    Ok(concerned.map(|deployment| deployment.namespace.clone()).collect())
}

/// Nodes whose lock is fresh.
fn busy(facts: &Facts) -> BTreeSet<String> {
    let (now, me) = (Timestamp::now(), Identity::current());
    let all = facts.nodes.known().into_iter().flatten().chain(&facts.targets);
    let held = all.filter(|node| {
        let text = node.annotations.get(LOCK).map(String::as_str);
        matches!(verdict(text, now, &me), Verdict::Fresh { .. })
    });
    held.map(|node| node.name.clone()).collect()
}

/// A ReplicaSet with the Deployment that it belongs to, and its copy of that one's record.
struct OwnedBy {
    namespace: String,
    uid: Uid,
    owner: Option<Uid>,
    copy: Written<Record>,
}

impl FromMeta for OwnedBy {
    fn from_meta(meta: ObjectMeta) -> Self {
        let mut owners = meta.owner_references.into_iter().flatten();
        let owner = owners.find(|o| o.controller == Some(true) && o.kind == "Deployment" && o.api_version == "apps/v1");
        Self {
            namespace: meta.namespace.unwrap_or_default(),
            copy: Written::read(meta.annotations.as_ref(), SURGE),
            uid: meta.uid.unwrap_or_default(),
            owner: owner.map(|o| o.uid),
        }
    }
}

/// Namespace and name of a claim, where pods of several nodes can use it at the same time.
struct Shared(Option<(String, String)>);

impl From<PersistentVolumeClaim> for Shared {
    fn from(claim: PersistentVolumeClaim) -> Self {
        let modes = claim.spec.and_then(|s| s.access_modes).unwrap_or_default();
        let shared = modes
            .iter()
            .any(|m| matches!(m.as_str(), "ReadWriteMany" | "ReadOnlyMany"));
        let name = || {
            (
                claim.metadata.namespace.unwrap_or_default(),
                claim.metadata.name.unwrap_or_default(),
            )
        };
        Self(shared.then(name))
    }
}

/// What KEDA scales. Most clusters do not have the kind; its autoscalers are found all the same, by their owner.
async fn scaled_objects(lists: &Lists, namespaces: &BTreeSet<&str>) -> BTreeSet<(String, String, String)> {
    let kind = GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject");
    let resource = ApiResource::from_gvk_with_plural(&kind, "scaledobjects");
    let each = namespaces.iter().map(|namespace| {
        let api: Api<DynamicObject> = Api::namespaced_with(lists.client(), namespace, &resource);
        async move {
            api.list(&ListParams::default())
                .await
                .map(|list| list.items)
                .unwrap_or_default()
        }
    });
    let found = futures::future::join_all(each).await;
    let targets = found.into_iter().flatten().filter_map(|object| {
        let target = object.data.pointer("/spec/scaleTargetRef")?;
        let kind = target.get("kind").and_then(|k| k.as_str()).unwrap_or("Deployment");
        let name = target.get("name")?.as_str()?.to_owned();
        Some((object.metadata.namespace.unwrap_or_default(), kind.to_owned(), name))
    });
    targets.collect()
}
