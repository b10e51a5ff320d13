//! Objects whose namespace does not exist: somebody has taken it out by force. They cannot be patched, their pods may still
//! run, and they are back with the next namespace of that name.
//!
//! To get rid of them the namespace is made anew, with a random label, and deleted at once by its UID: then whoever cleans up
//! after its objects can do so, and what holds them is looked for as always.

use std::{collections::BTreeMap, time::Instant};

use k8s_openapi::api::core::v1 as core;
use kube::Api;
use serde::Serialize;
use upkeep::{
    Error, Exit, Result,
    discovery::Discovery,
    output,
    report::{Finding, ObjRef},
    ui::{command, escape, plural},
};

use crate::{
    act::CLEANED,
    diagnose::{Desk, is_double},
    facts::{Ask, Facts, Key, Reply, Right},
    follow::Case,
    gather::Cluster,
    look::Look,
    render::diagnosis::names,
    scan::{self, orphans::Groups},
};

/// `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    kind: &'static str,
    version: u8,
    namespaces: BTreeMap<&'a str, Vec<&'a ObjRef>>,
    findings: &'a [Finding],
    exit_code: u8,
}

/// Whether a namespace is there whose objects were orphans.
enum Back {
    No,
    /// It is somebody's.
    Yes,
    /// A run has made it anew, and it is being deleted.
    Going,
    /// A run has made it anew, and did not come to delete it.
    CutOff,
}

