//! Plan files, --yes and --knowledge.
