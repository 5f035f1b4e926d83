//! The cases of a class: requests with their expected verdicts.

use serde_json::Value;

/// One forged request, or a valid one that resembles it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name, unique in its class.
    pub name: String,
    /// The request.
    pub request: Request,
    /// The FIT, if the request is a plain POST to `/tick` with it.
    pub token: Option<String>,
    /// The expected verdict.
    pub verdict: Verdict,
}

/// The expected result of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The handler runs, and sees these claims.
    Accepted(Value),
    /// The request is rejected with one of these statuses: 401, or another one for an HTTP error.
    Rejected(&'static [u16]),
    /// Accepted or rejected, but promptly.
    Prompt,
}

/// A POST request of which a case controls every byte.
///
/// The target starts with the path of one of three handlers: `/tick`, which only the platform calls,
/// and `/ui` and `/echo`, which a page calls.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path, and everything after it.
    pub target: String,
    /// The headers, without `Host` and the ones that frame the body.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether `Content-Length` is added; otherwise `headers` has to frame the body.
    pub is_framed: bool,
}

impl Request {
    /// Returns a request without a FIT.
    pub fn post(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            is_framed: true,
        }
    }

    /// Adds `Authorization: Bearer` with this FIT.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Adds a header of any bytes.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json")
            .body(body.to_string())
    }

    /// Leaves the declaration of the body's length to the headers.
    #[must_use]
    pub fn unframed(mut self) -> Self {
        self.is_framed = false;
        self
    }

    /// Returns the values of the `Authorization` headers.
    pub fn authorization(&self) -> Vec<&[u8]> {
        let is_it = |name: &str| name.eq_ignore_ascii_case("authorization");
        let headers = self.headers.iter();
        headers
            .filter(|(name, _)| is_it(name))
            .map(|(_, value)| value.as_slice())
            .collect()
    }
}

/// A collector of cases, which makes only the wanted ones.
#[derive(Debug, Default)]
pub struct Cases {
    only: Option<String>,
    all: Vec<Case>,
}

impl Cases {
    /// Returns a collector of the case with this name.
    pub(crate) fn only(name: &str) -> Self {
        let only = Some(name.to_owned());
        Self {
            only,
            all: Vec::new(),
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Case> {
        self.all
    }

    /// Adds a FIT that must be rejected.
    pub(crate) fn rejected(&mut self, name: impl Into<String>, token: impl FnOnce() -> String) {
        self.token(name, Verdict::Rejected(&[401]), token);
    }

    /// Adds a FIT that must be accepted, with the claims that the handler sees.
    pub(crate) fn accepted(
        &mut self,
        name: impl Into<String>,
        fit: &crate::jws::Fit,
        token: impl FnOnce() -> String,
    ) {
        self.token(name, Verdict::Accepted(fit.claims.clone()), token);
    }

    /// Adds a FIT whose rejection or acceptance must not take long.
    pub(crate) fn harmless(&mut self, name: impl Into<String>, token: impl FnOnce() -> String) {
        self.token(name, Verdict::Prompt, token);
    }

    /// Adds a request whose status must be one of these.
    pub(crate) fn request(
        &mut self,
        name: impl Into<String>,
        statuses: &'static [u16],
        request: impl FnOnce() -> Request,
    ) {
        let name = name.into();
        if self.wants(&name) {
            self.all.push(Case {
                name,
                request: request(),
                token: None,
                verdict: Verdict::Rejected(statuses),
            });
        }
    }

    fn token(&mut self, name: impl Into<String>, verdict: Verdict, token: impl FnOnce() -> String) {
        let name = name.into();
        if self.wants(&name) {
            let token = token();
            self.all.push(Case {
                name,
                request: Request::post("/tick").bearer(&token),
                token: Some(token),
                verdict,
            });
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }
}
