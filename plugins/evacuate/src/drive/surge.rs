//! The requests of a surge. Each change is bound to the object that was looked at, by UID and resourceVersion.

use std::{collections::BTreeMap, fmt::Debug};

use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::{Deployment as ApiDeployment, ReplicaSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::Pod as ApiPod,
};
use kube::{
    Api, Client, Error, Resource,
    api::{ListParams, PartialObjectMeta, Patch, PostParams},
    core::NamespaceResourceScope,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use upkeep::{
    client::{Item, pages},
    report::ObjRef,
};

use super::{
    claim::{MANAGER, params},
    moves::Moves,
    watch::{PAGE, Pace, SERVER_TIMEOUT, Sender, smaller},
};
use crate::{
    engine::{
        event::What,
        surge::{
            record::{COST, MARK, SURGE, Written},
            sight::{Act, Member, Sight, Subject},
        },
    },
    facts::{Deployment, Owner, Scaler},
};

/// One Deployment that is surged.
pub struct Surgery {
    client: Client,
    namespace: String,
    deployment: ObjRef,
    chunk: u32,
    moves: Moves,
}

impl Surgery {
    pub fn new(client: Client, deployment: ObjRef, chunk: u32, moves: Moves) -> Self {
        Self {
            client,
            namespace: deployment.namespace.clone().unwrap_or_default(),
            deployment,
            chunk,
            moves,
        }
    }

    fn api<K>(&self) -> Api<Item<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Reads the Deployment and what belongs to it. The Deployment comes first, so that its pods are not older than the
    /// version that changes are bound to.
    ///
    /// # Errors
    /// The server's.
    pub async fn look(&self) -> Result<Option<Sight>, Error> {
        let Some(found) = self.api::<ApiDeployment>().get_opt(&self.deployment.name).await? else {
            return Ok(None);
        };
        let deployment = Deployment::from(found.into_inner());
        if deployment.uid != self.deployment.uid || deployment.deleting {
            return Ok(None);
        }
        let selected = ListParams::default().labels(&deployment.selector);
        let (pods, sets, scalers) = futures::try_join!(
            self.list::<ApiPod>(selected.clone()),
            async {
                let sets = self.api::<ReplicaSet>().list_metadata(&selected).await?;
                Ok(sets.items)
            },
            self.list::<HorizontalPodAutoscaler>(ListParams::default()),
        )?;
        let ours = sets.into_iter().filter(|set| {
            let mut owners = set.metadata.owner_references.iter().flatten();
            owners.any(|o| o.controller == Some(true) && o.uid == deployment.uid)
        });
        let mut copies = BTreeMap::new();
        for set in ours {
            let copy = set.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(SURGE));
            copies.insert(
                set.metadata.uid.unwrap_or_default(),
                (set.metadata.name.unwrap_or_default(), copy),
            );
        }
        let pods = pods
            .into_iter()
            .filter_map(|pod| member(pod, |set| copies.contains_key(set)));
        // One whose limits were raised is to get them back, whatever it scales by now.
        let run = deployment.record.this().map(|record| record.run.clone());
        let raised = |s: &Scaler| s.autoscaler.raised.this().is_some_and(|r| Some(&r.run) == run.as_ref());
        let mut scalers: Vec<Scaler> = scalers.into_iter().map(Scaler::from).collect();
        scalers.sort_by_key(|scaler| !raised(scaler));
        Ok(Some(Sight {
            pods: pods.collect(),
            autoscaler: scalers
                .into_iter()
                .find(|s| raised(s) || s.scales(&deployment))
                .map(|s| s.autoscaler),
            copies: copies
                .into_values()
                .filter(|(_, copy)| *copy)
                .map(|(name, _)| name)
                .collect(),
            replicas: deployment.replicas,
            unsettled: deployment.unsettled,
            observed: deployment.observed,
            failure: deployment.failure,
            min_ready: i64::from(deployment.min_ready).saturating_mul(1_000),
            patience: i64::from(deployment.patience).saturating_mul(1_000),
            record: deployment.record,
            version: deployment.version,
        }))
    }

    async fn list<K>(&self, params: ListParams) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Default,
    {
        let api = self.api::<K>();
        let read = |_, item: Item<K>| Some(item.into_inner());
        pages(async |params| api.list(&params).await, params, self.chunk, read).await
    }

    /// Sends one request.
    ///
    /// # Errors
    /// The server's.
    pub async fn act(&self, act: &Act) -> Result<(), Error> {
        match act {
            Act::Look => self.look().await.map(drop),
            Act::Write { version, record } => {
                let record = match record {
                    Some(record) => Value::String(serde_json::to_string(record).map_err(Error::SerdeError)?),
                    None => Value::Null,
                };
                let subject = Subject {
                    name: self.deployment.name.clone(),
                    uid: self.deployment.uid.clone(),
                    version: version.clone(),
                };
                self.patch::<ApiDeployment>(&subject, json!({ SURGE: record }), None)
                    .await
            }
            Act::Mark { pod, cost, mark } => {
                let mark = serde_json::to_string(mark).map_err(Error::SerdeError)?;
                self.patch::<ApiPod>(pod, json!({ COST: cost, MARK: mark }), None).await
            }
            Act::Unmark { pod, cost } => self.patch::<ApiPod>(pod, json!({ COST: cost, MARK: null }), None).await,
            Act::Raise { autoscaler, raised } => {
                let limits = json!({ "minReplicas": raised.raised_min, "maxReplicas": raised.raised_max });
                let raised = serde_json::to_string(raised).map_err(Error::SerdeError)?;
                self.patch::<HorizontalPodAutoscaler>(autoscaler, json!({ SURGE: raised }), Some(limits))
                    .await
            }
            Act::Restore { autoscaler, limits } => {
                let mut spec = json!({});
                if let Some(min) = limits.0 {
                    spec["minReplicas"] = json!(min);
                }
                if let Some(max) = limits.1 {
                    spec["maxReplicas"] = json!(max);
                }
                self.patch::<HorizontalPodAutoscaler>(autoscaler, json!({ SURGE: null }), Some(spec))
                    .await
            }
            Act::Scale { version, replicas } => self.scale(version, *replicas).await,
            Act::Ask { pod } => {
                let pod = ObjRef::namespaced("pod", &self.namespace, &pod.name, &pod.uid);
                self.moves.evict(&self.client, &pod, true).await
            }
            Act::ForgetCopy { replica_set } => {
                let patch = json!({ "metadata": { "annotations": { SURGE: null } } });
                let api = self.api::<ReplicaSet>();
                api.patch(replica_set, &params(), &Patch::Merge(patch)).await.map(drop)
            }
            Act::All(acts) => {
                let sent = acts.iter().map(|act| Box::pin(self.act(act)));
                let answers = futures::future::join_all(sent).await;
                answers.into_iter().collect()
            }
        }
    }

    async fn patch<K>(&self, subject: &Subject, annotations: Value, spec: Option<Value>) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Default,
    {
        let mut patch = json!({ "metadata": {
            "uid": subject.uid,
            "resourceVersion": subject.version,
            "annotations": annotations,
        } });
        if let Some(spec) = spec {
            patch["spec"] = spec;
        }
        self.api::<K>()
            .patch(&subject.name, &params(), &Patch::Merge(patch))
            .await
            .map(drop)
    }

    /// A PUT, because the scale subresource takes the UID and the resourceVersion of a whole object as preconditions.
    async fn scale(&self, version: &str, replicas: i32) -> Result<(), Error> {
        let scale = json!({
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {
                "name": self.deployment.name,
                "namespace": self.namespace,
                "uid": self.deployment.uid,
                "resourceVersion": version,
            },
            "spec": { "replicas": replicas },
        });
        let scale = serde_json::from_value(scale).map_err(Error::SerdeError)?;
        let params = PostParams {
            dry_run: false,
            field_manager: Some(MANAGER.into()),
        };
        let api = self.api::<ApiDeployment>();
        api.replace_scale(&self.deployment.name, &params, &scale)
            .await
            .map(drop)
    }
}

