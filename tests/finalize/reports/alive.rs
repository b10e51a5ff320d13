//! Finalizers whose controller is alive.
