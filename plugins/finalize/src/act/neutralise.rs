//! One entry is taken out of the way for a while. What it was stands in an annotation of the same object, written by the
//! same patch, so that whoever comes after a crash can put it back.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use upkeep::{Error, Result};

use super::Hands;
use crate::facts::Key;

/// What was changed, and how it was before.
pub const NEUTRALISED: &str = "kubectl-upkeep/neutralised";
/// How long a change is for the run that made it; after that any run puts it back.
const LASTS: SignedDuration = SignedDuration::from_mins(15);

/// Kinds that can carry such an annotation.
pub const KINDS: [(&str, &str); 3] = [
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
];

/// The annotation.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Record {
    /// For what: `namespaces/stuck`.
    pub target: String,
    /// From then on any run may put it back.
    pub until: Timestamp,
    /// What was changed.
    pub changes: Vec<Change>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Change {
    /// The name of the webhook; nothing for a field of the object itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// `namespaceSelector`, `spec/conversion`.
    pub field: String,
    /// As it was.
    pub was: Value,
    /// As it was set.
    pub is: Value,
}

impl Change {
    /// Where the field is now: entries may have moved.
    fn pointer(&self, object: &Value) -> Option<String> {
        let Some(entry) = &self.entry else {
            return Some(format!("/{}", self.field));
        };
        let webhooks = object["webhooks"].as_array()?;
        let at = webhooks.iter().position(|w| w["name"] == entry.as_str())?;
        Some(format!("/webhooks/{at}/{}", self.field))
    }
}

/// The operations that make the change and write it down.
pub fn change(object: &Value, target: &str, change: Change, now: Timestamp) -> Option<Vec<Value>> {
    let at = change.pointer(object)?;
    let mut record = read(object).unwrap_or_else(|| Record {
        target: target.to_owned(),
        until: now,
        changes: Vec::new(),
    });
    record.until = now + LASTS;
    let mut operations = Vec::new();
    if let Some(entry) = &change.entry {
        let name = at.rsplit_once('/').map_or("", |(before, _)| before);
        operations.push(json!({"op": "test", "path": format!("{name}/name"), "value": entry}));
    }
    operations.push(json!({"op": "test", "path": at, "value": change.was}));
    operations.push(json!({"op": "replace", "path": at, "value": change.is}));
    record.changes.push(change);
    if !object["metadata"]["annotations"].is_object() {
        operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
    }
    operations.push(json!({"op": "add", "path": annotation(), "value": text(&record)}));
    Some(operations)
}

/// The operations that put everything back that is still as it was set, and what is not.
pub fn back(object: &Value) -> Option<(Vec<Value>, Vec<String>)> {
    let record = read(object)?;
    let mut operations = Vec::new();
    let mut theirs = Vec::new();
    // The last change first: a field may have been changed twice.
    let mut seen = object.clone();
    for change in record.changes.iter().rev() {
        let at = change.pointer(&seen);
        let now = at.as_ref().and_then(|at| seen.pointer_mut(at));
        match (at, now) {
            (Some(at), Some(now)) if *now == change.is => {
                *now = change.was.clone();
                operations.push(json!({"op": "test", "path": at, "value": change.is}));
                operations.push(json!({"op": "replace", "path": at, "value": change.was}));
            }
            _ => theirs.push(match &change.entry {
                Some(entry) => format!("{} of {entry}", change.field),
                None => change.field.clone(),
            }),
        }
    }
    operations.push(json!({"op": "remove", "path": annotation()}));
    Some((operations, theirs))
}

/// What stands on an object.
pub fn read(object: &Value) -> Option<Record> {
    parse(object["metadata"]["annotations"][NEUTRALISED].as_str()?)
}

/// The value of the annotation.
pub fn parse(text: &str) -> Option<Record> {
    serde_json::from_str(text).ok()
}

fn annotation() -> String {
    format!("/metadata/annotations/{}", NEUTRALISED.replace('/', "~1"))
}

fn text(record: &Record) -> String {
    // Strings, times and JSON always can be written.
    serde_json::to_string(record).unwrap_or_default()
}

