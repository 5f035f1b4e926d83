//! Unknown fields of payloads.

/// What a payload has beyond the fields it knows.
pub type Rest = serde_json::Map<String, serde_json::Value>;
