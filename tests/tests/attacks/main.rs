//! Tokens that must be rejected, and tokens that must be accepted.

mod algorithm;
mod app_ids;
mod authorization_header;
mod claims;
mod generated_keys;
mod header;
mod jose;
mod key_choice;
mod layer;
mod module_types;
mod odd_claims;
mod serialisation;
mod signature;
mod valid_tokens;
