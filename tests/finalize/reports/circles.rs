//! Objects that own each other.
