//! The lock of a node: a Lease that the node cannot write, or, where no Lease can be written, an annotation of the node.

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1 as core},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::Timestamp,
};
use kube::{
    Api, Client, Error, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PostParams, Preconditions},
};
use upkeep::lock::{
    Claim, Identity, LOCK, STALE_AFTER, Verdict, WATCHED_FOR, at_work, heartbeat_patch, judge, lease, release_patch,
    verdict,
};

use super::{
    claim::{MANAGER, TRIES, json_patch, params},
    reply,
};
use crate::{engine::event::Reply, gather::Nodes};

/// The word with which `--take-over` ignores the annotation, whatever it says.
pub const ANNOTATION: &str = "annotation";

/// How this run holds a node.
#[derive(Debug, Clone)]
pub enum Lock {
    /// By a Lease, as it was last written.
    Lease(Box<Lease>),
    /// By the annotation [`LOCK`].
    Annotation(Claim),
    /// Not at all: neither can be written.
    None,
}

/// What came of asking for the Lease of a node.
pub enum Acquired {
    /// This run holds it.
    Held {
        /// The Lease.
        lease: Box<Lease>,
        /// Who held it before and why it was replaced, where it was another run.
        replaced: Option<String>,
    },
    /// Another run holds it.
    Busy(String),
    /// No Lease can be written: why.
    Unwritable(String),
    /// It may work later.
    Failed(Reply),
}

/// Why a lock was not renewed.
pub enum Unrenewed {
    /// Another run holds the node now; or none, because the lock was removed.
    Lost(Option<String>),
    /// Try again.
    NoAnswer,
}

/// The locks of the nodes of one cluster, as this run sees them.
#[derive(Clone)]
pub struct Locks {
    leases: Api<Lease>,
    nodes: Nodes,
    me: Identity,
    take_over: Vec<String>,
}

impl Locks {
    /// `take_over` are the runs that a person has said to be over.
    pub fn new(client: &Client, me: &Identity, take_over: &[String]) -> Self {
        Self {
            leases: Api::namespaced(client.clone(), lease::NAMESPACE),
            nodes: Api::all(client.clone()),
            me: me.clone(),
            take_over: take_over.to_vec(),
        }
    }

    /// This run.
    pub fn me(&self) -> &Identity {
        &self.me
    }

    /// Whether a person has said that this run is over.
    pub fn is_over(&self, run: &str) -> bool {
        self.take_over.iter().any(|over| over == run)
    }

    /// The same of the run that the annotation names, which the node itself can write.
    pub fn is_annotation_over(&self, run: &str) -> bool {
        self.is_over(run) || self.is_over(ANNOTATION)
    }

    /// The claims of all Leases. Who may not read them learns of a claim when the node is taken.
    pub async fn claims(&self) -> Vec<(OwnerReference, Claim)> {
        let params = ListParams::default().labels(&format!("{}={}", lease::LABEL, lease::MANAGED));
        let found = self.leases.list(&params).await;
        let found = found.into_iter().flat_map(|list| list.items);
        found
            .filter_map(|found| Some((lease::object(&found)?.clone(), lease::claim(&found)?)))
            .collect()
    }

    /// Asks whether the Lease of a node could be made, without making it.
    ///
    /// # Errors
    /// The server's.
    pub async fn probe(&self, node: &str, uid: &str) -> Result<(), Error> {
        let params = PostParams {
            dry_run: true,
            ..post_params()
        };
        let wanted = self.wanted(node, uid);
        match self.leases.create(&params, &wanted).await {
            Err(Error::Api(status)) if status.code == 409 => Ok(()),
            answer => answer.map(drop),
        }
    }

    fn wanted(&self, node: &str, uid: &str) -> Lease {
        lease::lease(&owner(node, uid), &Claim::new(&self.me, Timestamp::now()))
    }