/// A pod of the Deployment, if it is one and has not finished.
fn member(pod: ApiPod, ours: impl Fn(&str) -> bool) -> Option<Member> {
    let created = pod
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(0, |t| t.0.as_millisecond());
    let version = pod.metadata.resource_version.clone().unwrap_or_default();
    let trouble = trouble(&pod);
    let pod = crate::facts::Pod::from(pod);
    let Owner { uid: set, .. } = pod.owner.clone().filter(|o| ours(&o.uid))?;
    (!pod.finished()).then(|| Member {
        mark: Written::read(Some(&pod.annotations), MARK),
        cost: pod.annotations.get(COST).cloned(),
        name: pod.name,
        uid: pod.uid,
        version,
        node: pod.node,
        ready: pod.ready,
        set,
        deleting: pod.deletion.is_some(),
        created,
        trouble,
    })
}

/// Why a pod does not start, as far as its status says.
fn trouble(pod: &ApiPod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let waiting = status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting
            .reason
            .clone()
            .filter(|r| r != "ContainerCreating" && r != "PodInitializing")?;
        Some(
            waiting
                .message
                .as_ref()
                .map_or(reason.clone(), |message| format!("{reason}: {message}")),
        )
    });
    let mut conditions = status.conditions.iter().flatten();
    let unscheduled = conditions.find(|c| c.type_ == "PodScheduled" && c.status == "False");
    waiting.or_else(|| unscheduled?.message.clone())
}

/// Says when the Deployment or one of its pods changes; what has changed is looked at anew.
pub async fn watch(client: Client, deployment: ObjRef, to: Sender) {
    let namespace = deployment.namespace.clone().unwrap_or_default();
    let api: Api<Item<ApiDeployment>> = Api::namespaced(client.clone(), &namespace);
    let Ok(Some(found)) = api.get_opt(&deployment.name).await else {
        // The looks in an interval find out.
        return;
    };
    let selector = Deployment::from(found.into_inner()).selector;
    let field = format!("metadata.name={}", deployment.name);
    let stirred = || {
        let deployment = deployment.uid.clone();
        to.send(What::Stirred { deployment }).is_ok()
    };
    let pods: Api<Item<PartialObjectMeta<ApiPod>>> = Api::namespaced(client.clone(), &namespace);
    let this: Api<Item<PartialObjectMeta<ApiDeployment>>> = Api::namespaced(client, &namespace);
    futures::join!(
        stir(this, watcher::Config::default().fields(&field), stirred),
        stir(pods, watcher::Config::default().labels(&selector), stirred),
    );
}

async fn stir<K>(api: Api<K>, config: watcher::Config, stirred: impl Fn() -> bool)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = config.timeout(SERVER_TIMEOUT);
    let mut page = PAGE;
    let news = |page| watcher::watcher(api.clone(), config.clone().page_size(page)).backoff(Pace::default());
    let mut events = std::pin::pin!(news(page));
    while let Some(event) = events.next().await {
        match event.map_err(|error| smaller(&error, page)) {
            Ok(_) if !stirred() => return,
            Err(Some(smaller)) => {
                page = smaller;
                events.set(news(page));
            }
            _ => {}
        }
    }
}
