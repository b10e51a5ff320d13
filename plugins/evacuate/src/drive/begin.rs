//! One command becomes one request or watch, as a task of its own that reports what came of it.

use std::{collections::BTreeSet, rc::Rc};

use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ListParams};

use super::{
    Run, claim,
    fence::Fencing,
    lock::Lock,
    publish::Publication,
    removal, reply, runs,
    surge::{self, Surgery},
    watch,
};
use crate::{
    engine::{
        event::{Change, Command, Reply, What},
        fence::machine as fence,
        surge::sight::Act,
    },
    facts::Pod,
    gather::{Lists, Nodes, workloads::workloads},
};

impl Run<'_> {
    pub(super) fn nodes(&self) -> Nodes {
        Api::all(self.driver.connection.client.clone())
    }

    /// Starts one request or watch as a task of its own.
    pub(super) fn begin(&mut self, command: Command) {
        let client = self.driver.connection.client.clone();
        let moves = self.driver.moves;
        let to = self.to.clone();
        let answer = move |call, reply| drop(to.send(What::Reply { call, reply }));
        match command {
            Command::Cordon { call, node, uid } => {
                let (nodes, locks, claims, to) =
                    (self.nodes(), self.locks.clone(), self.claims.clone(), self.to.clone());
                let wish = self.driver.wish.clone();
                self.tasks.spawn_local(async move {
                    let notice = |holder| {
                        drop(to.send(What::LockDoubted {
                            node: node.clone(),
                            holder,
                        }))
                    };
                    let taken = claim::take(&nodes, &locks, &node, &uid, &wish, notice).await;
                    for act in taken.did {
                        runs::remember(&locks.me().run, &uid, act);
                    }
                    if let Some(held) = taken.held {
                        claims.borrow_mut().insert(node.clone(), held);
                    }
                    for text in taken.degraded {
                        drop(to.send(What::Degraded { text }));
                    }
                    if let Some(holder) = taken.replaced {
                        drop(to.send(What::LockReplaced { node, holder }));
                    }
                    answer(call, taken.reply);
                });
            }
            Command::Uncordon { call, node } => {
                let (nodes, locks, claims) = (self.nodes(), self.locks.clone(), self.claims.clone());
                self.tasks.spawn_local(async move {
                    let held = claims.borrow().get(&node).cloned();
                    let reply = claim::uncordon(&nodes, &locks, &node, held.as_ref()).await;
                    let given_back = held.filter(|_| reply == Reply::Accepted);
                    if let Some(held) = &given_back {
                        claims.borrow_mut().remove(&node);
                        runs::remember(&locks.me().run, &held.uid, runs::Act::Back);
                        // Its annotations have gone with the cordon.
                        if let Lock::Lease(_) = held.lock {
                            drop(locks.release(&node, &held.lock).await);
                        }
                    }
                    answer(call, reply);
                });
            }
            Command::Publish { call, node, uid, stage } => {
                let publication = Publication {
                    client,
                    node,
                    uid,
                    me: self.me.clone(),
                    reason: self.driver.wish.reason.clone(),
                };
                self.tasks
                    .spawn_local(async move { answer(call, publication.tell(&stage).await) });
            }
            Command::Remove { call, node, uid } => {
                let lists = Lists::new(self.driver.connection, self.driver.chunk);
                let saving = Rc::clone(&self.driver.saving);
                self.tasks
                    .spawn_local(async move { answer(call, removal::remove(&lists, &saving, &node, &uid).await) });
            }
            Command::Watch { node } => self.watch(node),
            Command::Unwatch { node } => {
                for name in [
                    format!("pods {node}"),
                    format!("node {node}"),
                    format!("attachments {node}"),
                ] {
                    if let Some(task) = self.watches.remove(&name) {
                        task.abort();
                    }
                }
            }
            Command::List { call, node } => {
                let lists = Lists::new(self.driver.connection, self.driver.chunk);
                let all = ListParams::default().fields(&format!("spec.nodeName={node}"));
                let selector = self.driver.pod_selector.clone();
                let to = self.to.clone();
                self.tasks.spawn_local(async move {
                    let params = ListParams {
                        label_selector: selector.clone(),
                        ..all.clone()
                    };
                    let whole = async {
                        match selector {
                            Some(_) => lists.whole::<core::Pod, Pod>(all).await.map(Some),
                            None => Ok(None),
                        }
                    };
                    let (pods, whole) = futures::join!(lists.whole::<core::Pod, Pod>(params), whole);
                    let (pods, whole) = match (pods, whole) {
                        (Ok(pods), Ok(whole)) => (pods, whole),
                        (Err(error), _) | (_, Err(error)) => {
                            answer(call, reply::read::<()>(Err(error)));
                            return;
                        }
                    };
                    if let Some(mut others) = whole {
                        let selected: BTreeSet<&str> = pods.iter().map(|pod| pod.uid.as_str()).collect();
                        others.retain(|pod| !selected.contains(pod.uid.as_str()));
                        let node = node.clone();
                        drop(to.send(What::LeftOut { node, pods: others }));
                    }
                    drop(to.send(What::Pods {
                        node,
                        change: Change::Listed(pods),
                        call: Some(call),
                    }));
                });
            }
            Command::Evict { call, pod, save } => {
                let saving = Rc::clone(&self.driver.saving);
                self.tasks.spawn_local(async move {
                    let reply = match saving.first(save.as_ref()).await {
                        Ok(()) => reply::read(moves.evict(&client, &pod, false).await),
                        Err(reply) => reply,
                    };
                    answer(call, reply);
                });
            }
            Command::Delete { call, pod, grace, save } => {
                let saving = Rc::clone(&self.driver.saving);
                self.tasks.spawn_local(async move {
                    let reply = match saving.first(save.as_ref()).await {
                        Ok(()) => reply::read(moves.delete(&client, &pod, grace, false).await),
                        Err(reply) => reply,
                    };
                    answer(call, reply);
                });
            }
            Command::Inspect {
                namespace,
                budget,
                controllers,
            } => {
                let to = self.to.clone();
                let lists = Lists::new(self.driver.connection, self.driver.chunk);
                self.tasks.spawn_local(async move {
                    let namespaces = BTreeSet::from([namespace.as_str()]);
                    let pods = lists.within::<core::Pod, Pod>(&namespaces);
                    let found = if controllers {
                        let found = futures::try_join!(pods, workloads(&lists, &namespaces));
                        found.map(|(pods, workloads)| (pods, Some(workloads)))
                    } else {
                        pods.await.map(|pods| (pods, None))
                    };
                    let found = found.ok();
                    drop(to.send(What::BudgetPods { budget, found }));
                });
            }
            Command::Surge { call, deployment, act } => {
                let surgery = Surgery::new(client, deployment, self.driver.chunk, moves);
                let to = self.to.clone();
                self.tasks.spawn_local(async move {
                    if act != Act::Look {
                        answer(call, reply::read(surgery.act(&act).await));
                        return;
                    }
                    match surgery.look().await {
                        Ok(sight) => {
                            let sight = sight.map(Box::new);
                            drop(to.send(What::Sight { call, sight }));
                        }
                        Err(error) => answer(call, reply::read::<()>(Err(error))),
                    }
                });
            }
            Command::Fence { call, node, uid, act } => {
                let fencing = Fencing {
                    lists: Lists::new(self.driver.connection, self.driver.chunk),
                    node,
                    uid,
                    run: self.me.run.clone(),
                    bare: Rc::clone(&self.bare),
                };
                let to = self.to.clone();
                let (saving, rules) = (Rc::clone(&self.driver.saving), Rc::clone(&self.driver.rules));
                self.tasks.spawn_local(async move {
                    // The taint removes also those that others have asked to go.
                    if let fence::Act::Taint { .. } = act
                        && let Err(reply) = saving.pods_of(&fencing.node, &fencing.lists, &rules).await
                    {
                        answer(call, reply);
                        return;
                    }
                    let fence::Act::Look { count } = act else {
                        let done = fencing.act(&act).await;
                        if let Ok(Some(text)) = &done {
                            drop(to.send(What::Degraded { text: text.clone() }));
                        }
                        answer(call, reply::read(done));
                        return;
                    };
                    match fencing.look(count).await {
                        Ok(sight) => drop(to.send(What::FenceSight { call, sight })),
                        Err(error) => answer(call, reply::read::<()>(Err(error))),
                    }
                });
            }
            Command::WatchSurge { deployment } => {
                let name = format!("surge {}", deployment.uid);
                let task = surge::watch(client, deployment, self.to.clone());
                self.watches.insert(name, tokio::task::spawn_local(task));
            }
            Command::UnwatchSurge { deployment } => {
                if let Some(task) = self.watches.remove(&format!("surge {}", deployment.uid)) {
                    task.abort();
                }
            }
            Command::WatchAttachments { node } => {
                let task = watch::attachments(Api::all(client), node.clone(), self.to.clone());
                self.watches
                    .insert(format!("attachments {node}"), tokio::task::spawn_local(task));
            }
            Command::WatchElsewhere { namespaces } => {
                for namespace in namespaces {
                    let task = watch::elsewhere(Api::namespaced(client.clone(), &namespace), self.to.clone());
                    self.watches
                        .insert(format!("elsewhere {namespace}"), tokio::task::spawn_local(task));
                }
            }
            Command::Tell(_) | Command::Finish(_) => {}
        }
    }

    fn watch(&mut self, node: String) {
        let client = self.driver.connection.client.clone();
        if self.driver.watch_budgets && !self.watches.contains_key("budgets") {
            let task = watch::budgets(Api::all(client.clone()), self.to.clone());
            self.watches.insert("budgets".into(), tokio::task::spawn_local(task));
        }
        let task = watch::node(self.nodes(), node.clone(), self.to.clone());
        self.watches
            .insert(format!("node {node}"), tokio::task::spawn_local(task));
        let selector = self.driver.pod_selector.clone();
        let task = watch::pods(Api::all(client), node.clone(), selector, self.to.clone());
        self.watches
            .insert(format!("pods {node}"), tokio::task::spawn_local(task));
    }
}
