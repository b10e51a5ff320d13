//! Rows K: what kubectl's own tests of `drain` say, on real servers.
//!
//! Two rows differ on purpose. What kubectl refuses after it has cordoned the node is refused here before anything is
//! changed; and the pods of a DaemonSet are left alone without a flag.

#[path = "drain/kit.rs"]
mod kit;
#[path = "drain/naked.rs"]
mod naked;
#[path = "drain/sets.rs"]
mod sets;
