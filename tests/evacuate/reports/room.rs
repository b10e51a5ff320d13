//! What the simulation of the scheduler does not judge.
