//! Nodes that cannot be annotated, locks and records that others forge.
