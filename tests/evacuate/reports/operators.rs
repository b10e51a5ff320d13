//! Budgets and pods that an operator manages.
