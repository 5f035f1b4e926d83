//! Kinds whose handlers are registered by hand.

mod agent;
mod modules;
mod payloads;
mod web;
