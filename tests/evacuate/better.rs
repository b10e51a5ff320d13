//! Where kubectl's drain is wrong, and this command is not: the rows B1 to B21, and what goes beyond drain.

#[path = "better/beyond.rs"]
mod beyond;
#[path = "better/blocked.rs"]
mod blocked;
#[path = "better/cordon.rs"]
mod cordon;
#[path = "better/ending.rs"]
mod ending;
#[path = "better/moves.rs"]
mod moves;
#[path = "better/output.rs"]
mod output;
#[path = "better/requests.rs"]
mod requests;
