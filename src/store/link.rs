//! Links at rest.
