//! Kinds whose handlers are registered by hand.

#![allow(clippy::unwrap_used)]

mod agent;
mod modules;
mod odd_bodies;
mod older_versions;
mod payloads;
mod web;
