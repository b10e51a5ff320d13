//! Brings back what a run has changed or deleted, from the folder in which it was saved.
//!
//! What is gone is created anew: without its finalizers, for nobody may be there to take them off, and without owners, which
//! are other objects by then. What is there still is set back to what it was; what the server or its controllers write about
//! it stays.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use http::{Request, header::CONTENT_TYPE};
use serde_json::{Value, json};
use upkeep::{
    Error, Exit, Result,
    backup::{RAW, check_folder, read_file, restorable},
    client::Shallow,
    discovery::Kind,
    ui::{command, escape},
};

use crate::{
    act::closed,
    facts::Key,
    gather::{of_kind, of_object},
    look::Look,
};

/// What is to be done about one saved object.
#[derive(Debug, PartialEq)]
enum Step {
    /// It is as it was.
    Nothing,
    /// It is gone.
    Create(Value),
    /// It differs.
    SetBack(Value),
    /// Another object has its name now.
    Taken,
}

/// Brings back everything that is saved in the folder.
///
/// # Errors
/// A folder that holds no backup; nobody who could be asked; what the server says.
pub async fn restore(look: &Look<'_>, folder: &Path) -> Result<Exit> {
    let (mut saved, too_deep) = read(folder)?;
    let missing = look.add_namespaces(&mut saved).await?;
    let (ui, cli) = (look.ui, look.cli);
    let mut steps = Vec::new();
    let mut failed: Option<Error> = None;
    for file in &too_deep {
        ui.warning(&format!("{} nests too deep to be restored from here", escape(file)));
        let create = command("kubectl create", ["-f", file.as_str()]);
        failed = Some(Error::failed("could not bring everything back").hint(format!("'{create}' creates it again")));
    }
    for object in &saved {
        let Some((kind, key)) = target(look, object) else {
            let text = format!("{}: the server does not serve its kind yet", title(object));
            ui.warning(&escape(&text));
            failed = Some(
                Error::failed("could not bring everything back").hint("once its kind is served, do the same again"),
            );
            continue;
        };
        let now = look.read(&kind, &key).await?;
        steps.push((title(object), kind, key, decide(object, now.as_ref())));
    }
    let open: Vec<_> = steps
        .into_iter()
        .filter(|(name, _, _, step)| match step {
            Step::Nothing => {
                ui.status(&format!("{} is as it was", escape(name)));
                false
            }
            Step::Taken => {
                ui.warning(&format!(
                    "{} is another object by now, and stays as it is",
                    escape(name)
                ));
                false
            }
            Step::Create(_) | Step::SetBack(_) => true,
        })
        .collect();
    let dry = cli.only_looks();
    if !open.is_empty() && !dry && !cli.switches.yes {
        if !ui.is_stdin_tty() {
            let error = Error::refused("restore needs a confirmation; nothing was changed");
            return Err(error.hint("add --yes where nobody can be asked, or look with --dry-run"));
        }
        for (name, _, _, step) in &open {
            ui.status(&format!("{}: {}", escape(name), step.would()));
        }
        if !ui.confirm("Do it?")? {
            return Err(Error::refused("not confirmed; nothing was changed"));
        }
    }
    for (name, kind, key, step) in open {
        // The server cannot try what lies in a namespace that is not there yet.
        let untried = dry
            && key
                .namespace
                .as_ref()
                .is_some_and(|namespace| missing.contains(namespace));
        let written = if untried {
            Ok(())
        } else {
            look.write(&kind, &key, &step, dry).await
        };
        match written {
            Ok(()) => {
                let suffix = if dry { " (dry run)" } else { "" };
                ui.data(&format!("{} {}{suffix}", escape(&name), step.done()));
            }
            Err(error) => {
                let whole = failed
                    .take()
                    .unwrap_or_else(|| Error::failed("could not bring everything back"));
                failed = Some(whole.caused_by(format!("{name}: {}", error.headline())));
            }
        }
    }
    failed.map_or(Ok(Exit::Done), Err)
}

/// The saved objects, those first that others lie in; and the files for kubectl of those that nest too deep to be read.
fn read(folder: &Path) -> Result<(Vec<Value>, Vec<String>)> {
    let failed = |what: &str| Error::failed(format!("{what} {}", folder.display()));
    let raw = Some(folder.join(RAW)).filter(|raw| raw.is_dir());
    let place = raw.as_deref().unwrap_or(folder);
    let entries = std::fs::read_dir(place).map_err(|e| failed("cannot read the folder").caused_by(e))?;
    check_folder(&std::path::absolute(place).map_err(|e| failed("cannot find").caused_by(e))?)?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.is_file() && path.extension().is_some_and(|e| e == "json"));
    files.sort();
    if files.is_empty() {
        return Err(failed("nothing is saved in")
            .hint("name the folder of one run, in which there are files like 001-pod-ns-name.yaml"));
    }
    let mut objects = Vec::<Value>::new();
    let (mut too_deep, mut seen) = (Vec::new(), BTreeSet::new());
    for file in files {
        let text = read_file(&file)?;
        let Shallow { object, left_out } =
            Shallow::read(&text).map_err(|e| Error::failed(format!("{} is not JSON", file.display())).caused_by(e))?;
        // Of an object that was changed more than once the first state is the one to go back to.
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if !uid.is_empty() && !seen.insert(uid.to_owned()) {
            continue;
        }
        if left_out.is_empty() {
            objects.push(object);
            continue;
        }
        // The form for kubectl is not in the folder of what is raw.
        let name = file.with_extension("yaml");
        let form = name.file_name().map(|name| folder.join(name));
        let form = form.filter(|form| form.is_file()).unwrap_or(file);
        too_deep.push(form.display().to_string());
    }
    objects.sort_by_key(rank);
    Ok((objects, too_deep))
}

