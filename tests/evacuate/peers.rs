//! Rows of other tools that drain nodes (7.4). What a real server cannot be made to show at will is in the engine's own
//! tests (`engine::scripted`).

#[path = "peers/budgets.rs"]
mod budgets;
#[path = "peers/deadlines.rs"]
mod deadlines;
#[path = "peers/order.rs"]
mod order;
