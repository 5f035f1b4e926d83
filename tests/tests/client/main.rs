//! Calls to Atlassian: requests, retries, listings, storage, files, users.

mod addresses;
mod calls;
mod clouds;
mod errors;
mod files;
mod graphql;
mod listings;
mod newest_token;
mod odd_answers;
mod page_tokens;
mod pages;
mod retries;
mod stand_ins;
mod storage;
mod users;
mod whole_app;
