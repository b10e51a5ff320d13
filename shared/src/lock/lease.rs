//! A claim as a Lease (`coordination.k8s.io/v1`), one per object, owned by it.
//!
//! The Leases are in [`NAMESPACE`], because a claim must not be written by whom it is about: the credentials of a kubelet may
//! write annotations of its own Node and the Lease of its name in `kube-node-lease`, and no Lease in another namespace (Node
//! authorizer and NodeRestriction, plugin/pkg/auth/authorizer/node). Every API server makes `kube-public`, nothing in it elects
//! a leader, and roles for tenants are not bound there: a Role for Leases in it allows nothing but these locks, which one in
//! `kube-system` would not.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Claim, Identity, STALE_AFTER};

/// Where the Leases are.
pub const NAMESPACE: &str = "kube-public";
/// The label that all of them have, with [`MANAGED`] as its value.
pub const LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of [`LABEL`].
pub const MANAGED: &str = "kubectl-upkeep";
/// The annotation of a Lease that tells whether the process of its holder lives.
const HOLDER: &str = "kubectl-upkeep/holder";
/// Room for the name of the object in that of its Lease: 253 characters at most, less the prefix, a UID of 36 and a dash.
const ROOM: usize = 180;

/// What [`HOLDER`] holds.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Holder {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
}

/// The name of the Lease of an object: readable, and bound to its UID, so that an object that is re-created under the same name
/// is another one.
pub fn name(object: &str, uid: &str) -> String {
    let short: String = object.chars().take(ROOM).collect();
    let short = short.trim_end_matches(['-', '.']);
    format!("kubectl-upkeep-{short}-{uid}")
}

/// The Lease of a claim on an object, which goes with that object.
pub fn lease(object: &OwnerReference, claim: &Claim) -> Lease {
    let holder = &claim.holder;
    let proof = Holder {
        pid: holder.pid,
        process: holder.process.clone(),
        machine: holder.machine.clone(),
    };
    Lease {
        metadata: ObjectMeta {
            name: Some(name(&object.name, &object.uid)),
            namespace: Some(NAMESPACE.into()),
            labels: Some(BTreeMap::from([(LABEL.into(), MANAGED.into())])),
            // Numbers and strings always can be written.
            annotations: Some(BTreeMap::from([(
                HOLDER.into(),
                serde_json::to_string(&proof).unwrap_or_default(),
            )])),
            owner_references: Some(vec![object.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.run.clone()),
            lease_duration_seconds: i32::try_from(STALE_AFTER.as_secs()).ok(),
            acquire_time: Some(MicroTime(claim.started)),
            renew_time: Some(MicroTime(claim.heartbeat)),
            ..LeaseSpec::default()
        }),
    }
}

/// Reads the claim of a Lease; none where no run holds it. One that was never renewed is stale.
pub fn claim(lease: &Lease) -> Option<Claim> {
    let spec = lease.spec.as_ref()?;
    let run = spec.holder_identity.clone().filter(|run| !run.is_empty())?;
    let annotations = lease.metadata.annotations.as_ref();
    let proof = annotations.and_then(|a| serde_json::from_str::<Holder>(a.get(HOLDER)?).ok());
    let Holder { pid, process, machine } = proof.unwrap_or_default();
    let time = |time: &Option<MicroTime>| time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    Some(Claim {
        holder: Identity {
            run,
            pid,
            process,
            machine,
        },
        started: time(&spec.acquire_time),
        heartbeat: time(&spec.renew_time),
        user: None,
        host: None,
    })
}

/// The object that a Lease is for, where it is one of ours.
pub fn object(lease: &Lease) -> Option<&OwnerReference> {
    let owner = lease.metadata.owner_references.as_ref()?.first()?;
    (lease.metadata.name.as_deref() == Some(name(&owner.name, &owner.uid).as_str())).then_some(owner)
}

/// The merge patch that takes a Lease over, bound to the Lease that was read.
pub fn take_patch(read: &Lease, wanted: &Lease) -> Value {
    bound(
        read,
        json!({"metadata": {"labels": wanted.metadata.labels, "annotations": wanted.metadata.annotations}, "spec": wanted.spec}),
    )
}

/// The merge patch that renews a claim.
pub fn renew_patch(read: &Lease, now: Timestamp) -> Value {
    bound(read, json!({"spec": {"renewTime": MicroTime(now)}}))
}

/// The merge patch that gives a Lease back, for who may not delete it.
pub fn free_patch(read: &Lease) -> Value {
    bound(read, json!({"spec": {"holderIdentity": null}}))
}

fn bound(read: &Lease, mut patch: Value) -> Value {
    patch["metadata"]["uid"] = json!(read.metadata.uid);
    patch["metadata"]["resourceVersion"] = json!(read.metadata.resource_version);
    patch
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn node(name: &str) -> OwnerReference {
        OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: name.into(),
            uid: "8f0d4d2e-6f4e-4f41-9d43-0a7f7f1f3c11".into(),
            ..OwnerReference::default()
        }
    }

    #[test]
    fn names_are_bounded_and_those_of_another_object_differ() {
        assert_eq!(
            name("node-1.example.com", "8f0d"),
            "kubectl-upkeep-node-1.example.com-8f0d"
        );
        let long = format!("{}.{}", "a".repeat(179), "b".repeat(70));
        let lease = name(&long, &node("").uid);
        assert!(
            lease.len() <= 253 && !lease.contains(".-") && !lease.contains("--"),
            "{lease}"
        );
        // A node whose name is that of another one's Lease.
        assert_ne!(name("kubectl-upkeep-a", "u"), name("a", "u"));
    }

    #[test]
    fn a_claim_survives_the_lease() {
        let me = Identity::current();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let claim = Claim::new(&me, now);
        let lease = lease(&node("a"), &claim);
        assert_eq!(super::claim(&lease), Some(claim));
        assert_eq!(object(&lease), Some(&node("a")));
        let text = serde_json::to_value(&lease).unwrap();
        let read: Lease = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(super::claim(&read), super::claim(&lease));
        assert_eq!(text["spec"]["leaseDurationSeconds"], 60);
        // Given back, made by somebody else, or of another object.
        let mut free = lease.clone();
        free.spec.as_mut().unwrap().holder_identity = None;
        assert_eq!(super::claim(&free), None);
        let mut bare = lease.clone();
        bare.metadata.annotations = None;
        bare.spec.as_mut().unwrap().renew_time = None;
        let bare = super::claim(&bare).unwrap();
        assert_eq!((bare.holder.pid, bare.heartbeat), (0, Timestamp::UNIX_EPOCH));
        let mut other = lease;
        other.metadata.owner_references = Some(vec![node("b")]);
        assert_eq!(object(&other), None);
    }

    #[test]
    fn patches_are_bound_to_what_was_read() {
        let claim = Claim::new(&Identity::current(), Timestamp::UNIX_EPOCH);
        let mut read = lease(&node("a"), &claim);
        read.metadata.uid = Some("u1".into());
        read.metadata.resource_version = Some("7".into());
        for patch in [
            take_patch(&read, &read),
            renew_patch(&read, Timestamp::UNIX_EPOCH),
            free_patch(&read),
        ] {
            assert_eq!(
                (&patch["metadata"]["uid"], &patch["metadata"]["resourceVersion"]),
                (&json!("u1"), &json!("7"))
            );
        }
        let renewed = renew_patch(&read, Timestamp::UNIX_EPOCH);
        assert_eq!(renewed["spec"], json!({"renewTime": "1970-01-01T00:00:00.000000Z"}));
    }
}
