//! One entry is taken out of the way for a while.

use kube::core::Status;
use serde_json::Value;
use upkeep::{Error, Result};

use super::{
    Hands,
    record::{Place, need, open},
};
use crate::facts::Key;

/// Kinds in which something can be taken out of the way.
pub const KINDS: [(&str, &str); 3] = [
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
];
/// How often a change is made anew because somebody else has written to the object in between.
pub const TRIES: usize = 8;

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
        let webhook = entry.to_owned();
        let place = match namespace {
            Some(_) => Place::NamespaceSelector { webhook },
            None => Place::FailurePolicy { webhook },
        };
        self.open(object, &place, namespace, dry_run).await
    }

    /// Lets the conversion of a definition change nothing but the version: what needs more than that is mis-converted as
    /// long as this lasts, for every client.
    pub(super) async fn unconvert(&self, object: &Value, dry_run: bool) -> Result<()> {
        self.open(object, &Place::Conversion, None, dry_run).await
    }

    async fn open(&self, object: &Value, place: &Place, namespace: Option<&str>, dry_run: bool) -> Result<()> {
        let key = key_of(object)?;
        let path = self.path(&key)?;
        let mut object = object.clone();
        let mut tries = 1;
        loop {
            let operations = open(&object, place.clone(), need(&self.target, &self.run, namespace));
            let gone = || Error::failed(format!("there is nothing any more that could be changed: {place}"));
            match self
                .patch(&path, &object, None, operations.ok_or_else(gone)?, dry_run)
                .await
            {
                Err(kube::Error::Api(status)) if is_conflict(&status) && tries < TRIES => tries += 1,
                sent => return sent.map_err(|error| self.connection.explain(&error)),
            }
            object = self.read(&key).await?;
        }
    }
}

/// A patch whose tests do not hold any more is no conflict for the API server, but an invalid one.
pub fn is_conflict(status: &Status) -> bool {
    status.code == 409 || (status.code == 422 && status.details.iter().all(|d| d.causes.is_empty()))
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
