//! Modules that an app registers at run time, for one installation.
//!
//! Source: <https://developer.atlassian.com/platform/forge/apis-reference/dynamic-modules-api/>

use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::Api;
use super::atlassian::AtlassianClient;
use super::error::ClientError;
use super::installation_ref::InstallationRef;
use super::path::Path;
use super::product::ProductApi;
use super::product_client::ProductClient;
use super::request::Request;
use crate::credentials::SystemToken;

const ALL: &str = "/forge/installation/v2/dynamic/module";
const ONE: &str = "/forge/installation/v2/dynamic/module/{}";
/// Upper bound on the pages of a listing: an installation has at most 100 modules.
const MAX_PAGES: usize = 100;

impl AtlassianClient {
    /// Returns the modules that the app registered for this installation at run time.
    ///
    /// It needs the system token and no scope. The token alone identifies the installation, so a token
    /// from a page's call is [proven](SystemToken#on-a-pages-call) first.
    pub fn dynamic_modules(
        &self,
        installation: &impl InstallationRef,
        token: &SystemToken,
    ) -> DynamicModules {
        DynamicModules(ProductApi::new(self, Api::Platform, installation).as_app(token))
    }
}

/// The modules that the app registered for one installation at run time.
///
/// Forge generates the key of each. A handler with the option `dynamic` accepts its calls, if the
/// module names the handler's endpoint:
///
/// ```
/// use forge_remote::prelude::*;
/// use serde_json::json;
///
/// /// Called for the events that each installation chooses.
/// #[trigger(dynamic)]
/// async fn update_copy(Event(event): Event) -> Result<()> {
///     println!("{event}");
///     Ok(())
/// }
///
/// #[endpoint(auth = system)]
/// async fn choose(call: Invocation, token: SystemToken, Json(event): Json<String>) -> Result<Json<String>> {
///     let modules = call.dynamic_modules(&token);
///     let trigger = json!({ "events": [event], "endpoint": "update-copy" });
///     let module = modules.register("trigger", &trigger).await?;
///     Ok(Json(module.key))
/// }
/// ```
///
/// An installation has at most 100 such modules; a further one fails with status 422. Atlassian's
/// documentation lists the types of modules that can be registered. Forge delivers an event only if
/// the app has its scopes: list them in the handler's `events` or `scopes`.
/// Sources: <https://developer.atlassian.com/platform/forge/apis-reference/dynamic-modules/>,
/// <https://developer.atlassian.com/platform/forge/apis-reference/dynamic-modules-api/>
#[derive(Clone, Debug)]
pub struct DynamicModules(ProductClient);

/// A module that the app registered at run time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct DynamicModule {
    /// The key that Forge generated: a UUID.
    pub key: String,
    /// The module type, such as `trigger`.
    #[serde(rename = "type", default)]
    pub module_type: String,
    /// The module's properties, as in the manifest.
    #[serde(default)]
    pub data: Value,
}

impl DynamicModules {
    /// Registers a module, and returns it with the key that Forge generated.
    ///
    /// `data` has the properties of such a module in the manifest, without `key`: for a trigger
    /// `{"events": […], "endpoint": "…"}`. The request is not retried automatically: a retry could
    /// register a second module.
    ///
    /// # Errors
    ///
    /// Status 422 for properties that Forge does not accept, and if the installation has 100 modules.
    pub async fn register(
        &self,
        module_type: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<DynamicModule, ClientError> {
        let request = self.0.post(Path::from(ALL));
        sent(request, module_type, data, None).await
    }

    /// Replaces the type and the properties of a module.
    ///
    /// # Errors
    ///
    /// Status 404 if there is no module with this key, 422 for properties that Forge does not accept.
    pub async fn update(
        &self,
        key: &str,
        module_type: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<DynamicModule, ClientError> {
        sent(self.one(Method::PUT, key), module_type, data, Some(key)).await
    }

    /// Returns every module, in Forge's order.
    pub async fn list(&self) -> Result<Vec<DynamicModule>, ClientError> {
        let mut modules = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut request = self.0.get(Path::from(ALL)).query("limit", 100);
            if let Some(cursor) = &cursor {
                request = request.query("nextPageToken", cursor);
            }
            let page: ModulePage = request.fetch().await?;
            let (more, next) = page.into_parts();
            modules.extend(more);
            cursor = next.filter(|next| cursor.as_ref() != Some(next));
            if cursor.is_none() {
                break;
            }
        }
        Ok(modules)
    }

    /// Returns a module; `None` if there is no module with this key.
    pub async fn get(&self, key: &str) -> Result<Option<DynamicModule>, ClientError> {
        match self.one(Method::GET, key).fetch().await {
            Ok(module) => Ok(Some(module)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a module, and returns whether there was one with this key.
    pub async fn remove(&self, key: &str) -> Result<bool, ClientError> {
        match self.one(Method::DELETE, key).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn one(&self, method: Method, key: &str) -> Request {
        self.0.request(method, Path::__fill(ONE, &[&key]))
    }
}

/// Sends a module. Atlassian documents the response's `key` alone for a new one.
async fn sent(
    request: Request,
    module_type: &str,
    data: &(impl Serialize + ?Sized),
    key: Option<&str>,
) -> Result<DynamicModule, ClientError> {
    let data = match serde_json::to_value(data) {
        Ok(data) => data,
        Err(error) => return Err(request.invalid(format!("the module cannot be JSON: {error}"))),
    };
    let body = json!({ "type": module_type, "data": data });
    let response = request.json(&body).send().await?;
    if let (Some(key), true) = (key, response.bytes().is_empty()) {
        return Ok(DynamicModule {
            key: key.to_owned(),
            module_type: module_type.to_owned(),
            data,
        });
    }
    let mut module: DynamicModule = response.json()?;
    if module.module_type.is_empty() {
        module_type.clone_into(&mut module.module_type);
    }
    if module.data.is_null() {
        module.data = data;
    }
    Ok(module)
}

/// A page of a listing. Atlassian's example is a list, and its text also has a `nextPageToken`.
#[derive(Deserialize)]
#[serde(untagged)]
enum ModulePage {
    List(Vec<DynamicModule>),
    Object(serde_json::Map<String, Value>),
}

impl ModulePage {
    fn into_parts(self) -> (Vec<DynamicModule>, Option<String>) {
        match self {
            Self::List(modules) => (modules, None),
            Self::Object(page) => {
                let next = page.get("nextPageToken").and_then(Value::as_str);
                let next = next.filter(|next| !next.is_empty()).map(str::to_owned);
                let lists = page.into_iter().map(|(_, value)| value);
                let lists = lists.filter_map(|list| serde_json::from_value(list).ok());
                // An empty list of something else is a list of modules, too.
                let modules = lists.max_by_key(Vec::len);
                (modules.unwrap_or_default(), next)
            }
        }
    }
}
