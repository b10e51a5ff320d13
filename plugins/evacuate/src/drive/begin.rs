//! One command becomes one request or watch, as a task of its own that reports what came of it.

use std::rc::Rc;

use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ListParams};
use upkeep::client::pages;

use super::{
    Run,
    claim::{self, Taken},
    fence::Fencing,
    publish::Publication,
    removal, reply,
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
    gather::Lists,
};

impl Run<'_> {
    pub(super) fn nodes(&self) -> Api<core::Node> {
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
                let (nodes, me, claims, to) = (self.nodes(), self.me.clone(), self.claims.clone(), self.to.clone());
                let wish = self.driver.wish.clone();
                self.tasks.spawn_local(async move {
                    let notice = |holder| {
                        drop(to.send(What::LockDoubted {
                            node: node.clone(),
                            holder,
                        }))
                    };
                    let Taken { reply, claim, replaced } = claim::take(&nodes, &node, &uid, &me, &wish, notice).await;
                    if let Some(claim) = claim {
                        claims.borrow_mut().insert(node.clone(), claim);
                    }
                    if let Some(holder) = replaced {
                        drop(to.send(What::LockReplaced { node, holder }));
                    }
                    answer(call, reply);
                });
            }
            Command::Uncordon { call, node } => {
                let (nodes, me, claims) = (self.nodes(), self.me.clone(), self.claims.clone());
                self.tasks.spawn_local(async move {
                    let reply = claim::uncordon(&nodes, &node, &me).await;
                    if reply == Reply::Accepted {
                        claims.borrow_mut().remove(&node);
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
                let mut params = ListParams::default().fields(&format!("spec.nodeName={node}"));
                params.label_selector.clone_from(&self.driver.pod_selector);
                let to = self.to.clone();
                self.tasks.spawn_local(async move {
                    match lists.all::<core::Pod, Pod>(params).await {
                        Ok(pods) => {
                            drop(to.send(What::Pods {
                                node,
                                change: Change::Listed(pods),
                                call: Some(call),
                            }));
                        }
                        Err(error) => answer(call, reply::read::<()>(Err(error))),
                    }
                });
            }
            Command::Evict { call, pod, save } => {
                let saving = Rc::clone(&self.driver.saving);
                self.tasks.spawn_local(async move {
                    let reply = match saving.pod(&pod, save).await {
                        Ok(()) => reply::read(moves.evict(&client, &pod, false).await),
                        Err(reply) => reply,
                    };
                    answer(call, reply);
                });
            }
            Command::Delete { call, pod, grace, save } => {
                let saving = Rc::clone(&self.driver.saving);
                self.tasks.spawn_local(async move {
                    let reply = match saving.pod(&pod, save).await {
                        Ok(()) => reply::read(moves.delete(&client, &pod, grace, false).await),
                        Err(reply) => reply,
                    };
                    answer(call, reply);
                });
            }
            Command::Inspect { namespace, budget } => {
                let to = self.to.clone();
                let chunk = self.driver.chunk;
                self.tasks.spawn_local(async move {
                    let api: Api<core::Pod> = Api::namespaced(client, &namespace);
                    let fetch = async |params: ListParams| api.list(&params).await;
                    let pods = pages::<_, Pod>(fetch, ListParams::default(), chunk).await.ok();
                    drop(to.send(What::BudgetPods { budget, pods }));
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
                        answer(call, reply::read(fencing.act(&act).await));
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
