//! An endpoint that pages call with `invokeRemote` or `requestRemote`.

use std::time::Duration;

use forge_remote_schema::{KindSpec, Mistake, kinds, lists};

use super::items::item_mistakes;
use crate::registry::{Kind, SampleCall};

/// The options of `#[endpoint]`.
///
/// Calls by `invokeRemote` pass through Forge, with the tokens that `auth` requests. Calls by `requestRemote` come
/// directly from the user's browser, with a Forge Invocation Token and never with OAuth tokens: a handler for both
/// takes `Option<UserToken>`. A CORS preflight is accepted from any origin, because the call itself needs a FIT;
/// Atlassian documents no requirement for preflights.
///
/// The module that names the endpoint (`resolver.endpoint`) is a hand-written UI module. It does not
/// restrict callers: every page of the app can call every `#[endpoint]`, so an administrators' page
/// does not protect a handler. `pages` restricts a handler to the pages with these module keys; calls
/// from other pages get a 403 and are logged. Forge generates the keys of dynamic modules, so these
/// cannot be listed. Calls by the app's own functions are not restricted, except those
/// whose FIT names a user: such a call counts as a page's. A path that only functions call is a
/// [`function_call`](macro@crate::function_call), which no page can call.
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
/// # The response
///
/// `invokeRemote` accepts a 2xx response without a body, as above, or with JSON. Any other status needs a JSON body,
/// and a content type, if there is one, of `application/json`: return `(StatusCode::CONFLICT, Json(…))` or an
/// [`Error`](crate::Error), not a status alone. Otherwise the page's promise is rejected, and the page sees neither the
/// status nor the body. So it does after a 401, which means that the remote rejects the FIT: return 403 instead, as
/// [`Error::http`](crate::Error::http) does for 401. `requestRemote` accepts any response. `dev` and
/// `TestResponse::invoke_remote_error` of the test kit mark the responses that `invokeRemote` rejects.
///
/// Sources: <https://developer.atlassian.com/platform/forge/manifest-reference/endpoint/>,
/// <https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/invokeRemote/>,
/// <https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/requestRemote/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The module keys of the pages that may call the handler; empty for any page.
    pub pages: &'static [&'static str],
}

impl Endpoint {
    #[doc(hidden)]
    pub const NONE: Self = Self { pages: &[] };
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
        item_mistakes("pages", &lists::PAGES, pages)
    }

    fn documented_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(25))
    }

    fn sample_call(&self) -> SampleCall {
        SampleCall {
            module_type: "xen:macro",
            body: None,
            timeout: Duration::from_secs(25),
            ..SampleCall::from_platform(serde_json::Value::Null)
        }
    }
}

/// Returns the properties of each module type that can name an endpoint, as far as this version knows.
#[doc(hidden)]
pub fn endpoint_places() -> Vec<(&'static str, String)> {
    let of_kinds = kinds::KINDS
        .iter()
        .filter(|kind| kind.endpoint_places != [kinds::RESOLVER]);
    let of_kinds = of_kinds.flat_map(|kind| {
        let places = kind.endpoint_places.iter();
        places.map(|place| (kind.module_type, place.join(".")))
    });
    let pages =
        forge_remote_schema::pages::module_types().map(|name| (name, kinds::RESOLVER.join(".")));
    of_kinds.chain(pages).collect()
}
