//! A digest of the routes, by which two builds are compared from outside.

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderName, HeaderValue};

use crate::registry::Registry;

/// The header of 404 responses and of `/healthz` that has the digest.
pub(crate) const ROUTE_DIGEST_HEADER: HeaderName = HeaderName::from_static("x-forge-remote-routes");

/// The number of the digest's bytes.
const BYTES: usize = 8;

/// A digest of the app's routes and of the version of forge-remote: 16 hexadecimal digits. It is computed once, and
/// does not identify an app whose routes are not known already.
#[derive(Clone, Debug)]
pub(crate) struct RouteDigest(String);

impl RouteDigest {
    /// Returns the digest of these handlers.
    ///
    /// Base paths are not part of it: they come from the manifest, which may not be deployed.
    pub(crate) fn of(registry: &Registry) -> Self {
        let mut lines: Vec<String> = Vec::new();
        for handler in registry.handlers() {
            let record = handler.registration();
            let paths: Vec<&str> = handler.paths().collect();
            lines.push(format!(
                "{} {} {} {} {} {} {}",
                record.kind.module_type(),
                handler.key(),
                handler.endpoint(),
                handler.methods(),
                paths.join(","),
                record.auth.system,
                record.auth.user,
            ));
        }
        lines.sort_unstable();
        lines.push(env!("CARGO_PKG_VERSION").to_owned());
        let digest = digest(&SHA256, lines.join("\n").as_bytes());
        let bytes = digest.as_ref().iter().take(BYTES);
        Self(bytes.map(|byte| format!("{byte:02x}")).collect())
    }

    #[cfg(feature = "dev")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}
