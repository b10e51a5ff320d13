//! Who owns a finalizer, and what a tenant can claim about it.
