//! Small stand-ins for the APIs that an app calls back: enough of Jira, Confluence, GraphQL and
//! Forge's storage for `dev` and tests to run whole. They check tokens, and who they are for; they
//! know no permissions and no JQL.

mod call;
mod conditions;
mod confluence;
mod data;
mod declared;
mod graphql;
mod jira;
mod server;
mod storage;

pub use data::{ApiCall, ApiRequest, ApiResponse, FakeApis};
pub(crate) use declared::Declared;
pub(crate) use server::router;
