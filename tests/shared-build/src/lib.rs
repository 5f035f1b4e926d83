//! Has no code: `Cargo.toml` chooses features.
