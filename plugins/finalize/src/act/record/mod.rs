//! What was taken out of the way stands in an annotation of the same object, written by the same patch, so that whoever
//! comes after a crash can put it back. Several runs may need the same field for targets of their own: it is as it was once
//! nobody needs it any more.

mod exclusion;
#[cfg(test)]
mod tests;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use upkeep::lock::Identity;

use crate::facts::{CONDITION, Key};

/// What was changed, for whom, and how it was before.
pub const NEUTRALISED: &str = "kubectl-upkeep/neutralised";
/// How long a change is for the run that made it; after that any run puts it back.
const LASTS: SignedDuration = SignedDuration::from_mins(15);
/// The label that every namespace has.
const NAME: &str = "kubernetes.io/metadata.name";

/// The annotation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub struct Record {
    /// What was changed, each field once.
    pub fields: Vec<Field>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Field {
    /// What.
    #[serde(flatten)]
    pub place: Place,
    /// As it was before all of them.
    pub was: Value,
    /// Who needs it otherwise.
    pub needed: Vec<Need>,
}

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "field", rename_all = "camelCase")]
pub enum Place {
    /// The namespaces that a webhook is asked about.
    NamespaceSelector {
        /// The name of the webhook.
        webhook: String,
    },
    /// The requests that a webhook is asked about (Kubernetes 1.30).
    MatchConditions {
        /// The name of the webhook.
        webhook: String,
    },
    /// What is done when a webhook does not answer.
    FailurePolicy {
        /// The name of the webhook.
        webhook: String,
    },
    /// How objects become those of another version.
    Conversion,
}

/// One run that needs it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Need {
    /// For what: `namespaces/stuck`.
    pub target: String,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Identity>,
    /// From then on any run may put it back.
    pub until: Timestamp,
    /// The namespace that is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The object that is left out, where it has no namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Key>,
    /// Whose requests are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
}

impl Need {
    fn id(&self) -> Option<&str> {
        self.run.as_ref().map(|run| run.run.as_str())
    }

    /// Whether it is over, as seen by the run that puts things back: its own, one for the same target that lives no more, or
    /// one that was to be over long ago by the server's clock. `gone`: the target is, so that nobody needs anything for it.
    pub fn is_over(&self, target: &str, me: &Identity, gone: bool, now: Timestamp) -> bool {
        let ended = self
            .run
            .as_ref()
            .is_none_or(|run| run.run == me.run || run.is_gone_here());
        self.until < now || (self.target == target && (gone || ended))
    }
}

impl Place {
    /// Where the field is now: entries may have moved.
    fn pointer(&self, object: &Value) -> Option<String> {
        let (webhook, field) = match self {
            Self::NamespaceSelector { webhook } => (webhook, "namespaceSelector"),
            Self::MatchConditions { webhook } => (webhook, "matchConditions"),
            Self::FailurePolicy { webhook } => (webhook, "failurePolicy"),
            Self::Conversion => return Some("/spec/conversion".into()),
        };
        let webhooks = object["webhooks"].as_array()?;
        let at = webhooks.iter().position(|w| w["name"] == webhook.as_str())?;
        Some(format!("/webhooks/{at}/{field}"))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NamespaceSelector { webhook } => write!(f, "namespaceSelector of {webhook}"),
            Self::MatchConditions { webhook } => write!(f, "matchConditions of {webhook}"),
            Self::FailurePolicy { webhook } => write!(f, "failurePolicy of {webhook}"),
            Self::Conversion => f.write_str("spec.conversion"),
        }
    }
}

impl Field {
    /// As it has to be for all that need it.
    fn is(&self) -> Value {
        match (&self.place, self.left_out()) {
            _ if self.needed.is_empty() => self.was.clone(),
            (Place::FailurePolicy { .. }, _) => json!("Ignore"),
            (Place::Conversion, _) => json!({"strategy": "None"}),
            (Place::NamespaceSelector { .. }, expression) => {
                let mut is = self.was.clone();
                match is["matchExpressions"].as_array_mut() {
                    Some(all) => all.push(expression),
                    None => is["matchExpressions"] = json!([expression]),
                }
                is
            }
            (Place::MatchConditions { .. }, condition) => {
                let mut is = self.was.as_array().cloned().unwrap_or_default();
                is.push(condition);
                Value::Array(is)
            }
        }
    }

