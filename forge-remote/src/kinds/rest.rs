//! Unknown fields of payloads.

/// The members of a payload that none of its fields covers.
pub type Rest = serde_json::Map<String, serde_json::Value>;
