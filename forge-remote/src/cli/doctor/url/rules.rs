//! The codes of `doctor --url`.

use crate::diagnostic::Rule;

/// The rules of this file.
pub(crate) const RULES: &[&Rule] = &[
    &UNREACHABLE,
    &CERTIFICATE,
    &TLS,
    &REDIRECT,
    &LOST_PATH,
    &UNVERIFIED_CALL,
    &CACHED_RESPONSE,
    &FOREIGN_RESPONSE,
    &NO_KEYS,
    &FORGED_TOKEN,
    &PUBLIC_KEY,
    &OTHER_KEYS,
    &OWN_KEYS,
    &UNFETCHED_KEYS,
    &NO_TOKEN_ARRIVES,
    &LOST_CHALLENGE,
    &HEADER_LIMIT,
    &BODY_LIMIT,
    &REWRITTEN_PATH,
    &REJECTED_ESCAPES,
    &EXPOSED_METRICS,
    &EXPOSED_CONSOLE,
    &EXPOSED_KEYS,
    &EXPOSED_FILE,
    &SLOW_RESPONSES,
    &OTHER_BUILD,
];

pub(super) const UNREACHABLE: Rule = Rule::deployment(
    "unreachable",
    "No HTTP response came in time from the base URL, so Forge gets none either. Start the deployment, and check its name in \
    the DNS, its port and its firewall.",
);

pub(super) const CERTIFICATE: Rule = Rule::deployment(
    "certificate",
    "Forge calls a remote over TLS and accepts only a valid certificate: of a public authority, with the intermediate \
    certificates, for this host name, and not expired. A certificate whose renewal is late is a warning: less than \
    14 days and less than a sixth of its validity are left.",
);

pub(super) const TLS: Rule = Rule::deployment(
    "tls",
    "The TLS handshake failed: the server has no TLS on this port, only TLS 1.1 or older, or no certificate for this \
    name. Forge calls a remote over TLS 1.2 or newer. Serve TLS on the port of the base URL.",
);

pub(super) const REDIRECT: Rule = Rule::deployment(
    "redirect",
    "The base URL responds with a redirect. Forge does not follow it: the call fails. Write the address that the redirect \
    leads to into the manifest's `baseUrl`, or serve the app at the base URL itself. Usual causes are http instead of https, \
    a missing `www.`, and a slash that the proxy adds.",
);

pub(super) const LOST_PATH: Rule = Rule::deployment(
    "lost-path",
    "A handler's path is not found at the deployment: a proxy removes or adds a part of the path, the base URL's \
    path is not the one at which the app is served, or an older build is deployed. Forward the path unchanged, and \
    compare it with `routes`.",
);

pub(super) const UNVERIFIED_CALL: Rule = Rule::deployment(
    "unverified-call",
    "A call without a FIT succeeded, so anyone can make it. Something other than forge-remote serves this path, or a \
    proxy adds its own token. Forward the calls and their `Authorization` header unchanged to the app.",
);

pub(super) const CACHED_RESPONSE: Rule = Rule::deployment(
    "cached-response",
    "A cache responded to a call without a FIT with another caller's response. Anyone can read an installation's \
    data. Turn caching off for the paths of the app.",
);

pub(super) const FOREIGN_RESPONSE: Rule = Rule::deployment(
    "foreign-response",
    "The response is not one of forge-remote: a proxy, a gateway or another service responded instead of the app. Its own \
    log has the reason. Forward every path beneath the base URL unchanged to the app.",
);

pub(super) const NO_KEYS: Rule = Rule::deployment(
    "no-keys",
    "The deployment cannot fetch Atlassian's key set, so it rejects every call with 503. Allow the connection from where it \
    runs; the command `doctor` without `--url` checks it there.",
);

pub(super) const FORGED_TOKEN: Rule = Rule::deployment(
    "forged-token",
    "A forged Forge Invocation Token was not rejected with 401 and the same body as other invalid FITs. If it was \
    accepted, anyone can act as any installation. If only the response differs, it shows an attacker which check \
    failed. Remove anything that verifies tokens, rewrites requests or responds in front of the app.",
);

pub(super) const PUBLIC_KEY: Rule = Rule::deployment(
    "public-key",
    "The deployment does not reject a FIT that is signed with the key of forge-remote's test vectors, whose \
    private half is published: a handler responded, or something in front of the app. If a handler responded, the \
    deployment uses the test key set: remove `FORGE_REMOTE_JWKS_URL` and `App::jwks_url`, so that Atlassian's keys \
    are used.",
);

