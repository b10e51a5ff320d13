//! Follows the pods of one label through their watch and remembers what was true at any moment: how many there ever were,
//! the most that lived, the fewest that were Ready.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    runtime::watcher::{self, Event, watcher},
};
use testsupport::Ns;

/// What it saw.
#[derive(Debug)]
pub struct Seen {
    /// UID and name of every pod.
    pub pods: BTreeMap<String, String>,
    /// The most that lived (without a deletionTimestamp) at the same time.
    pub most_living: usize,
    /// The fewest that were Ready and lived at the same time.
    pub fewest_ready: usize,
}

/// A watch in a thread of its own.
pub struct Witness {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Witness {
    /// Begins to watch the pods that a label selector names. Returns when the pods that there are were seen.
    pub fn of(ns: &Ns<'static>, selector: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let api: Api<Pod> = Api::namespaced(ns.cluster().client(), ns.name());
        let config = watcher::Config::default().labels(selector);
        let (flag, (begun, ready)) = (over.clone(), std::sync::mpsc::channel());
        let cluster = ns.cluster();
        let thread = std::thread::spawn(move || {
            cluster.block_on(async move {
                let mut seen = Seen {
                    pods: BTreeMap::new(),
                    most_living: 0,
                    fewest_ready: usize::MAX,
                };
                let mut now = BTreeMap::<String, Pod>::new();
                let mut news = std::pin::pin!(watcher(api, config));
                let mut listing = BTreeSet::new();
                loop {
                    let next = tokio::time::timeout(Duration::from_millis(200), news.next()).await;
                    match next {
                        Err(_) if flag.load(Ordering::Relaxed) => return seen,
                        Err(_) | Ok(Some(Err(_))) => continue,
                        Ok(None) => return seen,
                        Ok(Some(Ok(Event::Init))) => listing.clear(),
                        Ok(Some(Ok(Event::InitApply(pod)))) => {
                            listing.insert(pod.uid().unwrap());
                            now.insert(pod.uid().unwrap(), pod);
                            continue;
                        }
                        Ok(Some(Ok(Event::InitDone))) => {
                            now.retain(|uid, _| listing.contains(uid));
                            let _ = begun.send(());
                        }
                        Ok(Some(Ok(Event::Apply(pod)))) => drop(now.insert(pod.uid().unwrap(), pod)),
                        Ok(Some(Ok(Event::Delete(pod)))) => drop(now.remove(&pod.uid().unwrap())),
                    }
                    if now.is_empty() && seen.pods.is_empty() {
                        continue;
                    }
                    let living = || now.values().filter(|p| p.metadata.deletion_timestamp.is_none());
                    seen.pods.extend(now.values().map(|p| (p.uid().unwrap(), p.name_any())));
                    seen.most_living = seen.most_living.max(living().count());
                    seen.fewest_ready = seen.fewest_ready.min(living().filter(|p| is_ready(p)).count());
                }
            })
        });
        ready
            .recv_timeout(testsupport::DEFAULT_TIMEOUT)
            .expect("the watch begins");
        Self { over, thread }
    }

    /// Ends the watch a moment after the last news.
    pub fn finish(self) -> Seen {
        std::thread::sleep(Duration::from_millis(500));
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the witness lives")
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}
