//! Tokens that must be rejected, and tokens that must be accepted.

mod algorithm;
mod claims;
mod header;
mod jose;
mod key_choice;
mod odd_claims;
mod page_types;
mod presence;
mod serialisation;
mod signature;
mod valid_tokens;