impl Hands<'_> {
    /// Leaves a namespace out of one webhook: everything else is still guarded. A selector of namespaces says nothing about
    /// what is in none; for that the webhook is called all the same, and what it cannot answer is let through.
    pub(super) async fn exclude(
        &self,
        object: &Value,
        entry: &str,
        namespace: Option<&str>,
        dry_run: bool,
    ) -> Result<()> {
        let webhooks = object["webhooks"].as_array();
        let found = webhooks.and_then(|all| all.iter().find(|w| w["name"] == entry));
        let Some(found) = found else {
            return Err(Error::failed(format!("there is no webhook {entry} any more")));
        };
        let field = |field: &str, was: Value, is: Value| Change {
            entry: Some(entry.to_owned()),
            field: field.into(),
            was,
            is,
        };
        let Some(namespace) = namespace else {
            let change = field("failurePolicy", found["failurePolicy"].clone(), json!("Ignore"));
            return self.changed(object, change, dry_run).await;
        };
        let was = found["namespaceSelector"].clone();
        let mut is = was.clone();
        let expression = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [namespace]});
        match is["matchExpressions"].as_array_mut() {
            Some(all) => all.push(expression),
            None => is["matchExpressions"] = json!([expression]),
        }
        self.changed(object, field("namespaceSelector", was, is), dry_run).await
    }

    /// Lets the conversion of a definition change nothing but the version: what needs more than that is mis-converted as
    /// long as this lasts, for every client.
    pub(super) async fn unconvert(&self, object: &Value, dry_run: bool) -> Result<()> {
        let change = Change {
            entry: None,
            field: "spec/conversion".into(),
            was: object["spec"]["conversion"].clone(),
            is: json!({"strategy": "None"}),
        };
        self.changed(object, change, dry_run).await
    }

    async fn changed(&self, object: &Value, wanted: Change, dry_run: bool) -> Result<()> {
        let operations = change(object, &self.target, wanted, Timestamp::now());
        let operations = operations.ok_or_else(|| Error::failed("it has changed since it was looked at"))?;
        let path = self.path(&key_of(object)?)?;
        let sent = self.patch(&path, object, None, operations, dry_run).await;
        sent.map_err(|error| self.connection.explain(&error))
    }
}

/// From its own words: lists leave them out, single objects have them.
fn key_of(object: &Value) -> Result<Key> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let found = match object["kind"].as_str() {
        Some("ValidatingWebhookConfiguration") => KINDS[0],
        Some("MutatingWebhookConfiguration") => KINDS[1],
        Some("CustomResourceDefinition") => KINDS[2],
        _ => return Err(Error::failed(format!("{name} is of an unexpected kind"))),
    };
    Ok(Key::cluster(found.0, found.1, name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn apply(object: &Value, operations: &[Value]) -> Value {
        let patch = serde_json::from_value(json!(operations)).unwrap();
        let kube::api::Patch::<()>::Json(patch) = kube::api::Patch::Json(patch) else {
            unreachable!()
        };
        let mut object = object.clone();
        let text = serde_json::to_value(&patch).unwrap();
        for operation in text.as_array().unwrap() {
            let at = operation["path"].as_str().unwrap();
            match operation["op"].as_str().unwrap() {
                "test" => assert_eq!(object.pointer(at), Some(&operation["value"])),
                "replace" => *object.pointer_mut(at).unwrap() = operation["value"].clone(),
                "remove" => drop(
                    object["metadata"]["annotations"]
                        .as_object_mut()
                        .unwrap()
                        .remove(NEUTRALISED),
                ),
                _ if at == "/metadata/annotations" => object["metadata"]["annotations"] = json!({}),
                _ => object["metadata"]["annotations"][NEUTRALISED] = operation["value"].clone(),
            }
        }
        object
    }

    fn selector(was: Value, is: Value) -> Change {
        Change {
            entry: Some("b.example.com".into()),
            field: "namespaceSelector".into(),
            was,
            is,
        }
    }

    #[test]
    fn what_is_changed_can_be_put_back_wherever_it_is_by_then() {
        let whole = json!({"metadata": {"name": "w"}, "webhooks": [
            {"name": "a.example.com", "namespaceSelector": {}}, {"name": "b.example.com", "namespaceSelector": {}}]});
        let wanted = selector(json!({}), json!({"x": 1}));
        let operations = change(&whole, "namespaces/s", wanted, Timestamp::UNIX_EPOCH).unwrap();
        let mut changed = apply(&whole, &operations);
        assert_eq!(changed["webhooks"][1]["namespaceSelector"], json!({"x": 1}));
        assert_eq!(changed["webhooks"][0], whole["webhooks"][0]);
        changed["webhooks"].as_array_mut().unwrap().swap(0, 1);
        let (operations, theirs) = back(&changed).unwrap();
        assert!(theirs.is_empty());
        let mut again = apply(&changed, &operations);
        again["webhooks"].as_array_mut().unwrap().swap(0, 1);
        again["metadata"].as_object_mut().unwrap().remove("annotations");
        assert_eq!(again, whole);
    }

    #[test]
    fn what_somebody_else_has_changed_since_stays() {
        let whole = json!({"metadata": {"name": "w", "annotations": {"k": "v"}}, "webhooks": [
            {"name": "b.example.com", "namespaceSelector": {}}]});
        let wanted = selector(json!({}), json!({"x": 1}));
        let operations = change(&whole, "namespaces/s", wanted, Timestamp::UNIX_EPOCH).unwrap();
        let mut changed = apply(&whole, &operations);
        changed["webhooks"][0]["namespaceSelector"] = json!({"y": 2});
        let (operations, theirs) = back(&changed).unwrap();
        assert_eq!(theirs, ["namespaceSelector of b.example.com"]);
        let again = apply(&changed, &operations);
        assert_eq!(again["webhooks"][0]["namespaceSelector"], json!({"y": 2}));
        assert_eq!(again["metadata"]["annotations"], json!({"k": "v"}));
    }
}
