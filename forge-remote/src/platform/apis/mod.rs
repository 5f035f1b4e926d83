//! Fake versions of the APIs that an app calls: enough of Jira, Confluence, GraphQL and Forge's
//! storage for `dev` and tests. They check tokens and their owners, but no permissions and no JQL.

mod call;
mod conditions;
mod confluence;
mod data;
mod declared;
mod fixtures;
mod graphql;
mod installation;
mod jira;
mod server;
mod storage;
mod storage_queries;
mod storage_values;

pub use data::{ApiCall, ApiRequest, ApiResponse, FakeApis};
pub(crate) use declared::Declared;
pub use fixtures::FixtureError;
pub(crate) use server::router;
