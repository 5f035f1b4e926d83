//! Tokens that must be rejected, and tokens that must be accepted.
#![allow(clippy::too_many_lines, reason = "tables of cases")]
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod app_ids;
mod claims;
mod corpus;
mod function_calls;
mod generated_keys;
mod jose;
mod key_choice;
mod layer;
mod module_types;
mod odd_claims;
mod serialisation;
mod signature;
mod valid_key_sets;
mod valid_tokens;
mod vectors;
