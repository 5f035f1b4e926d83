//! JSON as the platform really sends it: see the verifier's crate, which reads claims so.

pub(crate) use forge_remote_fit::__private::json::{
    Lenient, Members, payload, repair, repair_bytes,
};