impl Look<'_> {
    /// Lists them, of these namespaces or of all; with `--clean` gets rid of them. Orphans that stay are exit code 1.
    ///
    /// # Errors
    /// A namespace that came back meanwhile; what the server says.
    pub async fn orphans(&self, namespaces: &[&str], began: Instant) -> Result<Exit> {
        let (mut groups, unseen) = self.looked().await;
        groups.retain(|name, _| namespaces.is_empty() || namespaces.contains(&name.as_str()));
        let form = self.cli.output.unwrap_or_default();
        for finding in &unseen {
            self.ui.warning(&escape(&finding.evidence));
        }
        let clean = self.cli.switches.clean && !self.cli.only_looks();
        // What could not be looked at may have some.
        let exit = if groups.is_empty() && unseen.is_empty() {
            Exit::Done
        } else {
            Exit::Failed
        };
        if form.is_document() {
            let document = Document {
                kind: "Orphans",
                version: 1,
                namespaces: groups
                    .iter()
                    .map(|(name, objects)| (name.as_str(), objects.iter().map(|(_, r)| r).collect()))
                    .collect(),
                findings: &unseen,
                exit_code: exit.code(),
            };
            self.ui.document(&output::document(form, &document)?);
            return Ok(exit);
        }
        if groups.is_empty() {
            let blind = if unseen.is_empty() {
                ""
            } else {
                " in what could be looked at"
            };
            let mut back = Vec::new();
            for namespace in namespaces {
                match self.is_back(namespace).await? {
                    Back::No => self
                        .ui
                        .data(&format!("there are no orphans of {}{blind}", escape(namespace))),
                    Back::Yes => self.ui.data(&format!(
                        "namespace/{} exists, so that what is in it is no orphan",
                        escape(namespace)
                    )),
                    Back::Going if clean => {
                        let target = Key::cluster("", "namespaces", namespace);
                        return Case::new(self, &target, None).follow(began).await;
                    }
                    Back::Going => back.push(*namespace),
                    Back::CutOff if clean => {
                        let name = escape(namespace);
                        self.confirmed(&format!("Delete namespace/{name}, and whatever is in it by now?"))?;
                        return self.clean(namespace, &[], began).await;
                    }
                    Back::CutOff => back.push(*namespace),
                }
            }
            if namespaces.is_empty() {
                self.ui.data(&format!("there are no orphans{blind}"));
            }
            return match back.first() {
                Some(namespace) => Err(Error::failed(format!(
                    "namespace/{namespace} was made anew to get rid of what is in it, and is not gone yet"
                ))
                .hint(command("kubectl finalize orphans", [*namespace, "--clean"]))
                .hint(command("kubectl finalize ns", [*namespace]))),
                None => Ok(exit),
            };
        }
        for (namespace, objects) in &groups {
            let objects: Vec<&ObjRef> = objects.iter().map(|(_, reference)| reference).collect();
            let text = format!(
                "{} in the namespace {}, which does not exist: {}",
                plural(objects.len(), "object"),
                escape(namespace),
                names(&objects)
            );
            if clean {
                self.ui.status(&text);
            } else {
                self.ui.data(&text);
            }
        }
        if !clean && self.cli.switches.clean {
            let text = "each of these namespaces would be made anew, and deleted with what is in it";
            self.ui.status(text);
            return Ok(Exit::Done);
        }
        if !clean {
            return Ok(Exit::Failed);
        }
        let count: usize = groups.values().map(Vec::len).sum();
        self.confirmed(&format!(
            "Delete {}, and whatever belongs to them?",
            plural(count, "object")
        ))?;
        let mut worst = Exit::Done;
        for (namespace, objects) in &groups {
            // One that is still held does not keep the others from being cleaned up; a signal does.
            let exit = self.clean(namespace, objects, began).await.unwrap_or_else(|error| {
                self.ui.error(&error);
                error.exit()
            });
            if exit != Exit::Done {
                worst = exit;
            }
            if matches!(exit, Exit::Interrupted | Exit::Terminated) {
                break;
            }
        }
        Ok(worst)
    }

    async fn looked(&self) -> (Groups, Vec<Finding>) {
        let cluster = self.cluster();
        let mut facts = Facts::of(self.discovery, Key::cluster("", "", ""), self.skew);
        loop {
            let desk = Desk::new(&facts, self.knowledge);
            let mut unseen = Vec::new();
            let groups = scan::orphans(&desk, &mut unseen);
            let asks = desk.into_asks();
            match groups {
                Some(groups) if asks.is_empty() => return (groups, unseen),
                None if asks.is_empty() => return (Groups::new(), unseen),
                _ => {}
            }
            let answers = cluster.answer(asks).await;
            facts.learn(answers);
        }
    }

    /// Whether a namespace of that name is there again.
    async fn is_back(&self, namespace: &str) -> Result<Back> {
        let namespaces: Api<core::Namespace> = Api::all(self.connection.client.clone());
        let found = namespaces.get_metadata_opt(namespace).await;
        let Some(found) = found.map_err(|error| self.connection.explain(&error))? else {
            return Ok(Back::No);
        };
        let cut_off = found.metadata.labels.is_some_and(|labels| labels.contains_key(CLEANED));
        Ok(match (cut_off, found.metadata.deletion_timestamp) {
            (true, Some(_)) => Back::Going,
            (true, None) => Back::CutOff,
            (false, _) => Back::Yes,
        })
    }

    fn confirmed(&self, question: &str) -> Result<()> {
        if self.cli.switches.yes {
            return Ok(());
        }
        if !self.ui.is_stdin_tty() {
            let error = Error::refused("--clean needs a confirmation; nothing was changed");
            return Err(error.hint("add --yes where nobody can be asked"));
        }
        if self.ui.confirm(question)? {
            Ok(())
        } else {
            Err(Error::refused("not confirmed; nothing was changed"))
        }
    }

    async fn clean(&self, namespace: &str, objects: &[(Key, ObjRef)], began: Instant) -> Result<Exit> {
        let target = Key::cluster("", "namespaces", namespace);
        let case = Case::new(self, &target, None);
        let right = Ask::May(Right {
            verb: "delete",
            subresource: "",
            group: String::new(),
            plural: "namespaces".into(),
            namespace: None,
        });
        if let Some(Err(said)) = self.cluster().answer([right.clone()].into()).await.remove(&right) {
            let error = Error::refused(format!(
                "namespace/{namespace} could not be deleted again; nothing was changed"
            ));
            return Err(error.caused_by(said.message));
        }
        let hands = case.hands().await?;
        for (key, _) in objects {
            hands.keep(key).await?;
        }
        hands.bring_to_an_end(namespace).await?;
        self.ui
            .status(&format!("namespace/{} was made anew and is deleted", escape(namespace)));
        case.follow_with(began, &hands).await
    }
}

/// What is in one namespace, which was taken out just now.
pub async fn of(cluster: &Cluster<'_>, discovery: &Discovery, namespace: &str) -> Vec<Finding> {
    let listable = discovery
        .preferred()
        .filter(|k| k.namespaced && k.can("list") && k.can("delete"));
    let kinds: Vec<_> = listable.filter(|k| !is_double(k)).collect();
    let asks = kinds.iter().map(|kind| Ask::metadata(kind, Some(namespace))).collect();
    let answers = cluster.answer(asks).await;
    let mut left = Vec::new();
    for kind in kinds {
        if let Some(Ok(Reply::Metadata(objects))) = answers.get(&Ask::metadata(kind, Some(namespace))) {
            left.extend(objects.iter().map(|object| ObjRef {
                kind: kind.one(),
                namespace: object.namespace.clone(),
                name: object.name.clone(),
                uid: object.uid.clone(),
            }));
        }
    }
    if left.is_empty() {
        return Vec::new();
    }
    let hint = format!(
        "'{}' deletes them",
        command("kubectl finalize orphans", [namespace, "--clean"])
    );
    vec![scan::orphans::finding(namespace, left, hint)]
}
