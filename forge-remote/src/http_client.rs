//! HTTP clients that can be built again, shared with the verifier's key sources.

pub(crate) use forge_remote_fit::__private::http_client::{
    ClientBuildError, LazyClient, Network, is_loopback,
};
