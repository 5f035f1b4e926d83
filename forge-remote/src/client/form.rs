//! Request bodies: bytes, and forms with files.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::HeaderValue;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// A form with files (`multipart/form-data`, RFC 7578), for uploading attachments.
///
/// ```
/// use forge_remote::client::{ProductClient, Form};
/// use forge_remote::{Result, path};
/// # #[derive(serde::Deserialize)] struct Attachment { id: String }
///
/// async fn attach(jira: &ProductClient, key: &str, report: Vec<u8>) -> Result<String> {
///     let form = Form::new().file("file", "report.pdf", "application/pdf", report);
///     let upload = jira.post(path!("/rest/api/3/issue/{}/attachments", key)).multipart(form);
///     let attached: Vec<Attachment> = upload.fetch().await?;
///     Ok(attached.into_iter().map(|one| one.id).collect())
/// }
/// ```
///
/// The files are held in memory. Jira and Confluence accept them up to the site's size limit.
#[derive(Clone, Default)]
#[must_use = "a form does nothing until it is passed to `Request::multipart`"]
pub struct Form {
    parts: Vec<(String, Bytes)>,
    problem: Option<&'static str>,
}

/// Omits the content, which is user data.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({} parts)", self.parts.len())
    }
}

impl Form {
    /// Creates an empty form.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text field.
    pub fn text(mut self, name: &str, value: impl Into<String>) -> Self {
        let head = format!(
            "Content-Disposition: form-data; name=\"{}\"\r\n\r\n",
            quoted(name)
        );
        self.parts.push((head, value.into().into()));
        self
    }

    /// Adds a file.
    pub fn file(
        mut self,
        name: &str,
        file_name: &str,
        content_type: &str,
        content: impl Into<Bytes>,
    ) -> Self {
        if HeaderValue::from_str(content_type).is_err() {
            self.problem = Some("a file's content type is not valid");
        }
        let head = format!(
            "Content-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: {content_type}\r\n\r\n",
            quoted(name),
            quoted(file_name),
        );
        self.parts.push((head, content.into()));
        self
    }

    /// Returns the content type and the body.
    pub(super) fn encode(self) -> Result<(String, Body), &'static str> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut random = [0; 16];
        if aws_lc_rs::rand::fill(&mut random).is_err() {
            return Err("there is no random source for the form's boundary");
        }
        let boundary = format!("forge-remote-{:032x}", u128::from_ne_bytes(random));
        let mut pieces = Vec::with_capacity(self.parts.len() * 3 + 1);
        for (head, content) in self.parts {
            pieces.push(format!("--{boundary}\r\n{head}").into());
            pieces.push(content);
            pieces.push("\r\n".into());
        }
        pieces.push(format!("--{boundary}--\r\n").into());
        let content_type = format!("multipart/form-data; boundary={boundary}");
        Ok((content_type, Body::Pieces(pieces)))
    }
}

/// Escapes a name as browsers do, so that it cannot end the quotes or the line.
fn quoted(name: &str) -> String {
    let name = name.replace('"', "%22");
    name.replace('\r', "%0D").replace('\n', "%0A")
}

/// A request's body, which can be sent more than once.
#[derive(Clone)]
pub(super) enum Body {
    Whole(Bytes),
    Pieces(Vec<Bytes>),
}

impl Body {
    pub(super) fn to_http(&self) -> reqwest::Body {
        match self {
            Self::Whole(bytes) => bytes.clone().into(),
            Self::Pieces(pieces) => reqwest::Body::wrap(Pieces(pieces.clone().into())),
        }
    }
}

/// A body of several pieces, sent without copying them into one buffer.
struct Pieces(VecDeque<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        // Exact, so that `Content-Length` can be sent.
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}
