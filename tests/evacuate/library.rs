//! Rows of kubectl's drain package (7.3).

#[path = "library/asks.rs"]
mod asks;
#[path = "library/ends.rs"]
mod ends;
#[path = "library/filters.rs"]
mod filters;
#[path = "library/waits.rs"]
mod waits;
