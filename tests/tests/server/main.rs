//! The server from outside: launch, requests, responses, the local platform.
#![allow(clippy::too_many_lines, reason = "tables of cases")]
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod allowed_pages;
mod app_ids;
mod background;
mod base_paths;
mod bodies;
mod browser;
mod by_hand;
mod console;
mod console_calls;
mod console_recorded;
mod console_records;
mod dev_calls;
mod dev_deferred;
mod dev_life;
mod doctor;
mod doctor_certificate;
mod doctor_consent;
mod doctor_fronts;
mod doctor_key_sets;
mod doctor_key_use;
mod doctor_keys;
mod doctor_servers;
mod doctor_stores;
mod doctor_target;
mod doctor_url;
mod events_launch;
mod field;
mod http_raw;
mod http_surface;
mod launch;
mod launch_check;
mod limits;
mod logs;
mod metrics;
mod named_manifest;
mod overload;
mod own_routes;
mod peers;
mod process_logs;
mod rejections;
mod responses;
mod shutdown;
mod smuggling;
mod terminal;
mod tower;

// The recorded test names the app like this.
use console_recorded::app;
