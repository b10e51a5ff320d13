//! Webhooks that time out although they have a backend.
