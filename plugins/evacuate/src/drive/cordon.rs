//! The patch that cordons a node, and what of it the server takes.
//!
//! To cordon is needed to empty a node; annotations and a label on it are not. What the server refuses for its content (a
//! policy or a webhook that forbids annotations, a node whose annotations are at their limit) is left out, and named.

use k8s_openapi::jiff::Timestamp;
use kube::{
    Error,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use upkeep::lock::{Claim, Identity, LOCK};

use super::{
    publish::{EXCLUDE_LB, Evacuation, Wish},
    reply,
};
use crate::{
    drive::publish::EVACUATION,
    engine::event::Reply,
    facts::{CORDONED, Node},
    gather::{Nodes, in_short},
};

/// How much of the patch is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All of it.
    Whole,
    /// Without the label that takes the node out of load balancers.
    WithoutLabel,
    /// `spec.unschedulable` alone. Without annotations nothing else is set, because nothing would undo it.
    Plain,
}

/// What is to be written on a node.
pub struct Cordon<'a> {
    /// The node that was read.
    pub node: &'a Node,
    /// Its resourceVersion, which the patch is bound to; a dry run of an older one goes without.
    pub version: Option<&'a str>,
    /// This run.
    pub me: &'a Identity,
    /// What others are to be told.
    pub wish: &'a Wish,
    /// The lock, where it is an annotation.
    pub lock: Option<&'a Claim>,
    /// When the work on the node began.
    pub now: Timestamp,
}

/// A cordon that the server has taken.
pub struct Cordoned {
    /// How much of it.
    pub form: Form,
    /// Why not all of it.
    pub refused: Option<String>,
}

impl Cordon<'_> {
    /// Sends the whole patch, and less of it where the server refuses that.
    ///
    /// # Errors
    /// The server's, to the last of them.
    pub async fn send(&self, nodes: &Nodes, params: &PatchParams) -> Result<Cordoned, Error> {
        let forms = self.forms();
        let patches = forms.iter().map(|form| self.patch(*form)).collect();
        let (index, refused) = first_accepted(nodes, &self.node.name, params, patches).await?;
        let form = forms.get(index).copied().unwrap_or(Form::Plain);
        Ok(Cordoned { form, refused })
    }

    fn evacuation(&self) -> Evacuation {
        Evacuation::new(self.node, self.me, self.wish, self.now)
    }

    /// Whether the label is this run's to set.
    pub fn sets_label(&self) -> bool {
        self.wish.exclude_lb && !self.node.labels.contains_key(EXCLUDE_LB)
    }

    fn forms(&self) -> Vec<Form> {
        let label = self.sets_label().then_some(Form::WithoutLabel);
        std::iter::once(Form::Whole)
            .chain(label)
            .chain(std::iter::once(Form::Plain))
            .collect()
    }

    fn patch(&self, form: Form) -> Value {
        let mut patch = json!({"metadata": {"uid": self.node.uid}, "spec": {"unschedulable": true}});
        if let Some(version) = self.version {
            patch["metadata"]["resourceVersion"] = json!(version);
        }
        if form == Form::Plain {
            return patch;
        }
        let mut evacuation = self.evacuation();
        if self.sets_label() {
            evacuation.excluded_lb = form == Form::Whole;
        }
        let mut annotations = json!({ EVACUATION: evacuation.to_value() });
        match self.lock {
            Some(claim) => annotations[LOCK] = json!(claim.to_value()),
            // That of an earlier run.
            None if self.node.annotations.contains_key(LOCK) => annotations[LOCK] = Value::Null,
            None => {}
        }
        if !self.node.unschedulable {
            annotations[CORDONED] = json!(self.me.run);
        }
        patch["metadata"]["annotations"] = annotations;
        if evacuation.excluded_lb {
            patch["metadata"]["labels"] = json!({ EXCLUDE_LB: "" });
        }
        patch
    }

    /// What is missing on the node now, for the operator.
    pub fn losses(&self, cordoned: &Cordoned) -> Vec<String> {
        let name = &self.node.name;
        let why = cordoned.refused.as_deref().unwrap_or_default();
        let label = (self.sets_label() && cordoned.form != Form::Whole)
            .then(|| format!("node/{name}: label {EXCLUDE_LB} is not set, because the server refuses it: {why}"));
        let surge = if self.wish.surges.is_empty() {
            ""
        } else {
            ", nor a surge that is cut off"
        };
        let plain = (cordoned.form == Form::Plain).then(|| {
            format!(
                "node/{name} is cordoned without annotations, because the server refuses them: {why}; the node does not tell \
                 who cordoned it and why, and --uncordon does not undo it{surge}: 'kubectl uncordon {name}' does, and 'kubectl evacuate {name} --uncordon' after it removes the conditions"
            )
        });
        plain.into_iter().chain(label).collect()
    }
}