fn rank(object: &Value) -> u8 {
    match object["kind"].as_str() {
        Some("Namespace") => 0,
        Some("CustomResourceDefinition") => 1,
        _ if object["metadata"]["namespace"].is_null() => 2,
        _ => 3,
    }
}

fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let meta = &object["metadata"];
    let kind = text(&object["kind"]).to_ascii_lowercase();
    match meta["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{}", text(&meta["name"])),
        None => format!("{kind}/{}", text(&meta["name"])),
    }
}

/// In the version in which it was saved.
fn target(look: &Look<'_>, object: &Value) -> Option<(Kind, Key)> {
    let kind = look
        .discovery
        .of_kind(object["apiVersion"].as_str()?, object["kind"].as_str()?)?;
    let meta = &object["metadata"];
    let key = Key::new(kind, meta["namespace"].as_str(), meta["name"].as_str()?);
    Some((kind.clone(), key))
}

fn decide(saved: &Value, now: Option<&Value>) -> Step {
    // Nothing of what a run had taken out of the way when it was saved.
    let saved = &closed(saved);
    let wanted = restorable(saved);
    let Some(now) = now else {
        return Step::Create(wanted);
    };
    if now["metadata"]["uid"] != saved["metadata"]["uid"] {
        return Step::Taken;
    }
    if restorable(&closed(now)) == wanted {
        return Step::Nothing;
    }
    // Finalizers and owners are what they are now: none can be added to what is being deleted.
    let mut back = now.clone();
    for (field, value) in saved.as_object().into_iter().flatten() {
        if !matches!(field.as_str(), "metadata" | "status") {
            back[field] = value.clone();
        }
    }
    for field in ["labels", "annotations"] {
        match wanted["metadata"].get(field) {
            Some(value) => back["metadata"][field] = value.clone(),
            None => drop(back["metadata"].as_object_mut().and_then(|m| m.remove(field))),
        }
    }
    Step::SetBack(back)
}

impl Step {
    fn would(&self) -> &'static str {
        match self {
            Self::Create(_) => "is gone, and is created anew",
            _ => "differs, and is set back",
        }
    }

    fn done(&self) -> &'static str {
        match self {
            Self::Create(_) => "created",
            _ => "set back",
        }
    }
}

impl Look<'_> {
    /// Adds the namespaces that saved objects lie in, where they are gone, and names them.
    async fn add_namespaces(&self, saved: &mut Vec<Value>) -> Result<BTreeSet<String>> {
        let mut missing = BTreeSet::new();
        let names = saved.iter().filter_map(|o| o["metadata"]["namespace"].as_str());
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        for name in names {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let is_saved = saved
                .iter()
                .any(|o| o["kind"] == "Namespace" && o["metadata"]["name"] == name.as_str());
            let Some((kind, key)) = target(self, &namespace) else {
                continue;
            };
            if self.read(&kind, &key).await?.is_none() {
                if !is_saved {
                    saved.insert(0, namespace);
                }
                missing.insert(name);
            }
        }
        Ok(missing)
    }

    async fn read(&self, kind: &Kind, key: &Key) -> Result<Option<Value>> {
        let request = Request::get(of_object(kind, key))
            .body(Vec::new())
            .map_err(kube::Error::HttpError);
        match self.send(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(self.connection.explain(&error)),
        }
    }

    async fn write(&self, kind: &Kind, key: &Key, step: &Step, dry_run: bool) -> Result<()> {
        let path = of_kind(kind, key.namespace.as_deref());
        let dry = if dry_run { "&dryRun=All" } else { "" };
        let query = format!("?fieldManager=kubectl-finalize{dry}");
        let (request, body) = match step {
            Step::Create(object) => (Request::post(format!("{path}{query}")), object),
            Step::SetBack(object) => (Request::put(format!("{}{query}", of_object(kind, key))), object),
            Step::Nothing | Step::Taken => return Ok(()),
        };
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes());
        let sent = self.send(request.map_err(kube::Error::HttpError)).await;
        sent.map(drop).map_err(|error| self.connection.explain(&error))
    }

    async fn send(&self, request: kube::Result<Request<Vec<u8>>>) -> kube::Result<Value> {
        self.connection.client.request::<Value>(request?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(uid: &str, size: u8, finalizers: &[&str]) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": uid, "resourceVersion": "7",
            "finalizers": finalizers, "labels": {"l": "1"}}, "data": {"size": size}, "status": {"seen": size}})
    }

    #[test]
    fn what_is_gone_is_created_and_what_differs_is_set_back() {
        let saved = object("u", 1, &["x"]);
        let created = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"l": "1"}},
            "data": {"size": 1}});
        assert_eq!(decide(&saved, None), Step::Create(created));
        assert_eq!(decide(&saved, Some(&object("u", 1, &[]))), Step::Nothing);
        assert_eq!(decide(&saved, Some(&object("other", 2, &[]))), Step::Taken);
        let mut back = object("u", 2, &[]);
        back["data"]["size"] = json!(1);
        assert_eq!(decide(&saved, Some(&object("u", 2, &[]))), Step::SetBack(back));
    }
}
