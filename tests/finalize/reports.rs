//! What operators have reported and what hostile neighbours can do: the rows R1 to R53.

#[path = "reports/alive.rs"]
mod alive;
#[path = "reports/bypass.rs"]
mod bypass;
#[path = "reports/circles.rs"]
mod circles;
#[path = "reports/denials.rs"]
mod denials;
#[path = "reports/elsewhere.rs"]
mod elsewhere;
#[path = "reports/gates.rs"]
mod gates;
#[path = "reports/graces.rs"]
mod graces;
#[path = "reports/off.rs"]
mod off;
#[path = "reports/ownership.rs"]
mod ownership;
#[path = "reports/plans.rs"]
mod plans;
#[path = "reports/refusals.rs"]
mod refusals;
#[path = "reports/silence.rs"]
mod silence;
#[path = "reports/unreachable.rs"]
mod unreachable;
#[path = "reports/unreadable.rs"]
mod unreadable;
#[path = "reports/unreviewed.rs"]
mod unreviewed;
