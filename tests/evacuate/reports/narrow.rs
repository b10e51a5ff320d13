//! Callers with few rights, and pods that cannot be decoded.
