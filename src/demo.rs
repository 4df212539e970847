//! The two-minute tour: the whole main job against parts bundled with the program.
//!
//! For now only the bundled authorization server, which the tests use as well.

pub mod authority;
