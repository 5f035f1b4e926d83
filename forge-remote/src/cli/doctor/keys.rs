//! The checks of `doctor` on the app's key sets, and on this machine's clock by comparison with the
//! key sets' hosts.

use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, header};

use super::line::Line;
use crate::app::App;
use crate::diagnostic::counted;
use crate::error::chain;
use crate::fit::{
    ExaminedKeys, HttpKeySource, KeySource, PRODUCTION_KEYS, STAGING_KEYS, examined_keys,
};
use crate::http_client::Network;

/// The largest key set, in bytes.
const MAX_KEY_SET: usize = 1024 * 1024;
/// A FIT is valid for 25 seconds, and its expiry has no leeway: a clock that is ahead by this much rejects
/// tokens that Forge has just signed, where the network is slow.
/// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
const MAX_AHEAD: Duration = Duration::from_secs(10);
/// The verifier's tolerance for clocks that are behind is a minute.
const MAX_BEHIND: Duration = Duration::from_secs(30);
/// The `Date` header has whole seconds, and the response takes a moment.
const UNNOTICEABLE: Duration = Duration::from_secs(3);

/// The key sets of an app: the commercial cloud's, and those of the other clouds that it accepts.
pub(super) struct KeySets(Vec<KeySet>);

struct KeySet {
    /// The start of the lines of another cloud's set; empty for the commercial cloud.
    cloud: String,
    origin: Origin,
}

enum Origin {
    Url(String),
    /// The source of [`App::key_source`].
    Own(Box<dyn KeySource>),
}

/// The time of a key set's host.
enum HostTime {
    /// The key set could not be fetched.
    Unreached,
    /// The response had no date.
    Dateless,
    /// Its time, and this machine's at the same moment.
    At(SystemTime, SystemTime),
}

/// A response of a key set's host.
struct Fetched {
    status: u16,
    date: Option<SystemTime>,
    at: SystemTime,
    /// The content type, with its foreign text escaped and cut.
    content_type: String,
    body: Vec<u8>,
    took: Duration,
}

impl KeySets {
    /// Returns the key sets that the app is configured with.
    pub(super) fn of(app: &mut App) -> Self {
        let url = app.settings().jwks_url;
        let url = url.unwrap_or_else(|| PRODUCTION_KEYS.to_owned());
        let commercial = app.key_source.take().map_or(Origin::Url(url), Origin::Own);
        let mut sets = vec![KeySet {
            cloud: String::new(),
            origin: commercial,
        }];
        if app.staging_cloud {
            let origin = Origin::Url(STAGING_KEYS.to_owned());
            sets.push(KeySet {
                cloud: "the staging cloud: ".to_owned(),
                origin,
            });
        }
        sets.extend(app.isolated_clouds.iter().map(|(label, cloud)| KeySet {
            cloud: format!("the isolated cloud `{label}`: "),
            origin: Origin::Url(cloud.jwks_url.clone()),
        }));
        Self(sets)
    }

    /// Returns the name of the commercial cloud's set.
    #[cfg(feature = "dev")]
    pub(super) fn name(&self) -> String {
        let origin = self.0.first().map(|set| &set.origin);
        origin.map_or_else(String::new, Origin::name)
    }

    /// Fetches the commercial cloud's set; `None` if it cannot be.
    #[cfg(feature = "dev")]
    pub(super) async fn commercial(&self, timeout: Duration) -> Option<Vec<u8>> {
        match &self.0.first()?.origin {
            Origin::Url(url) => fetch(url, timeout).await.ok().map(|fetched| fetched.body),
            Origin::Own(source) => {
                let fetched = tokio::time::timeout(timeout, source.fetch()).await;
                Some(fetched.ok()?.ok()?.document.to_vec())
            }
        }
    }

    /// Fetches each set once, and compares this machine's clock with those of their hosts.
    pub(super) async fn checked(&self, timeout: Duration) -> Vec<Line> {
        let (mut lines, mut clocks) = (Vec::new(), Vec::new());
        let (mut compared, mut has_dateless) = (0, false);
        for set in &self.0 {
            let (line, time) = set.checked(timeout).await;
            lines.push(line);
            match time {
                HostTime::Unreached => {}
                HostTime::Dateless => has_dateless = true,
                HostTime::At(theirs, ours) => {
                    compared += 1;
                    clocks.extend(clock(&set.cloud, theirs, ours));
                }
            }
        }
        match compared {
            0 if has_dateless => lines.push(Line::unknown(
                "clock",
                "the key set's host sends no date",
                "compare it with an NTP server: `timedatectl`",
            )),
            1 if clocks.is_empty() => {
                lines.push(Line::passed("clock", "agrees with the key set's host"));
            }
            2.. if clocks.is_empty() => {
                let detail = format!("agrees with the hosts of {compared} key sets");
                lines.push(Line::passed("clock", detail));
            }
            _ => lines.extend(clocks),
        }
        lines
    }
}

