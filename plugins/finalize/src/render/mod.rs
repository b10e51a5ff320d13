//! Turns what was found out into text. Decides nothing.

pub mod diagnosis;
pub mod document;
pub mod explain;
pub mod group;
pub mod scan;
