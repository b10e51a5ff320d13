//! Runs that leave pods behind on purpose, pods with finalizers or a long grace period.
