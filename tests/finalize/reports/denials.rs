//! Policies and webhooks that refuse the removal of a finalizer.
