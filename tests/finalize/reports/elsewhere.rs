//! Causes outside of the namespace, in storage, and in missing rights.