impl Origin {
    /// Returns the name for messages, without secrets.
    fn name(&self) -> String {
        match self {
            Self::Url(url) => without_secrets(url),
            Self::Own(source) => without_secrets(source.name()),
        }
    }
}

impl KeySet {
    async fn checked(&self, timeout: Duration) -> (Line, HostTime) {
        match &self.origin {
            Origin::Url(url) => match fetch(url, timeout).await {
                Ok(fetched) => (self.fetched(&fetched), fetched.host_time()),
                Err(detail) => (self.unfetched(&detail), HostTime::Unreached),
            },
            Origin::Own(source) => {
                let name = self.origin.name();
                let line = self.of_source(&**source, &name, timeout).await;
                // Its document comes without a date, so a URL is fetched a second time.
                let time = match HttpKeySource::new(source.name()) {
                    Ok(_) if !line.has_failed() => match fetch(source.name(), timeout).await {
                        Ok(fetched) => fetched.host_time(),
                        Err(_) => HostTime::Dateless,
                    },
                    Ok(_) => HostTime::Unreached,
                    Err(_) => HostTime::Dateless,
                };
                (line, time)
            }
        }
    }

    async fn of_source(&self, source: &dyn KeySource, name: &str, timeout: Duration) -> Line {
        let started = Instant::now();
        let cloud = &self.cloud;
        let fix = "correct the source passed to `App::key_source`";
        let document = match tokio::time::timeout(timeout, source.fetch()).await {
            Ok(Ok(fetched)) => fetched.document,
            Ok(Err(error)) => {
                let detail = format!("{cloud}{name}: {error}{}", chain(&error));
                return Line::failed("keys", detail, fix);
            }
            Err(_) => {
                let detail = format!("{cloud}{name}: no response within {timeout:?}");
                return Line::failed("keys", detail, fix);
            }
        };
        match examined_keys(&document) {
            Some(keys) if keys.usable > 0 => self.passed(&keys, name, started.elapsed()),
            Some(keys) => {
                let detail = format!("{cloud}{name} has 0 usable keys{}", reasons(&keys));
                Line::failed("keys", detail, fix)
            }
            None => {
                let detail = format!("{cloud}{name} has a document that is not a JSON Web Key Set");
                Line::failed("keys", detail, fix)
            }
        }
    }

    fn fetched(&self, fetched: &Fetched) -> Line {
        let (cloud, url, status) = (&self.cloud, self.origin.name(), fetched.status);
        let keys = examined_keys(&fetched.body).filter(|_| status == 200);
        let found = match &keys {
            Some(keys) if keys.usable > 0 => return self.passed(keys, &url, fetched.took),
            Some(keys) => format!(" and 0 usable keys{}", reasons(keys)),
            None if status == 200 => format!(
                " and a document that is not a JSON Web Key Set (content type {})",
                fetched.content_type
            ),
            None => String::new(),
        };
        let detail = format!("{cloud}{url} responded with {status}{found}");
        Line::failed(
            "keys",
            detail,
            match cloud.is_empty() {
                true => {
                    "correct FORGE_REMOTE_JWKS_URL or `App::jwks_url`; without it, Atlassian's key set is used"
                }
                false => "correct the URL that the cloud is configured with",
            },
        )
    }

    fn passed(&self, keys: &ExaminedKeys, origin: &str, took: Duration) -> Line {
        let (cloud, took) = (&self.cloud, took.as_millis());
        let usable = counted(keys.usable, "key", "keys");
        let unusable = match keys.unusable {
            0 => String::new(),
            some => {
                let (all, reasons) = (keys.entries, reasons(keys));
                format!("; {some} of {all} keys cannot verify a FIT{reasons}")
            }
        };
        let detail = format!("{cloud}{usable} from {origin} in {took} ms{unusable}");
        if !cloud.is_empty() || origin == PRODUCTION_KEYS {
            return Line::passed("keys", detail);
        }
        let fix = "remove FORGE_REMOTE_JWKS_URL, `App::jwks_url` and `App::key_source`, unless it mirrors \
                   Atlassian's set: every holder of a private key of it can act as any installation";
        let detail = format!(
            "{cloud}{usable} from {origin} in {took} ms, which is not Atlassian's set{unusable}"
        );
        Line::warning("keys", detail, fix)
    }

    fn unfetched(&self, detail: &str) -> Line {
        let fix = match self.cloud.is_empty() {
            true => {
                "allow the connection (a firewall, a proxy: HTTPS_PROXY, CA certificates), or correct \
                     FORGE_REMOTE_JWKS_URL"
            }
            false => {
                "allow the connection (a firewall, a proxy: HTTPS_PROXY, CA certificates), or correct the URL"
            }
        };
        Line::failed("keys", format!("{}{detail}", self.cloud), fix)
    }
}

