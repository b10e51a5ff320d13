//! What operators have reported and what hostile neighbours can do: the rows R1 to R53.

#[path = "reports/degraded.rs"]
mod degraded;
#[path = "reports/forged.rs"]
mod forged;
#[path = "reports/jobs.rs"]
mod jobs;
#[path = "reports/locks.rs"]
mod locks;
#[path = "reports/narrow.rs"]
mod narrow;
#[path = "reports/operators.rs"]
mod operators;
#[path = "reports/partial.rs"]
mod partial;
#[path = "reports/recovering.rs"]
mod recovering;
#[path = "reports/room.rs"]
mod room;
