//! Calls to Atlassian: requests, retries, listings, storage, files, users.

mod calls;
mod clouds;
mod errors;
mod files;
mod graphql;
mod listings;
mod newest_token;
mod odd_answers;
mod pages;
mod retries;
mod stand_ins;
mod storage;
mod users;
mod whole_app;
