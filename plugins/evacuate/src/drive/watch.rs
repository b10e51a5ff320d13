//! Lists and watches, turned into news for the engine. One watch instead of a request per pod and second.

use std::{collections::BTreeMap, fmt::Debug, pin::pin, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::{core::v1 as core, policy::v1::PodDisruptionBudget, storage::v1::VolumeAttachment};
use kube::{
    Api, Resource,
    api::ListParams,
    runtime::{
        WatchStreamExt as _,
        utils::Backoff,
        watcher::{self, Error, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use upkeep::{
    client::{Item, fewer},
    error::{describe, is_too_large},
};

use crate::{
    engine::event::{Change, What},
    facts::{Attachment, Node, Pod},
    gather::Nodes,
};

/// Seconds after which the server ends a watch by itself; the client takes longer silence for a dead connection.
pub const SERVER_TIMEOUT: u32 = 60;

/// Objects in a page of the list before a watch, as kube-rs has it.
pub const PAGE: u32 = 500;

/// A watch that fails once or twice is everyday life.
const FAILURES_TO_TELL: u32 = 3;

/// Between two lists of what cannot be watched.
const INTERVAL: Duration = Duration::from_secs(2);

/// Where news goes.
pub type Sender = tokio::sync::mpsc::UnboundedSender<What>;

/// Delays between failed tries to watch: from a quarter of a second to four.
pub struct Pace(Duration);

const QUICKEST: Duration = Duration::from_millis(250);
const SLOWEST: Duration = Duration::from_secs(4);

impl Default for Pace {
    fn default() -> Self {
        Self(QUICKEST)
    }
}

impl Iterator for Pace {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.0;
        self.0 = (now * 2).min(SLOWEST);
        Some(now)
    }
}

impl Backoff for Pace {
    fn reset(&mut self) {
        self.0 = QUICKEST;
    }
}

/// Follows a list and its watch until the receiver is gone or the right to do so is missing; then returns the server's
/// words. `failing` is what to say each time that it fails once more.
async fn follow<K, T>(
    api: Api<Item<K>>,
    config: watcher::Config,
    to: &Sender,
    mut tell: impl FnMut(Change<T>) -> bool,
    failing: impl Fn() -> Option<What>,
) -> Option<String>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Default + Send + 'static,
    T: From<K>,
{
    let config = config.timeout(SERVER_TIMEOUT);
    let mut page = PAGE;
    let news = |page| watcher(api.clone(), config.clone().page_size(page)).backoff(Pace::default());
    let mut events = pin!(news(page));
    let mut list = Vec::new();
    // A list that lacks an object would be taken for less than there is.
    let mut nameless = false;
    let (mut denials, mut failures) = (0, 0);
    while let Some(event) = events.next().await {
        let change = match event {
            Ok(Event::Init) => {
                list.clear();
                nameless = false;
                continue;
            }
            Ok(Event::InitApply(object)) => {
                nameless |= !object.has_name();
                list.push(T::from(object.into_inner()));
                continue;
            }
            Ok(Event::InitDone) if nameless => {
                let text = format!(
                    "an object in the list of {} has no name that can be read",
                    K::plural(&())
                );
                let _ = to.send(What::Unwell(text));
                if let Some(what) = failing() {
                    let _ = to.send(what);
                }
                continue;
            }
            Ok(Event::Apply(object) | Event::Delete(object)) if !object.has_name() => continue,
            Ok(Event::InitDone) => Change::Listed(std::mem::take(&mut list)),
            Ok(Event::Apply(object)) => Change::Applied(T::from(object.into_inner())),
            Ok(Event::Delete(object)) => Change::Gone(T::from(object.into_inner())),
            Err(error) => {
                if let Some(smaller) = smaller(&error, page) {
                    page = smaller;
                    events.set(news(page));
                    continue;
                }
                // One Forbidden may be a control plane that is just coming up.
                match denied(&error) {
                    Some(text) if denials >= 1 => return Some(text),
                    Some(_) => denials += 1,
                    None => failures += 1,
                }
                if failures == FAILURES_TO_TELL {
                    let _ = to.send(What::Unwell(words(&error)));
                }
                if failures > 1
                    && let Some(what) = failing()
                {
                    let _ = to.send(what);
                }
                continue;
            }
        };
        (denials, failures) = (0, 0);
        if !tell(change) {
            return None;
        }
    }
    None
}

/// The page to ask for where one of this many objects was larger than any answer may be.
pub(super) fn smaller(error: &Error, page: u32) -> Option<u32> {
    match error {
        Error::InitialListFailed(error) if is_too_large(error) => fewer(Some(page)),
        _ => None,
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => describe(error),
        Error::WatchError(status) => status.message.clone(),
        other => other.to_string(),
    }
}

fn denied(error: &Error) -> Option<String> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
            if status.code == 403 =>
        {
            Some(status.message.clone())
        }
        Error::WatchError(status) if status.code == 403 => Some(status.message.clone()),
        _ => None,
    }
}

/// The pods of one node.
pub async fn pods(api: Api<Item<core::Pod>>, node: String, selector: Option<String>, to: Sender) {
    let mut config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    if let Some(selector) = &selector {
        config = config.labels(selector);
    }
    let name = node.clone();
    let sent = to.clone();
    let tell = move |change| {
        sent.send(What::Pods {
            node: name.clone(),
            change,
            call: None,
        })
        .is_ok()
    };
    let failing = || Some(What::WatchFailing { node: node.clone() });
    if follow::<core::Pod, Pod>(api, config, &to, tell, failing)
        .await
        .is_some()
    {
        // Without the watch, lists in an interval must do.
        let _ = to.send(What::WatchUnavailable { node });
    }
}

/// All budgets.
pub async fn budgets(api: Api<Item<PodDisruptionBudget>>, to: Sender) {
    let sent = to.clone();
    let tell = move |change| sent.send(What::Budgets(change)).is_ok();
    if follow(api, watcher::Config::default(), &to, tell, || None)
        .await
        .is_some()
    {
        let _ = to.send(What::Unwatchable {
            resource: "poddisruptionbudgets.policy",
            consequence: "a budget that opens is noticed late",
        });
    }
}

/// One node: somebody may uncordon or delete it.
pub async fn node(api: Nodes, name: String, to: Sender) {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let (sent, this) = (to.clone(), name.clone());
    let mut tell = move |change: Change<Node>| {
        let what = match change {
            Change::Listed(nodes) if nodes.is_empty() => {
                let node = core::Node {
                    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                        name: Some(this.clone()),
                        ..Default::default()
                    },
                    ..Default::default()
                };
                What::Node(Change::Gone(node.into()))
            }
            change => What::Node(change),
        };
        sent.send(what).is_ok()
    };
    if follow(api.clone(), config, &to, &mut tell, || None).await.is_some() {
        // One look at least, before the work on it begins.
        match api.get_opt(&name).await {
            Ok(found) => drop(tell(Change::Listed(
                found.into_iter().map(|node| Node::from(node.into_inner())).collect(),
            ))),
            Err(error) => drop(to.send(What::Unwell(describe(&error)))),
        }
        let _ = to.send(What::Unwatchable {
            resource: "nodes",
            consequence: "it is not noticed when someone uncordons or deletes one",
        });
    }
}

