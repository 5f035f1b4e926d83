//! Calls to Atlassian: requests, retries, listings, storage, files, users.
#![allow(clippy::too_many_lines, reason = "tables of cases")]
#![allow(clippy::unwrap_used)]

mod addresses;
mod calls;
mod dynamic_modules;
mod errors;
mod fake_apis;
mod fake_storage;
mod files;
mod graphql;
mod isolated_clouds;
mod listings;
mod newest_token;
mod odd_responses;
mod page_tokens;
mod pages;
mod permissions;
mod restored_tokens;
mod retries;
mod storage;
mod storage_batches;
mod users;
mod whole_app;
