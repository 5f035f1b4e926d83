//! Fixtures: the data that fills the fake Confluence and Jira. The format is documented in
//! `docs/local_data.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::data::{ApiRequest, ApiResponse, Data, FakeApis};

/// The error of fixtures that cannot be read, or that do not have the documented format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// The file cannot be read.
    #[error("the fixtures in {} cannot be read: check the path after `--fixtures`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file has no section, and so no fixtures.
    #[error(
        "{} has no fixtures: write a section (`pages`, `issues`, `responses` or `withheldScopes`), or omit \
         `--fixtures`; `forge_remote::local_data` describes the format",
        _0.display()
    )]
    Empty(PathBuf),
    /// The fixtures do not have the documented format.
    #[error("the fixtures are not valid: {0}; `forge_remote::local_data` describes the format")]
    Format(String),
}

/// Fixtures, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fixtures {
    pages: Option<Vec<Map<String, Value>>>,
    issues: Option<Vec<IssueFixture>>,
    #[serde(default)]
    responses: Vec<ResponseFixture>,
    #[serde(default)]
    withheld_scopes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssueFixture {
    key: Option<String>,
    #[serde(default)]
    fields: Map<String, Value>,
}

/// A response to every call with this method and path.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseFixture {
    #[serde(default = "get")]
    method: String,
    path: String,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
}

impl Fixtures {
    fn are_empty(&self) -> bool {
        let has_data = self.pages.is_some() || self.issues.is_some();
        !has_data && self.responses.is_empty() && self.withheld_scopes.is_empty()
    }
}

fn get() -> String {
    Method::GET.to_string()
}

fn ok() -> u16 {
    StatusCode::OK.as_u16()
}

impl FakeApis {
    /// Fills the APIs with fixtures. A section that is there replaces the section's present data;
    /// `responses` are added. See [`local_data`](crate::local_data) for the format.
    ///
    /// # Errors
    ///
    /// Fixtures that do not have this format. Nothing is changed then.
    pub fn set_fixtures(&self, fixtures: &Value) -> Result<(), FixtureError> {
        let fixtures = Fixtures::deserialize(fixtures)
            .map_err(|error| FixtureError::Format(error.to_string()))?;
        self.fill(fixtures)
    }

    /// Fills the APIs with the fixtures of a file, in YAML or JSON, as `dev --fixtures FILE` does.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or that does not have the format. Nothing is changed then.
    ///
    /// ```no_run
    /// use forge_remote::testing::FakeApis;
    ///
    /// FakeApis::default().read_fixtures("fixtures.yml")?;
    /// # Ok::<_, forge_remote::testing::FixtureError>(())
    /// ```
    pub fn read_fixtures(&self, path: impl AsRef<Path>) -> Result<(), FixtureError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| FixtureError::Read {
            path: path.to_owned(),
            source,
        })?;
        let fixtures: Option<Fixtures> = serde_yaml::from_str(&text)
            .map_err(|error| FixtureError::Format(format!("{}: {error}", path.display())))?;
        let fixtures = fixtures.filter(|fixtures| !fixtures.are_empty());
        self.fill(fixtures.ok_or_else(|| FixtureError::Empty(path.to_owned()))?)
    }

    fn fill(&self, fixtures: Fixtures) -> Result<(), FixtureError> {
        let mut filled = Data::default();
        for page in fixtures.pages.iter().flatten() {
            filled.add_fixture_page(page)?;
        }
        for issue in fixtures.issues.iter().flatten() {
            filled.add_fixture_issue(issue)?;
        }
        for response in &fixtures.responses {
            response.check()?;
        }
        let mut data = self.data();
        if fixtures.pages.is_some() {
            data.pages = filled.pages;
        }
        if fixtures.issues.is_some() {
            data.issues = filled.issues;
        }
        drop(data);
        self.withhold_scopes(&fixtures.withheld_scopes);
        for response in fixtures.responses {
            self.respond(move |request| response.response_to(request));
        }
        Ok(())
    }
}

impl Data {
    fn add_fixture_page(&mut self, fields: &Map<String, Value>) -> Result<(), FixtureError> {
        let fields = Value::Object(fields.clone());
        let Some(id) = fields.get("id") else {
            self.add_page(&fields);
            return Ok(());
        };
        let number = id.as_u64().or_else(|| id.as_str()?.parse().ok());
        let problem = |what: &str| FixtureError::Format(format!("the page id {id} {what}"));
        let number = number.ok_or_else(|| problem("is not a number"))?;
        if self.pages.contains_key(&number) {
            return Err(problem("is there twice"));
        }
        self.insert_page(number, &fields);
        Ok(())
    }

    fn add_fixture_issue(&mut self, issue: &IssueFixture) -> Result<(), FixtureError> {
        let fields = Value::Object(issue.fields.clone());
        match &issue.key {
            Some(key) if self.issues.contains_key(key) => {
                let problem = format!("the issue key `{key}` is there twice");
                return Err(FixtureError::Format(problem));
            }
            Some(key) => self.insert_issue(key.clone(), fields),
            None => {
                self.add_issue(fields);
            }
        }
        Ok(())
    }
}

impl ResponseFixture {
    fn check(&self) -> Result<(), FixtureError> {
        let Self { path, status, .. } = self;
        let problem = if !path.starts_with('/') {
            format!("the response's path `{path}` does not start with `/`")
        } else if StatusCode::from_u16(*status).is_err() {
            format!("the response to `{path}` has no HTTP status: {status}")
        } else {
            return Ok(());
        };
        Err(FixtureError::Format(problem))
    }

    /// Returns the response if the request has this method and path. Calls to a product have the path
    /// below `/ex/PRODUCT/CLOUD_ID`.
    fn response_to(&self, request: &ApiRequest) -> Option<ApiResponse> {
        let below_site = request.path.strip_prefix("/ex/");
        let below_site = below_site.and_then(|path| path.splitn(3, '/').nth(2));
        let is_path =
            request.path == self.path || below_site.is_some_and(|path| path == &self.path[1..]);
        if !is_path || !request.method.eq_ignore_ascii_case(&self.method) {
            return None;
        }
        let response = match &self.body {
            Value::Null => ApiResponse::status(self.status),
            body => ApiResponse::json(self.status, body),
        };
        let headers = self.headers.iter();
        Some(headers.fold(response, |response, (name, value)| {
            response.header(name, value)
        }))
    }
}
