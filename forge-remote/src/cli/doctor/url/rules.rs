//! The codes of `doctor --url`.

use crate::diagnostic::Rule;

/// The rules of this file.
pub(in crate::cli) const RULES: &[&Rule] = &[
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
    &REFUSED_ESCAPES,
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
    "No TLS connection was agreed on: the server has no TLS on this port, only TLS 1.1 or older, or no certificate for this \
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
    "A handler's path is not found at the deployment: a proxy removes or adds a part of the path, the base URL has another \
    path than the app is served at, or an older build is deployed. Forward the path unchanged, and compare it with `routes`.",
);

pub(super) const UNVERIFIED_CALL: Rule = Rule::deployment(
    "unverified-call",
    "A call without a Forge Invocation Token succeeded: anybody can make it. Something else than forge-remote serves this \
    path, or a proxy in front responds or calls the app with a token of its own. Forward the calls and their `Authorization` \
    header unchanged to the app.",
);

pub(super) const CACHED_RESPONSE: Rule = Rule::deployment(
    "cached-response",
    "A cache responded to a call without a Forge Invocation Token, with what another caller's call had returned. It gives \
    the data of one customer to anybody. Turn caching off for the paths of the app.",
);

pub(super) const FOREIGN_RESPONSE: Rule = Rule::deployment(
    "foreign-response",
    "The response is not one of forge-remote: a proxy, a gateway or another service responded instead of the app. Its own \
    log has the reason. Forward every path beneath the base URL unchanged to the app.",
);

pub(super) const NO_KEYS: Rule = Rule::deployment(
    "no-keys",
    "The deployment can't fetch Atlassian's key set, so it refuses every call with 503. Allow the connection from where it \
    runs; the command `doctor` without `--url` checks it there.",
);

pub(super) const FORGED_TOKEN: Rule = Rule::deployment(
    "forged-token",
    "A forged Forge Invocation Token was not refused as every other one is: with 401 and the same body. If it was accepted, \
    anybody can act as any customer. If the response differs, an attacker learns how far a forgery came. Verification is \
    forge-remote's alone: remove what verifies, rewrites or responds in front of the app.",
);

pub(super) const PUBLIC_KEY: Rule = Rule::deployment(
    "public-key",
    "The deployment does not refuse a token that is signed with the key of forge-remote's test vectors, whose private half is \
    published: it got a response of a handler, or of something in front of the app. In the first case, its key set is one for development: remove `FORGE_REMOTE_JWKS_URL` and `App::jwks_url`, so that Atlassian's \
    keys are used.",
);

pub(super) const OTHER_KEYS: Rule = Rule::deployment(
    "other-keys",
    "The deployment does not know a key of the key set that Forge signs with, so it refuses Forge's calls. Its key set is \
    another one: remove `FORGE_REMOTE_JWKS_URL` and `App::jwks_url`, so that Atlassian's keys are used. The \
    owner of the other set's private keys can act as any customer.",
);

pub(super) const OWN_KEYS: Rule = Rule::deployment(
    "own-keys",
    "This build verifies with another key set than Atlassian's, by `FORGE_REMOTE_JWKS_URL`, `App::jwks_url` or `App::key_source`. If \
    the deployment does so too, every holder of a private key of that set can act as any customer. It is a warning, because the set \
    may be a mirror of Atlassian's. Otherwise remove the configuration.",
);

pub(super) const UNFETCHED_KEYS: Rule = Rule::deployment(
    "unfetched-keys",
    "`doctor` can't fetch Atlassian's key set from this machine, so it does not forge tokens with Atlassian's published keys, \
    and does not find a deployment with other keys. It is a warning. Allow the connection, and run `doctor` again.",
);

pub(super) const NO_TOKEN_ARRIVES: Rule = Rule::deployment(
    "no-token-arrives",
    "A token was sent, and the app responds that it got none, or one that something in front of it added. A proxy or gateway \
    removes or replaces the `Authorization` header, for example because it verifies tokens itself, so every call of Forge is \
    refused. Forward the header unchanged: the app alone verifies.",
);

pub(super) const LOST_CHALLENGE: Rule = Rule::deployment(
    "lost-challenge",
    "A refusal has another `WWW-Authenticate` header than the app's, or none: a gateway removed or renamed it, as AWS API \
    Gateway does. It is a warning, because Forge does not read this header.",
);

pub(super) const HEADER_LIMIT: Rule = Rule::deployment(
    "header-limit",
    "A request with a header of 16 KB did not reach the app, or reached it without the header. A Forge Invocation Token grows \
    with the page's context, and the OAuth tokens come beside it. Raise the proxy's limits to 32 KB for one header and 64 KB for \
    all: `large_client_header_buffers 4 32k` of nginx, `tune.bufsize` of HAProxy, `LimitRequestFieldSize` of Apache.",
);

pub(super) const BODY_LIMIT: Rule = Rule::deployment(
    "body-limit",
    "A request whose body is as large as the handler accepts, or was sent in chunks, did not reach the app. Raise the proxy's \
    limit (`client_max_body_size` of nginx) to `App::body_limit`, and let it forward chunked requests.",
);

pub(super) const REWRITTEN_PATH: Rule = Rule::deployment(
    "rewritten-path",
    "A proxy decodes escapes such as `%2F` in the path before it forwards it, so the app sees another path than the caller \
    wrote. Paths of web triggers arrive changed, and rules of the proxy for a path can be avoided. Forward the path as it \
    came: `proxy_pass` of nginx without a path.",
);

pub(super) const REFUSED_ESCAPES: Rule = Rule::deployment(
    "refused-escapes",
    "A path with `%2F` got no response of the app: a proxy refuses it, as Apache does by default. It is a warning, because \
    most apps have no such paths. If a web trigger needs them, allow them: `AllowEncodedSlashes NoDecode` of Apache.",
);

pub(super) const EXPOSED_METRICS: Rule = Rule::deployment(
    "exposed-metrics",
    "Metrics are served at the base URL, to anybody. Serve them on a second port that only the monitoring reaches.",
);

pub(super) const EXPOSED_CONSOLE: Rule = Rule::deployment(
    "exposed-console",
    "The deployment serves the console of `dev`. Deploy the command `serve`, or no command, and never `dev`.",
);

pub(super) const EXPOSED_KEYS: Rule = Rule::deployment(
    "exposed-keys",
    "The deployment serves a key set at `/.well-known/jwks.json`, as the local platform of `dev` does. A remote has no key \
    set: deploy the command `serve`, and never `dev`.",
);

pub(super) const EXPOSED_FILE: Rule = Rule::deployment(
    "exposed-file",
    "A file of the app's folder is served at the base URL. Serve the app alone, and no folder of files beside it.",
);

pub(super) const SLOW_RESPONSES: Rule = Rule::deployment(
    "slow-responses",
    "One of twenty responses took a second or longer, although no handler ran. Forge waits 5 seconds for most calls, the \
    start of the connection included. Deploy nearer to Atlassian's region, keep an instance running, and look for a proxy \
    that buffers.",
);

pub(super) const OTHER_BUILD: Rule = Rule::deployment(
    "other-build",
    "The deployed app has other routes than this build, or another version of forge-remote: the digests in the header \
    `x-forge-remote-routes` of its 404 responses differ. Deploy this build, or run `doctor --url` from the deployed one.",
);
