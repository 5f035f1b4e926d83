//! A bare endpoint: what a page's `invokeRemote` or `requestRemote` calls.

use std::time::Duration;

use forge_remote_schema::{KindSpec, Mistake, kinds, lists};

use super::items::wrong_items;
use crate::registry::{Kind, SampleCall};

/// `#[endpoint]`: its options are all in the record itself.
///
/// `invokeRemote` comes by way of Forge, with the tokens that `auth` asks for. `requestRemote` comes
/// straight from the user's browser, with a Forge Invocation Token and never with OAuth tokens: a
/// handler for both takes `Option<UserToken>`. The browser's preflight (CORS) is answered for any
/// origin, since only a token opens the door; what Atlassian's pages demand there isn't documented.
///
/// The module that points at it (`resolver.endpoint`) is a UI module and hand-written. It does not
/// decide who calls: a page names any path, so each page of the app reaches each `#[endpoint]`, and a
/// page that only administrators see protects none. `pages` restricts a handler to the pages with
/// these module keys; another page gets 403, which is logged. Modules that are created at run time
/// (dynamic modules) have keys of the server's making, so they cannot be named. Calls of the app's
/// own functions are not restricted.
///
/// ```
/// use forge_remote::prelude::*;
///
/// #[endpoint(pages = ["admin-page"])]
/// async fn save_settings(Json(theme): Json<String>) -> Result<()> {
///     println!("the theme is {theme}");
///     Ok(())
/// }
/// ```
///
/// Sources: <https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/>,
/// <https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/requestRemote/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The keys of the pages that may call it; empty for any page.
    pub pages: &'static [&'static str],
}

impl Kind for Endpoint {
    fn spec(&self) -> &'static KindSpec {
        &kinds::ENDPOINT
    }

    fn pages(&self) -> &'static [&'static str] {
        self.pages
    }

    fn validate(&self) -> Vec<Mistake> {
        let pages = self.pages.iter().map(|page| lists::ListItem::Text(page));
        wrong_items("pages", &lists::PAGES, pages)
    }

    fn documented_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(25))
    }

    fn simulation(&self) -> SampleCall {
        SampleCall {
            module_type: "xen:macro",
            body: None,
            timeout: Duration::from_secs(25),
            ..SampleCall::of_platform(serde_json::Value::Null)
        }
    }
}