/// Returns the reasons why keys cannot verify a FIT, for the end of a sentence.
fn reasons(keys: &ExaminedKeys) -> String {
    match keys.problems.is_empty() {
        true => String::new(),
        false => format!(": {}", keys.problems),
    }
}

impl Fetched {
    fn host_time(&self) -> HostTime {
        match self.date {
            Some(date) => HostTime::At(date, self.at),
            None => HostTime::Dateless,
        }
    }
}

/// Fetches a URL once, within this time.
async fn fetch(url: &str, timeout: Duration) -> Result<Fetched, String> {
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        format!(
            "{} cannot be fetched: {error}{}",
            without_secrets(url),
            chain(&error)
        )
    };
    let parsed = reqwest::Url::parse(url)
        .map_err(|error| format!("`{}` is not a URL: {error}", without_secrets(url)))?;
    let client = Network::of(&parsed)
        .client()
        .timeout(timeout)
        .build()
        .map_err(failed)?;
    let started = Instant::now();
    let mut response = client.get(parsed).send().await.map_err(failed)?;
    let at = SystemTime::now();
    let (status, headers) = (response.status().as_u16(), response.headers());
    let date = host_time(headers);
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or("not given").chars().take(64);
    let content_type = content_type.flat_map(char::escape_debug).collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_KEY_SET {
            let url = without_secrets(url);
            return Err(format!("{url} responds with more than {MAX_KEY_SET} bytes"));
        }
    }
    let took = started.elapsed();
    Ok(Fetched {
        status,
        date,
        at,
        content_type,
        body,
        took,
    })
}

/// Returns the time of the host that sent these headers.
pub(super) fn host_time(headers: &HeaderMap) -> Option<SystemTime> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let date = httpdate::parse_http_date(text(header::DATE)?).ok()?;
    // A cache keeps the date of its source (RFC 9111, section 5.1).
    let age = text(header::AGE)
        .and_then(|age| age.trim().parse().ok())
        .unwrap_or_default();
    date.checked_add(Duration::from_secs(age))
}

/// Returns a URL without its user, password, query and fragment; also a text that is not a URL.
fn without_secrets(url: &str) -> String {
    let parsed = reqwest::Url::parse(url).ok();
    let Some(mut parsed) = parsed.filter(|url| !url.cannot_be_a_base()) else {
        let shown = url.split(['?', '#']).next().unwrap_or_default();
        // The password may have any character: everything before the last `@` may be a part of it.
        let (before, rest) = shown.rsplit_once('@').unwrap_or(("", shown));
        let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
        return match scheme {
            "" => rest.to_owned(),
            scheme => format!("{scheme}://{rest}"),
        };
    };
    let _ = (parsed.set_username(""), parsed.set_password(None));
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.to_string()
}

/// Compares this machine's clock with another's; `None` if they agree.
fn clock(cloud: &str, theirs: SystemTime, ours: SystemTime) -> Option<Line> {
    let ahead = ours.duration_since(theirs).unwrap_or_default();
    let behind = theirs.duration_since(ours).unwrap_or_default();
    let (by, word, most) = match ahead > behind {
        true => (ahead, "ahead of", MAX_AHEAD),
        false => (behind, "behind", MAX_BEHIND),
    };
    if by <= UNNOTICEABLE {
        return None;
    }
    let seconds = by.as_secs();
    let detail =
        format!("{cloud}this machine's clock is {seconds} s {word} that of the key set's host");
    let fix = "synchronize the clock (NTP): Forge's tokens are valid for 25 seconds";
    Some(match by > most {
        true => Line::failed("clock", detail, fix),
        false => Line::warning("clock", detail, fix),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_set_is_named_without_secrets() {
        let shown = "https://keys.internal/jwks";
        for url in [
            shown,
            "https://mirror:s3cret@keys.internal/jwks?token=s3cret#s3cret",
        ] {
            assert_eq!(without_secrets(url), shown);
        }
        let invalid = [
            (
                "https://mirror:s3cret@keys.internal:99999/jwks?token=s3cret",
                "https://keys.internal:99999/jwks",
            ),
            (
                "https://mirror:s3/c@ret@keys internal/jwks",
                "https://keys internal/jwks",
            ),
            ("mirror:s3cret@keys.internal", "keys.internal"),
            ("https://", "https://"),
            ("my own keys", "my own keys"),
        ];
        for (url, shown) in invalid {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[test]
    fn a_clock_may_differ_by_a_little() {
        let theirs = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let state = |offset: i64| {
            let by = Duration::from_secs(offset.unsigned_abs());
            let ours = if offset < 0 { theirs - by } else { theirs + by };
            clock("", theirs, ours).map(|line| line.word())
        };
        for (offset, expected) in [
            (0, None),
            (3, None),
            (4, Some("warn")),
            (10, Some("warn")),
            (11, Some("FAIL")),
            (-3, None),
            (-30, Some("warn")),
            (-31, Some("FAIL")),
        ] {
            assert_eq!(state(offset), expected, "{offset}");
        }
    }
}
