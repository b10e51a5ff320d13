//! One entry is taken out of the way for a while.

use http::{Request, header::CONTENT_TYPE};
use kube::core::Status;
use serde_json::{Value, json};
use upkeep::{Error, Result};

use super::{
    Hands, Made,
    record::{Need, Place, need, open},
};
use crate::facts::{Key, Refusal};

/// Kinds in which something can be taken out of the way.
pub const KINDS: [(&str, &str); 3] = [
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
];
/// How often a change is made anew because somebody else has written to the object in between.
pub const TRIES: usize = 8;

impl Hands<'_> {
    /// Leaves requests out of one webhook: those of this user and of `accounts` for a namespace or an object without one, by a
    /// match condition. For `None` those of every user: a selector of namespaces says nothing about what has none, so there the
    /// webhook may fail.
    pub(super) async fn exclude(
        &self,
        object: &Value,
        entry: &str,
        (namespace, only): (Option<&str>, Option<&Key>),
        accounts: Option<&[String]>,
        dry_run: bool,
    ) -> Made {
        let webhook = entry.to_owned();
        let mut need = self.need();
        need.namespace = namespace.map(str::to_owned);
        let place = match (accounts, namespace) {
            (Some(accounts), _) => {
                need.only = only.cloned();
                need.users = accounts.iter().cloned().chain([self.user().await?]).collect();
                Place::MatchConditions { webhook }
            }
            (None, Some(_)) => Place::NamespaceSelector { webhook },
            (None, None) => Place::FailurePolicy { webhook },
        };
        self.open(object, &place, need, dry_run).await
    }

    /// The name by which the server knows this user: what the credentials say may be another one.
    async fn user(&self) -> Result<String> {
        if let Some(user) = self.user.get() {
            return Ok(user.clone());
        }
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let request = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
            .header(CONTENT_TYPE, "application/json")
            .body(review.to_string().into_bytes());
        let sent = self.send(request.map_err(kube::Error::HttpError)).await;
        let review = sent.map_err(|error| self.connection.explain(&error))?;
        let user = review["status"]["userInfo"]["username"].as_str();
        let user = user.ok_or_else(|| Error::failed("the server does not say which user you are"))?;
        Ok(self.user.get_or_init(|| user.to_owned()).clone())
    }

    fn need(&self) -> Need {
        need(&self.target, &self.run, self.now())
    }

    /// Lets the conversion of a definition change nothing but the version: what needs more than that is mis-converted as
    /// long as this lasts, for every client.
    pub(super) async fn unconvert(&self, object: &Value, dry_run: bool) -> Made {
        self.open(object, &Place::Conversion, self.need(), dry_run).await
    }

    async fn open(&self, object: &Value, place: &Place, need: Need, dry_run: bool) -> Made {
        let key = key_of(object)?;
        let path = self.path(&key)?;
        let mut object = object.clone();
        let mut tries = 1;
        loop {
            let operations = open(&object, place.clone(), need.clone());
            let gone = || Error::failed(format!("there is nothing any more that could be changed: {place}"));
            match self
                .patch(&path, &object, None, operations.ok_or_else(gone)?, dry_run)
                .await
            {
                Err(kube::Error::Api(status)) if is_conflict(&status) && tries < TRIES => tries += 1,
                sent => return sent.map(drop).map_err(|error| self.trouble(&error)),
            }
            object = self.read(&key).await?;
        }
    }
}

/// A patch whose tests do not hold any more is no conflict for the API server, but an invalid one. Whoever denies a request
/// chooses its status, and is not asked again and again.
pub fn is_conflict(status: &Status) -> bool {
    let tests_failed = status.code == 422 && status.details.iter().all(|d| d.causes.is_empty());
    (status.code == 409 || tests_failed) && !Refusal::read(&status.message).is_denial()
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