pub(super) const OTHER_KEYS: Rule = Rule::deployment(
    "other-keys",
    "The deployment does not know a key of the key set that Forge signs with, so it rejects Forge's calls. Its key \
    set is another one: remove `FORGE_REMOTE_JWKS_URL` and `App::jwks_url`, so that Atlassian's keys are used. The \
    owner of the other set's private keys can act as any installation.",
);

pub(super) const OWN_KEYS: Rule = Rule::deployment(
    "own-keys",
    "This build verifies with a key set other than Atlassian's, by `FORGE_REMOTE_JWKS_URL`, `App::jwks_url` or \
    `App::key_source`. If the deployment does so too, every holder of a private key of that set can act as any \
    installation. This is a warning, because the set may be a mirror of Atlassian's. If it is not, remove the \
    configuration.",
);

pub(super) const UNFETCHED_KEYS: Rule = Rule::deployment(
    "unfetched-keys",
    "`doctor` cannot fetch Atlassian's key set from this machine, so it skips forgeries that need Atlassian's public \
    keys, and the check `other-keys`. It is a warning. Allow the connection, and run `doctor` again.",
);

pub(super) const NO_TOKEN_ARRIVES: Rule = Rule::deployment(
    "no-token-arrives",
    "The app did not receive the FIT that was sent: it got none, or one that was added in front of it. A proxy or \
    gateway removes or replaces the `Authorization` header, for example because it verifies tokens itself, so every \
    call of Forge is rejected. Forward the header unchanged: the app alone verifies.",
);

pub(super) const LOST_CHALLENGE: Rule = Rule::deployment(
    "lost-challenge",
    "A 401 response has a different `WWW-Authenticate` header than the app sends, or none: a gateway removed or \
    renamed it, as AWS API Gateway does. It is a warning, because Forge does not read this header.",
);

pub(super) const HEADER_LIMIT: Rule = Rule::deployment(
    "header-limit",
    "A request with a header of 16 KB did not reach the app, or reached it without the header. A Forge Invocation \
    Token grows with the page's context, and the OAuth tokens are in further headers. Raise the proxy's limits to 32 \
    KB for one header and 64 KB for all: `large_client_header_buffers 4 32k` of nginx, `tune.bufsize` of HAProxy, \
    `LimitRequestFieldSize` of Apache.",
);

pub(super) const BODY_LIMIT: Rule = Rule::deployment(
    "body-limit",
    "A request whose body is as large as the handler accepts, or was sent in chunks, did not reach the app. Raise the proxy's \
    limit (`client_max_body_size` of nginx) to `App::body_limit`, and let it forward chunked requests.",
);

pub(super) const REWRITTEN_PATH: Rule = Rule::deployment(
    "rewritten-path",
    "A proxy decodes escapes such as `%2F` in the path before it forwards it, so the app sees a path that differs \
    from the caller's. Web triggers receive changed paths, and path rules of the proxy can be bypassed. Forward the \
    path as it came: `proxy_pass` of nginx without a path.",
);

pub(super) const REJECTED_ESCAPES: Rule = Rule::deployment(
    "rejected-escapes",
    "A path with `%2F` got no response of the app: a proxy rejects it, as Apache does by default. It is a warning, because \
    most apps have no such paths. If a web trigger needs them, allow them: `AllowEncodedSlashes NoDecode` of Apache.",
);

pub(super) const EXPOSED_METRICS: Rule = Rule::deployment(
    "exposed-metrics",
    "Metrics are served at the base URL, to anyone. Serve them on a second port that only the monitoring reaches.",
);

pub(super) const EXPOSED_CONSOLE: Rule = Rule::deployment(
    "exposed-console",
    "The deployment serves the console of `dev`. Run the app with the command `serve`, or without a command, but \
     never with `dev`.",
);

pub(super) const EXPOSED_KEYS: Rule = Rule::deployment(
    "exposed-keys",
    "The deployment serves a key set at `/.well-known/jwks.json`, as the local platform of `dev` does. A remote has no key \
    set: deploy the command `serve`, and never `dev`.",
);

pub(super) const EXPOSED_FILE: Rule = Rule::deployment(
    "exposed-file",
    "A file of the app's directory is served at the base URL. Serve the app alone, without a directory of files.",
);

pub(super) const SLOW_RESPONSES: Rule = Rule::deployment(
    "slow-responses",
    "One of twenty responses took a second or longer, although no handler ran. For most calls Forge waits 5 seconds, \
    including the connection set-up. Deploy closer to Atlassian's region, keep an instance running, and check for \
    buffering proxies.",
);

pub(super) const OTHER_BUILD: Rule = Rule::deployment(
    "other-build",
    "The deployed app's routes or version of forge-remote differ from this build's: the digests in the header \
    `x-forge-remote-routes` of its 404 responses differ. Deploy this build, or run `doctor --url` from the deployed \
    one.",
);
