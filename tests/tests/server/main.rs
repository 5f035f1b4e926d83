//! The server from outside: launch, requests, responses, the local platform.

mod allowed_pages;
mod background;
mod browser;
mod dev_calls;
mod dev_life;
mod events_launch;
mod http_raw;
mod http_surface;
mod launch;
mod logs;
mod overload;
mod peers;
mod process_logs;
mod rejections;
mod responses;
mod shutdown;
mod tower;
