//! What is read for a surge: the Deployments of the namespaces that pods are to leave, and what would work against it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment as ApiDeployment, ReplicaSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{PersistentVolumeClaim, ResourceQuota},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::api::{ApiResource, GroupVersionKind};
use upkeep::Result;

use super::{Lists, lists::FromMeta, locks::Claims};
use crate::{
    drive::{
        lock::Locks,
        publish::{EVACUATION, Evacuation},
    },
    engine::surge::record::{Record, SURGE, Written},
    facts::{Deployment, Facts, Meta, Node, Quota, Scaler, Scaling, Uid},
};

/// Reads it.
///
/// # Errors
/// Anything but a missing right.
pub async fn scaling(lists: &Lists, facts: &Facts, claims: &Claims, locks: &Locks) -> Result<Scaling> {
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
    let told = Told::of(&facts.targets);
    let (cut_off, sets) = futures::try_join!(cut_off(lists, &told), sets)?;
    let sets = sets.known().map_or(&[][..], Vec::as_slice);
    let copied = || {
        let copies = sets.iter().filter_map(|set| Some((set, set.copy.this()?)));
        copies.filter(|(set, record)| set.owner.as_ref().is_some_and(|uid| told.has_surged(uid, record)))
    };
    let namespaces = leaving().map(|p| p.namespace.as_str());
    let namespaces: BTreeSet<&str> = namespaces
        .chain(cut_off.iter().map(String::as_str))
        .chain(copied().map(|(set, _)| set.namespace.as_str()))
        .collect();
    let on_one_node = leaving().any(|p| p.claims.iter().any(|c| !c.ephemeral));
    let (deployments, scalers, quotas, shared, scaled_objects) = futures::join!(
        lists.within::<ApiDeployment, Deployment>(&namespaces),
        lists.within::<HorizontalPodAutoscaler, Scaler>(&namespaces),
        lists.within::<ResourceQuota, Quota>(&namespaces),
        async {
            if on_one_node {
                lists.within::<PersistentVolumeClaim, Shared>(&namespaces).await
            } else {
                Ok(Vec::new())
            }
        },
        scaled_objects(lists, &namespaces),
    );
    let shared = lists.seen(shared, "persistentvolumeclaims")?;
    Ok(Scaling {
        deployments: lists
            .seen(deployments, "deployments.apps")?
            .map(|all: Vec<Deployment>| {
                let believed = all.into_iter().map(|deployment| match deployment.record.this() {
                    Some(record) if told.is_about(record) && !told.has_surged(&deployment.uid, record) => Deployment {
                        record: Written::Nothing,
                        ..deployment
                    },
                    _ => deployment,
                });
                believed.collect()
            }),
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
        busy: claims.busy(facts.nodes.known().into_iter().flatten().chain(&facts.targets), locks),
    })
}

/// Namespaces with Deployments whose surge for one of these nodes was not ended. Its pods may have gone already.
async fn cut_off(lists: &Lists, told: &Told) -> Result<BTreeSet<String>> {
    let all = lists.metadata::<ApiDeployment, Meta>("deployments.apps").await?;
    let concerned = all.known().into_iter().flatten().filter(|deployment| {
        let record = Written::<Record>::read(Some(&deployment.annotations), SURGE);
        record.this().is_some_and(|r| told.has_surged(&deployment.uid, r))
    });
    Ok(concerned.map(|deployment| deployment.namespace.clone()).collect())
}

/// What nodes tell of the surges of their evacuations. Those who may write a Deployment may write any record on it; that it
/// is one of ours is believed where a node that it names says so, too.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<String, Option<Evacuation>>);

impl Told {
    /// What these nodes tell.
    pub fn of<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        let told = nodes.into_iter().map(|node| {
            let text = node.annotations.get(EVACUATION);
            (node.name.clone(), text.and_then(|text| Evacuation::read(text)))
        });
        Self(told.collect())
    }

    /// Whether the record names one of these nodes.
    pub fn is_about(&self, record: &Record) -> bool {
        record.nodes.iter().any(|node| self.0.contains_key(node))
    }

    /// Whether one of these nodes tells of this record, too.
    pub fn has_surged(&self, deployment: &str, record: &Record) -> bool {
        let mut nodes = record.nodes.iter().filter_map(|node| self.0.get(node)?.as_ref());
        nodes.any(|told| told.has_surged(deployment, &record.run))
    }
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
    let each = namespaces
        .iter()
        .map(|namespace| lists.dynamic(&resource, Some(namespace)));
    let found = futures::future::join_all(each).await;
    let targets = found.into_iter().flatten().flatten().filter_map(|object| {
        let target = object.data.pointer("/spec/scaleTargetRef")?;
        let kind = target.get("kind").and_then(|k| k.as_str()).unwrap_or("Deployment");
        let name = target.get("name")?.as_str()?.to_owned();
        Some((object.metadata.namespace.unwrap_or_default(), kind.to_owned(), name))
    });
    targets.collect()
}
