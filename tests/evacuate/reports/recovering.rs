//! Budgets that have no disruptions left for now, and budgets that the server cannot count.
