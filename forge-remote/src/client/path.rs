//! Request paths with encoded segments.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

/// The path of a request, below the API's base URL.
///
/// Fixed text comes from the program (`&'static str`). Each variable value becomes one encoded
/// segment, so a value from outside cannot redirect the request to another path:
///
/// ```
/// use forge_remote::client::Path;
/// use forge_remote::path;
///
/// let key = "../../user?x=";
/// assert_eq!(
///     path!("/rest/api/3/issue/{}/comment", key).as_str(),
///     "/rest/api/3/issue/..%2F..%2Fuser%3Fx%3D/comment",
/// );
/// assert_eq!(Path::from("/wiki/api/v2/pages").segment(42).as_str(), "/wiki/api/v2/pages/42");
/// ```
///
/// A path built with `format!` does not compile:
///
/// ```compile_fail
/// # use forge_remote::client::ProductClient;
/// fn read(jira: &ProductClient, key: &str) {
///     let path = format!("/rest/api/3/issue/{key}");
///     jira.get(&*path);
/// }
/// ```
///
/// An empty segment, `.` and `..` are not allowed: the request then fails and nothing is sent.
#[derive(Clone)]
pub struct Path {
    /// The path with `{}` for variable segments: used in messages, free of user data.
    template: Cow<'static, str>,
    encoded: String,
    problem: Option<&'static str>,
}

/// Creates a [`Path`](crate::client::Path) from a template: `path!("/rest/api/3/issue/{}", key)`.
///
/// Each `{}` takes one value and encodes it as one segment. The compiler checks that the number of
/// values matches:
///
/// ```compile_fail
/// let path = forge_remote::path!("/rest/api/3/issue/{}");
/// ```
#[macro_export]
macro_rules! path {
    ($template:literal $(, $segment:expr)* $(,)?) => {{
        const _: () = $crate::client::Path::__check(
            $template,
            0 $(+ { let _ = ::core::stringify!($segment); 1 })*
        );
        $crate::client::Path::__fill(
            $template,
            &[$(&$segment as &dyn ::core::fmt::Display),*],
        )
    }};
}

impl Path {
    /// Adds one segment and encodes it.
    #[must_use]
    pub fn segment(mut self, segment: impl Display) -> Self {
        self.template.to_mut().push_str("/{}");
        self.encoded.push('/');
        self.add(&segment);
        self
    }

    /// Returns the placeholder path of a URL from an API response.
    pub(super) fn of_api() -> Self {
        Self {
            template: "/{}".into(),
            encoded: "/".to_owned(),
            problem: None,
        }
    }

    /// Returns the encoded path.
    pub fn as_str(&self) -> &str {
        &self.encoded
    }

    pub(super) fn template(&self) -> &str {
        &self.template
    }

    pub(super) fn problem(&self) -> Option<&'static str> {
        self.problem
    }

    fn add(&mut self, segment: &dyn Display) {
        let mut writer = Encoder {
            out: &mut self.encoded,
            length: 0,
            only_dots: true,
        };
        if write!(writer, "{segment}").is_err() {
            self.problem = Some("a path segment cannot be formatted as text");
        } else if writer.length == 0 {
            self.problem = Some("a path segment is empty, and the path would mean something else");
        } else if writer.only_dots && writer.length <= 2 {
            self.problem = Some("a path segment is `.` or `..`, which would lead to another path");
        }
    }

    #[doc(hidden)]
    pub const fn __check(template: &'static str, segments: usize) {
        let bytes = template.as_bytes();
        let mut placeholders = 0;
        let mut at = 0;
        while at < bytes.len() {
            assert!(
                bytes[at] != b'?' && bytes[at] != b'#',
                "a query is set with `.query(name, value)`, not in the path"
            );
            if bytes[at] == b'{' {
                assert!(
                    at + 1 < bytes.len() && bytes[at + 1] == b'}',
                    "a placeholder is written `{{}}`"
                );
                placeholders += 1;
            }
            at += 1;
        }
        assert!(placeholders == segments, "each `{{}}` takes one value");
    }

    #[doc(hidden)]
    pub fn __fill(template: &'static str, segments: &[&dyn Display]) -> Self {
        let mut pieces = template.split("{}");
        let mut path = Self::from(pieces.next().unwrap_or_default());
        for (piece, segment) in pieces.zip(segments) {
            path.add(segment);
            path.problem = path.problem.or(problem_of(piece));
            path.encoded.push_str(piece);
        }
        path.template = template.into();
        path
    }
}

/// A type that can be a request's path: fixed text (`&'static str`) or a [`Path`].
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot be the path of a request: variable parts must be encoded",
    label = "built at run time",
    note = "write `path!(\"/rest/api/3/issue/{{}}\", key)`, or `Path::from(\"/rest/api/3/issue\").segment(key)`"
)]
pub trait IntoPath {
    /// Converts the value into a path.
    fn into_path(self) -> Path;
}

impl IntoPath for Path {
    fn into_path(self) -> Path {
        self
    }
}

impl IntoPath for &'static str {
    fn into_path(self) -> Path {
        Path::from(self)
    }
}

/// Uses the text as it is, without encoding.
impl From<&'static str> for Path {
    fn from(path: &'static str) -> Self {
        let slash = if path.starts_with('/') { "" } else { "/" };
        Self {
            template: path.into(),
            encoded: format!("{slash}{path}"),
            problem: problem_of(path),
        }
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({})", self.template)
    }
}

/// Returns the problem with fixed text, which is not encoded and so must be a valid path.
fn problem_of(fixed: &'static str) -> Option<&'static str> {
    let dots = |segment: &str| segment == "." || segment == "..";
    if fixed.contains(['?', '#']) {
        Some("the path contains a query: set it with `.query(name, value)`")
    } else if fixed.starts_with("//") || fixed.contains("://") {
        Some("the path is a URL: remove the host, which comes from the installation")
    } else if fixed.split('/').any(dots) || !fixed.bytes().all(is_path_byte) {
        Some("the path has characters that need encoding: use `path!(\"/…/{}\", value)`")
    } else {
        None
    }
}

/// Returns whether a byte needs no encoding in a path (RFC 3986). `%` is excluded because it could hide dots.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte)
}

/// A writer that encodes text as one path segment.
struct Encoder<'a> {
    out: &'a mut String,
    length: usize,
    only_dots: bool,
}

impl fmt::Write for Encoder<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.length += text.len();
        self.only_dots &= text.bytes().all(|byte| byte == b'.');
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.out.push(char::from(byte));
            } else {
                write!(self.out, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}