/// Sends the first of these patches that the server does not refuse for its content. Returns which, and why not the first.
///
/// # Errors
/// The server's to the last of them, or one that no other patch would change.
pub async fn first_accepted(
    nodes: &Nodes,
    name: &str,
    params: &PatchParams,
    patches: Vec<Value>,
) -> Result<(usize, Option<String>), Error> {
    let last = patches.len().saturating_sub(1);
    let mut refused = None;
    for (index, patch) in patches.into_iter().enumerate() {
        match nodes.patch(name, params, &Patch::Merge(patch)).await {
            Ok(_) => return Ok((index, refused)),
            Err(Error::Api(status)) => match refuses_content(reply::read::<()>(Err(Error::Api(status.clone())))) {
                Some(text) if index < last => drop(refused.get_or_insert(text)),
                _ => return Err(Error::Api(status)),
            },
            Err(error) => return Err(error),
        }
    }
    Ok((last, refused))
}

/// Whether an answer is about what stands in the patch, and not about the right to send one.
fn refuses_content(reply: Reply) -> Option<String> {
    match reply {
        Reply::Denied(text) | Reply::Rejected(text) => Some(text),
        // Admission plugins of the server itself answer with 403 as well.
        Reply::Forbidden(text) if in_short(&text) == text => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1 as core;

    use super::*;

    fn node(value: Value) -> Node {
        let node: core::Node = serde_json::from_value(value).unwrap_or_default();
        Node::from(node)
    }

    /// Only what has to change is in the patch, bound to the node that was looked at.
    #[test]
    fn u03_the_patch_that_cordons() {
        let me = Identity::current();
        let wish = Wish {
            reason: Some("disk swap".into()),
            exclude_lb: true,
            ..Wish::default()
        };
        let patch = |node: &Node, lock: Option<&Claim>, wish: &Wish, form: Form| {
            let cordon = Cordon {
                node,
                version: Some("7"),
                me: &me,
                wish,
                lock,
                now: Timestamp::UNIX_EPOCH,
            };
            cordon.patch(form)
        };
        let bare = node(json!({"metadata": {"name": "n", "uid": "u1"}}));
        let whole = patch(&bare, None, &wish, Form::Whole);
        assert_eq!(
            (&whole["metadata"]["uid"], &whole["metadata"]["resourceVersion"]),
            (&json!("u1"), &json!("7"))
        );
        assert_eq!(whole["spec"], json!({ "unschedulable": true }));
        let annotations = &whole["metadata"]["annotations"];
        assert_eq!(annotations[CORDONED], json!(me.run));
        assert!(annotations.get(LOCK).is_none(), "{annotations}");
        let said = annotations[EVACUATION].as_str().and_then(Evacuation::read);
        assert_eq!(
            said.map(|e| (e.reason, e.excluded_lb)),
            Some((Some("disk swap".into()), true))
        );
        assert_eq!(whole["metadata"]["labels"], json!({ EXCLUDE_LB: "" }));

        // r05: less, where the server refuses more.
        let less = patch(&bare, None, &wish, Form::WithoutLabel);
        assert!(less["metadata"].get("labels").is_none());
        let said = less["metadata"]["annotations"][EVACUATION]
            .as_str()
            .and_then(Evacuation::read);
        assert!(said.is_some_and(|e| !e.excluded_lb), "what is not set is not undone");
        assert_eq!(
            patch(&bare, None, &wish, Form::Plain),
            json!({"metadata": {"uid": "u1", "resourceVersion": "7"}, "spec": {"unschedulable": true}})
        );

        // A label that is there already is somebody else's, and so is a cordon.
        let labelled = node(json!({"metadata": {"labels": {EXCLUDE_LB: "x"}}}));
        assert!(
            patch(&labelled, None, &wish, Form::Whole)["metadata"]
                .get("labels")
                .is_none()
        );
        let cordoned = node(json!({"metadata": {"annotations": {LOCK: "{}"}}, "spec": {"unschedulable": true}}));
        let foreign = patch(&cordoned, None, &Wish::default(), Form::Whole);
        let annotations = &foreign["metadata"]["annotations"];
        assert!(annotations.get(CORDONED).is_none(), "a cordon of others is not ours");
        assert_eq!(annotations.get(LOCK), Some(&Value::Null));
        let claim = Claim::new(&me, Timestamp::UNIX_EPOCH);
        let locked = patch(&cordoned, Some(&claim), &Wish::default(), Form::Whole);
        assert_eq!(locked["metadata"]["annotations"][LOCK], claim.to_value());
    }

    #[test]
    fn r05_what_is_refused_for_its_content() {
        let denied = "nodes \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no";
        let right = "nodes \"a\" is forbidden: User \"u\" cannot patch resource \"nodes\" in API group \"\"";
        let plugin = "nodes \"a\" is forbidden: is not allowed to modify labels: x";
        assert!(refuses_content(Reply::Denied(denied.into())).is_some());
        assert!(refuses_content(Reply::Rejected("Too long: may not be more than 262144 bytes".into())).is_some());
        assert!(refuses_content(Reply::Forbidden(plugin.into())).is_some());
        assert!(refuses_content(Reply::Forbidden(right.into())).is_none());
        for other in [
            Reply::NotFound,
            Reply::Conflict("c".into()),
            Reply::Unavailable("u".into()),
        ] {
            assert!(refuses_content(other).is_none());
        }
    }
}
