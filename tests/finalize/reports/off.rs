//! Nodes that have stopped reporting, and who may confirm that they are powered off.
