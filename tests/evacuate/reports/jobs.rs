//! Pods of Jobs.