    /// The element that is added to a list for all that need it.
    fn left_out(&self) -> Value {
        if matches!(self.place, Place::MatchConditions { .. }) {
            return json!({"name": CONDITION, "expression": exclusion::expression(&self.needed)});
        }
        let mut names: Vec<&str> = self.needed.iter().filter_map(|n| n.namespace.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        json!({"key": NAME, "operator": "NotIn", "values": names})
    }
}

/// The operations that make the change for one more run and write it down. Nothing where the webhook is not there any more.
pub fn open(object: &Value, place: Place, need: Need) -> Option<Vec<Value>> {
    let at = place.pointer(object)?;
    let now = object.pointer(&at).cloned().unwrap_or(Value::Null);
    let mut record = read(object).unwrap_or_default();
    // Who has changed it since has made it what it is.
    let known = record
        .fields
        .iter()
        .position(|field| field.place == place && field.is() == now);
    let mut field = match known {
        Some(known) => record.fields.remove(known),
        None => Field {
            place: place.clone(),
            was: now.clone(),
            needed: Vec::new(),
        },
    };
    record.fields.retain(|field| field.place != place);
    field
        .needed
        .retain(|known| known.id() != need.id() || known.namespace != need.namespace || known.only != need.only);
    field.needed.push(need);
    let is = field.is();
    record.fields.push(field);
    let mut operations = unchanged_since(object);
    if now.is_null() {
        operations.push(json!({"op": "add", "path": at, "value": is}));
    } else {
        operations.extend(test(&place, &at, &now));
        operations.push(json!({"op": "replace", "path": at, "value": is}));
    }
    if !object["metadata"]["annotations"].is_object() {
        operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
    }
    operations.push(json!({"op": "add", "path": annotation(), "value": text(&record)}));
    Some(operations)
}

/// What has to be done so that these runs need nothing any more.
#[derive(Debug, Default)]
pub struct Back {
    /// The patch.
    pub operations: Vec<Value>,
    /// What somebody else has changed since, and stays.
    pub theirs: Vec<String>,
    /// For whom it is changed still.
    pub needed: Vec<String>,
}

/// Nothing where none of them needs anything.
pub fn back(object: &Value, is_over: impl Fn(&Need) -> bool) -> Option<Back> {
    let record = read(object)?;
    if !record.fields.iter().flat_map(|f| &f.needed).any(&is_over) && !record.fields.iter().all(|f| f.needed.is_empty())
    {
        return None;
    }
    let mut back = Back {
        operations: unchanged_since(object),
        ..Back::default()
    };
    let mut left = Record::default();
    for field in record.fields {
        let mut after = field.clone();
        after.needed.retain(|need| !is_over(need));
        back.needed.extend(after.needed.iter().map(|need| need.target.clone()));
        let at = field.place.pointer(object);
        match at
            .as_ref()
            .and_then(|at| Some((at, without(object.pointer(at)?, &field, &after)?)))
        {
            Some((at, value)) => {
                let now = object.pointer(at).unwrap_or(&Value::Null);
                back.operations.extend(test(&field.place, at, now));
                back.operations.push(match value {
                    // It was not there.
                    Value::Null => json!({"op": "remove", "path": at}),
                    value => json!({"op": "replace", "path": at, "value": value}),
                });
            }
            None => back.theirs.push(field.place.to_string()),
        }
        if !after.needed.is_empty() {
            left.fields.push(after);
        }
    }
    back.operations.push(match left.fields.as_slice() {
        [] => json!({"op": "remove", "path": annotation()}),
        _ => json!({"op": "replace", "path": annotation(), "value": text(&left)}),
    });
    Some(back)
}

/// What the field has to be, if it still has in it what was set: selectors may have got more expressions since.
fn without(now: &Value, before: &Field, after: &Field) -> Option<Value> {
    if *now == before.is() {
        return Some(after.is());
    }
    let mut now = now.clone();
    let all = match before.place {
        Place::NamespaceSelector { .. } => now["matchExpressions"].as_array_mut()?,
        Place::MatchConditions { .. } => now.as_array_mut()?,
        Place::FailurePolicy { .. } | Place::Conversion => return None,
    };
    let ours = before.left_out();
    let at = all.iter().position(|expression| *expression == ours)?;
    all.remove(at);
    if !after.needed.is_empty() {
        all.push(after.left_out());
    }
    Some(now)
}

/// The API server compares texts byte by byte as it has escaped them, `\u0026` for `&`, so that expressions are never equal to what
/// was read. What is changed is bound to the resourceVersion as well.
fn test(place: &Place, at: &str, now: &Value) -> Option<Value> {
    let is_text = matches!(place, Place::MatchConditions { .. });
    (!is_text).then(|| json!({"op": "test", "path": at, "value": now}))
}

/// Another run may write another field of the same object, and the same annotation.
fn unchanged_since(object: &Value) -> Vec<Value> {
    let version = &object["metadata"]["resourceVersion"];
    vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})]
}

/// What a run needs from now on, by the server's clock: whoever reads it has another one of their own.
pub fn need(target: &str, run: &Identity, now: Timestamp) -> Need {
    Need {
        target: target.to_owned(),
        run: Some(run.clone()),
        until: now + LASTS,
        namespace: None,
        only: None,
        users: Vec::new(),
    }
}

/// What stands on an object.
fn read(object: &Value) -> Option<Record> {
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

/// The object as it was before anything of it was taken out of the way: what is brought back has nothing of that.
pub fn closed(object: &Value) -> Value {
    let mut whole = object.clone();
    for field in read(object).unwrap_or_default().fields {
        let after = Field {
            needed: Vec::new(),
            ..field.clone()
        };
        if let Some(at) = field.place.pointer(object)
            && let Some(now) = whole.pointer_mut(&at)
            && let Some(was) = without(now, &field, &after)
        {
            *now = was;
        }
    }
    // A list that was not there has become null.
    let webhooks = whole.get_mut("webhooks").and_then(Value::as_array_mut);
    for webhook in webhooks.into_iter().flatten() {
        if let Some(webhook) = webhook
            .as_object_mut()
            .filter(|w| w.get("matchConditions") == Some(&Value::Null))
        {
            webhook.remove("matchConditions");
        }
    }
    if let Some(annotations) = whole
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(NEUTRALISED);
        if annotations.is_empty()
            && let Some(meta) = whole["metadata"].as_object_mut()
        {
            meta.remove("annotations");
        }
    }
    whole
}
