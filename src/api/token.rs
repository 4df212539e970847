//! temp
mod input;
mod page;
mod rules;