/// Pods of one namespace, wherever they run. The engine holds all namespaces as one set, so a list is told one by one.
pub async fn elsewhere(api: Api<Item<core::Pod>>, to: Sender) {
    let mut known = BTreeMap::<String, Pod>::new();
    let sent = to.clone();
    let mut tell = move |change: Change<Pod>| {
        let changes: Vec<Change<Pod>> = match change {
            Change::Listed(pods) => {
                let fresh: BTreeMap<String, Pod> = pods.into_iter().map(|p| (p.uid.clone(), p)).collect();
                let old = std::mem::replace(&mut known, fresh);
                let gone = old
                    .into_iter()
                    .filter(|(uid, _)| !known.contains_key(uid))
                    .map(|(_, p)| Change::Gone(p));
                gone.chain(known.values().cloned().map(Change::Applied)).collect()
            }
            Change::Applied(pod) => {
                known.insert(pod.uid.clone(), pod.clone());
                vec![Change::Applied(pod)]
            }
            Change::Gone(pod) => {
                known.remove(&pod.uid);
                vec![Change::Gone(pod)]
            }
        };
        changes
            .into_iter()
            .all(|change| sent.send(What::Elsewhere(change)).is_ok())
    };
    if follow(api.clone(), watcher::Config::default(), &to, &mut tell, || None)
        .await
        .is_none()
    {
        return;
    }
    // Without the watch, lists in an interval must do.
    loop {
        tokio::time::sleep(INTERVAL).await;
        match api.list(&ListParams::default()).await {
            Ok(pods) => {
                let pods = pods.into_iter().map(|pod| Pod::from(pod.into_inner())).collect();
                if !tell(Change::Listed(pods)) {
                    return;
                }
            }
            // Who may list only the pods of one node learns nothing here, however often it is asked.
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let _ = to.send(What::Unwatchable {
                    resource: "pods",
                    consequence: "what replaces the pods is not known",
                });
                return;
            }
            Err(_) => {}
        }
    }
}

/// Volumes that are attached to one node.
pub async fn attachments(api: Api<Item<VolumeAttachment>>, node: String, to: Sender) {
    let mut attached = BTreeMap::<String, Attachment>::new();
    let name = node.clone();
    let sent = to.clone();
    let tell = move |change: Change<Attachment>| {
        match change {
            Change::Listed(all) => attached = all.into_iter().map(|a| (a.name.clone(), a)).collect(),
            Change::Applied(one) => drop(attached.insert(one.name.clone(), one)),
            Change::Gone(one) => drop(attached.remove(&one.name)),
        }
        let volumes = attached
            .values()
            .filter(|a| a.node == name)
            .filter_map(|a| a.volume.clone())
            .collect();
        sent.send(What::Attachments {
            node: name.clone(),
            volumes: Some(volumes),
        })
        .is_ok()
    };
    if follow(api, watcher::Config::default(), &to, tell, || None)
        .await
        .is_some()
    {
        let _ = to.send(What::Attachments { node, volumes: None });
    }
}
