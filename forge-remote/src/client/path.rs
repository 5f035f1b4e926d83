//! Paths whose parts can't break out of their place.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

/// The path of a call, below the API's base URL.
///
/// Text that is fixed comes from the program itself (`&'static str`); text that varies is one
/// encoded segment, whatever is in it. So a value from a request can't lead a call elsewhere:
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
/// A path that was put together by hand doesn't compile:
///
/// ```compile_fail
/// # use forge_remote::client::ProductClient;
/// fn read(jira: &ProductClient, key: &str) {
///     let path = format!("/rest/api/3/issue/{key}");
///     jira.get(&*path);
/// }
/// ```
///
/// A segment can't be empty, `.` or `..`: the call then is an error, and nothing is sent.
#[derive(Clone)]
pub struct Path {
    /// With `{}` for what varies: in messages, without anybody's data.
    template: Cow<'static, str>,
    encoded: String,
    problem: Option<&'static str>,
}

/// The [`Path`](crate::client::Path) of a call: `path!("/rest/api/3/issue/{}", key)`.
///
/// Each `{}` takes a value and encodes it as one segment. That there are as many values as places
/// is checked by the compiler:
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
    /// Adds one segment; whatever is in it is encoded.
    #[must_use]
    pub fn segment(mut self, segment: impl Display) -> Self {
        self.template.to_mut().push_str("/{}");
        self.encoded.push('/');
        self.add(&segment);
        self
    }

    /// In place of one that the API gave.
    pub(super) fn of_api() -> Self {
        Self {
            template: "/{}".into(),
            encoded: "/".to_owned(),
            problem: None,
        }
    }

    /// The path, encoded.
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
            self.problem = Some("a segment can't be written as text");
        } else if writer.length == 0 {
            self.problem = Some("a segment is empty, and the path would then mean something else");
        } else if writer.only_dots && writer.length <= 2 {
            self.problem = Some("a segment is `.` or `..`, and would lead elsewhere");
        }
    }

    #[doc(hidden)]
    pub const fn __check(template: &'static str, segments: usize) {
        let bytes = template.as_bytes();
        let mut places = 0;
        let mut at = 0;
        while at < bytes.len() {
            assert!(
                bytes[at] != b'?' && bytes[at] != b'#',
                "a query is given by `.query(name, value)`, not in the path"
            );
            if bytes[at] == b'{' {
                assert!(
                    at + 1 < bytes.len() && bytes[at + 1] == b'}',
                    "a place for a value is written `{{}}`"
                );
                places += 1;
            }
            at += 1;
        }
        assert!(places == segments, "each `{{}}` takes one value");
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

/// What a call's path can be: fixed text of the program's own, or a [`Path`].
#[diagnostic::on_unimplemented(
    message = "a `{Self}` can't be the path of a call: what varies in it has to be encoded",
    label = "put together at run time",
    note = "write `path!(\"/rest/api/3/issue/{{}}\", key)`, or `Path::from(\"/rest/api/3/issue\").segment(key)`"
)]
pub trait IntoPath {
    /// The path.
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

/// What the program itself says is taken as it stands.
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

/// Of fixed text: it isn't encoded, so it must be a path already.
fn problem_of(fixed: &'static str) -> Option<&'static str> {
    let dots = |segment: &str| segment == "." || segment == "..";
    if fixed.contains(['?', '#']) {
        Some("the path has a query in it: give it by `.query(name, value)`")
    } else if fixed.starts_with("//") || fixed.contains("://") {
        Some("the path is a URL: the host follows from the installation")
    } else if fixed.split('/').any(dots) || !fixed.bytes().all(is_path_byte) {
        Some("the path has characters that need encoding: use `path!(\"/…/{}\", value)`")
    } else {
        None
    }
}

/// What a path may hold as it is (RFC 3986), without `%`, which could hide dots.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte)
}

/// Writes text as one segment.
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