    /// Makes the Lease of a node, or takes over that of a run that has ended. One that only looks stale is watched before;
    /// `notice` is told whose it is.
    pub async fn acquire(&self, node: &str, uid: &str, notice: impl Fn(String)) -> Acquired {
        let mut watched: Option<Claim> = None;
        for _ in 0..TRIES {
            let wanted = self.wanted(node, uid);
            let refused = match self.leases.create(&post_params(), &wanted).await {
                Ok(lease) => return held(lease, None),
                Err(Error::Api(status)) if status.code == 409 => None,
                Err(error) => match reply::read::<()>(Err(error)) {
                    // What may pass is tried again by the engine.
                    reply
                    @ (Reply::Lost(_) | Reply::Unavailable(_) | Reply::Throttled { .. } | Reply::Contended(_)) => {
                        return Acquired::Failed(reply);
                    }
                    reply => Some(reply.text()),
                },
            };
            let name = lease::name(node, uid);
            let read = match (self.leases.get_opt(&name).await, refused) {
                (Ok(Some(read)), None) => read,
                (Ok(None), None) => continue,
                (Ok(Some(read)), Some(text)) => {
                    // It is another run's, which may write it.
                    let claim = lease::claim(&read);
                    return match claim.map(|claim| judge(&claim, Timestamp::now(), &self.me)) {
                        Some(Verdict::Fresh { run, holder, retry_in }) if !self.is_over(&run) => {
                            Acquired::Busy(at_work(&holder, retry_in))
                        }
                        _ => Acquired::Unwritable(text),
                    };
                }
                (_, Some(text)) => return Acquired::Unwritable(text),
                (Err(error), None) => return Acquired::Failed(reply::read::<()>(Err(error))),
            };
            let claim = lease::claim(&read);
            let mut replaced = None;
            match claim.as_ref().map(|claim| judge(claim, Timestamp::now(), &self.me)) {
                None | Some(Verdict::Free) => {}
                // An earlier try was heard, although its answer was lost.
                Some(Verdict::Mine) => return held(read, None),
                Some(Verdict::Fresh { run, holder, .. } | Verdict::Stale { run, holder, .. }) if self.is_over(&run) => {
                    replaced = Some(by_hand(&holder));
                }
                Some(Verdict::Stale { holder, proven, .. }) if proven || watched == claim => {
                    replaced = Some(ended(&holder));
                }
                Some(Verdict::Stale { holder, .. }) if watched.is_none() => {
                    watched = claim;
                    notice(holder);
                    tokio::time::sleep(WATCHED_FOR).await;
                    continue;
                }
                Some(Verdict::Stale { holder, .. }) => return Acquired::Busy(at_work(&holder, STALE_AFTER)),
                Some(Verdict::Fresh { holder, retry_in, .. }) => return Acquired::Busy(at_work(&holder, retry_in)),
            }
            let patch = Patch::Merge(lease::take_patch(&read, &wanted));
            match self.leases.patch(&name, &params(), &patch).await {
                Ok(lease) => return held(lease, replaced),
                // Another run came first, or its holder has given it back.
                Err(Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => return Acquired::Failed(reply::read::<()>(Err(error))),
            }
        }
        Acquired::Failed(Reply::Contended("its lock changes faster than it can be taken".into()))
    }

    /// Says that this run is alive.
    ///
    /// # Errors
    /// The lock is not this run's any more, or nobody knows.
    pub async fn renew(&self, node: &str, lock: &Lock) -> Result<Lock, Unrenewed> {
        let now = Timestamp::now();
        match lock {
            Lock::None => Ok(Lock::None),
            Lock::Annotation(claim) => self.renew_annotation(node, claim).await.map(Lock::Annotation),
            Lock::Lease(read) => {
                let patch = Patch::Merge(lease::renew_patch(read, now));
                match self.leases.patch(&read.name_any(), &params(), &patch).await {
                    Ok(renewed) => Ok(Lock::Lease(Box::new(renewed))),
                    // Either it is not ours any more, or our last renewal arrived although its answer did not.
                    Err(Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {
                        let found = self.leases.get_opt(&read.name_any()).await;
                        let found = found.map_err(|_| Unrenewed::NoAnswer)?.ok_or(Unrenewed::Lost(None))?;
                        match lease::claim(&found).map(|claim| judge(&claim, now, &self.me)) {
                            Some(Verdict::Mine) => Ok(Lock::Lease(Box::new(found))),
                            Some(Verdict::Fresh { holder, .. } | Verdict::Stale { holder, .. }) => {
                                Err(Unrenewed::Lost(Some(holder)))
                            }
                            Some(Verdict::Free) | None => Err(Unrenewed::Lost(None)),
                        }
                    }
                    Err(_) => Err(Unrenewed::NoAnswer),
                }
            }
        }
    }

    async fn renew_annotation(&self, node: &str, claim: &Claim) -> Result<Claim, Unrenewed> {
        let renewed = claim.renewed(Timestamp::now());
        match json_patch(&self.nodes, node, heartbeat_patch(claim, &renewed)).await {
            Ok(()) => Ok(renewed),
            Err(Error::Api(status)) if matches!(status.code, 404 | 422) => {
                let node = self.nodes.get(node).await.map_err(|_| Unrenewed::NoAnswer)?;
                match annotation(&node).map(|text| (verdict(Some(text), Timestamp::now(), &self.me), text)) {
                    Some((Verdict::Mine, text)) => serde_json::from_str(text).map_err(|_| Unrenewed::NoAnswer),
                    Some((Verdict::Fresh { holder, .. } | Verdict::Stale { holder, .. }, _)) => {
                        Err(Unrenewed::Lost(Some(holder)))
                    }
                    Some((Verdict::Free, _)) | None => Err(Unrenewed::Lost(None)),
                }
            }
            Err(_) => Err(Unrenewed::NoAnswer),
        }
    }

    /// Gives the node back, as far as it is still this run's. A renewal that was cut off may have arrived all the same.
    ///
    /// # Errors
    /// The server's.
    pub async fn release(&self, node: &str, lock: &Lock) -> Result<(), Error> {
        match lock {
            Lock::None => Ok(()),
            Lock::Annotation(claim) => self.release_annotation(node, claim).await,
            Lock::Lease(read) => match self.delete(read).await {
                Err(Error::Api(status)) if status.code == 409 => {
                    let Some(found) = self.leases.get_opt(&read.name_any()).await? else {
                        return Ok(());
                    };
                    match lease::claim(&found).map(|claim| judge(&claim, Timestamp::now(), &self.me)) {
                        Some(Verdict::Mine) => self.delete(&found).await,
                        _ => Ok(()),
                    }
                }
                answer => answer,
            },
        }
    }

    async fn delete(&self, read: &Lease) -> Result<(), Error> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: read.uid(),
                resource_version: read.resource_version(),
            }),
            ..DeleteParams::default()
        };
        match self.leases.delete(&read.name_any(), &params).await {
            Err(Error::Api(status)) if status.code == 404 => Ok(()),
            // Who may not delete it may still say that it is free.
            Err(Error::Api(status)) if status.code == 403 => {
                let patch = Patch::Merge(lease::free_patch(read));
                self.leases
                    .patch(&read.name_any(), &self::params(), &patch)
                    .await
                    .map(drop)
            }
            answer => answer.map(drop),
        }
    }

    async fn release_annotation(&self, node: &str, claim: &Claim) -> Result<(), Error> {
        match json_patch(&self.nodes, node, release_patch(claim)).await {
            Err(Error::Api(status)) if status.code == 422 => {
                let found = self.nodes.get(node).await?;
                let text = annotation(&found).filter(|t| verdict(Some(t), Timestamp::now(), &self.me) == Verdict::Mine);
                match text.and_then(|text| serde_json::from_str::<Claim>(text).ok()) {
                    Some(renewed) => json_patch(&self.nodes, node, release_patch(&renewed)).await,
                    None => Ok(()),
                }
            }
            answer => answer,
        }
    }

    /// The claim on one node, as it is now.
    ///
    /// # Errors
    /// The server's.
    pub async fn claim(&self, node: &str, uid: &str) -> Result<Option<Claim>, Error> {
        let found = self.leases.get_opt(&lease::name(node, uid)).await?;
        Ok(found.as_ref().and_then(lease::claim))
    }

    /// Removes what a run that has ended has left, unless another one has taken it meanwhile.
    pub async fn discard(&self, node: &str, uid: &str, left: &Claim) {
        if let Ok(Some(found)) = self.leases.get_opt(&lease::name(node, uid)).await
            && lease::claim(&found).as_ref() == Some(left)
        {
            drop(self.delete(&found).await);
        }
    }

    /// Who holds a node now in place of this run, as far as that can be read.
    pub async fn usurper(&self, node: &core::Node, lock: &Lock) -> Option<String> {
        let other = |verdict| match verdict {
            Verdict::Fresh { holder, .. } | Verdict::Stale { holder, .. } => Some(holder),
            Verdict::Free | Verdict::Mine => None,
        };
        match lock {
            Lock::None | Lock::Annotation(_) => other(verdict(annotation(node), Timestamp::now(), &self.me)),
            Lock::Lease(read) => {
                let found = self.leases.get_opt(&read.name_any()).await.ok().flatten()?;
                other(judge(&lease::claim(&found)?, Timestamp::now(), &self.me))
            }
        }
    }
}

/// Of the holder of a lock that is taken over because a person has said so.
pub(super) fn by_hand(holder: &str) -> String {
    format!("{holder}, as --take-over says")
}

/// Of the holder of a lock that has not been renewed.
pub(super) fn ended(holder: &str) -> String {
    format!("{holder}, which has ended")
}

fn held(lease: Lease, replaced: Option<String>) -> Acquired {
    Acquired::Held {
        lease: Box::new(lease),
        replaced,
    }
}

fn owner(node: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    }
}

fn post_params() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.into()),
        ..PostParams::default()
    }
}

/// The lock that a run of version 0.1.0, or one that may not write Leases, has left on the node itself.
pub fn annotation(node: &core::Node) -> Option<&str> {
    node.metadata.annotations.as_ref()?.get(LOCK).map(String::as_str)
}
