//! A server's connections: their number and their time limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use tokio::net::TcpStream;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::activity::{Activity, Phase, Snapshot};
use super::connection::Connection;
use crate::app::limits::Limits;
use crate::fit::MAX_TOKEN_BYTES;
use crate::work::{BlocksThread, LAST_DROPS};

/// The largest request head, in bytes: a FIT, two OAuth tokens and the rest.
const MAX_HEAD: usize = MAX_TOKEN_BYTES + 64 * 1024;
/// How long a new connection may take to send its request before it can be closed to make room.
const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(100);
/// How long a connection may wait for a request before it frees its buffers, 16 KiB in the HTTP layer.
const REST_AFTER: Duration = Duration::from_millis(250);
/// The same with many connections: the allocator keeps the memory of a burst for later ones.
const MIN_REST_AFTER: Duration = Duration::from_millis(50);
/// The number of connections above which each has less time.
const MANY: usize = 1_000;
/// How long a peer may not read before its connection can be closed to make room.
const BLOCKED_GRACE: Duration = Duration::from_secs(1);
/// How long a peer may not read, or may send a body that is rejected or that its handler did not read, once the
/// server stops. Such a body has at most half of the
/// time for the shutdown, so that it does not count as a call in flight.
const SHUTDOWN_WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// The connections that a server has accepted. One task owns them, so there is no lock.
pub(super) struct Connections {
    http: Arc<http1::Builder>,
    router: Router,
    limits: Limits,
    max: usize,
    tasks: JoinSet<()>,
    known: HashMap<Id, Known>,
    accepted: u64,
    is_stopping: bool,
}

/// The state of one connection, as the server last saw it.
struct Known {
    number: u64,
    activity: Arc<Activity>,
    seen: Snapshot,
    /// When it was first seen in this state.
    since: Instant,
}

impl Connections {
    pub(super) fn new(router: Router, limits: Limits, max: usize) -> Self {
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_HEAD)
            // `check` enforces the time limits, without a timer for each request.
            .header_read_timeout(None)
            // A caller that has sent its request and closed its side still gets its response.
            .half_close(true);
        Self {
            http: Arc::new(http),
            router,
            limits,
            max,
            tasks: JoinSet::new(),
            known: HashMap::new(),
            accepted: 0,
            is_stopping: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn are_full(&self) -> bool {
        self.tasks.len() >= self.max
    }

    pub(super) fn serve(&mut self, stream: TcpStream) {
        // Small responses are sent immediately.
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::new());
        self.accepted += 1;
        let known = Known {
            number: self.accepted,
            seen: activity.snapshot(),
            since: Instant::now(),
            activity: Arc::clone(&activity),
        };
        let router = self.router.clone();
        let http = Arc::clone(&self.http);
        let connection = Connection::new(http, stream, router, activity);
        let task = self.tasks.spawn(connection);
        self.known.insert(task.id(), known);
    }

    /// Completes when a connection has ended; never completes without connections.
    pub(super) async fn one_ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => {
                if error.is_panic() {
                    tracing::error!("a connection's task panicked");
                }
                error.id()
            }
        };
        self.known.remove(&id);
    }

    /// Closes connections that have exceeded a time limit, and lets idle ones free their buffers.
    pub(super) fn check(&mut self) {
        let now = Instant::now();
        let rest_after = rest_after(self.known.len());
        for known in self.known.values_mut() {
            let age = known.refresh(now);
            if age >= self.limits.of(known.seen, self.is_stopping) {
                known.activity.close_if(known.seen);
            } else if age >= rest_after && known.seen.phase() == Phase::Idle {
                known.activity.rest_if(known.seen);
            }
            known.activity.wake_after_body();
            if self.is_stopping && !known.seen.is_awaited(age) {
                known.activity.stop();
            }
        }
    }

    /// Returns the interval at which [`check`](Self::check) is due.
    pub(super) fn period(&self) -> Duration {
        let limits = &self.limits;
        let shortest = limits.header.min(limits.keep_alive).min(limits.write);
        (shortest / 4).clamp(Duration::from_millis(10), rest_after(self.known.len()))
    }

    /// Closes the most expendable connection: the oldest idle one, else the oldest without a
    /// complete request, else one whose peer does not read. Never closes one with a call, or with a
    /// body that a handler still reads.
    pub(super) fn close_oldest(&mut self) {
        let now = Instant::now();
        let candidates = self.known.values_mut().filter_map(|known| {
            let age = known.refresh(now);
            let rank = match known.seen.phase() {
                _ if known.seen.is_blocked() => (age >= BLOCKED_GRACE).then_some(2),
                Phase::Idle if known.seen.is_used() => Some(0),
                Phase::Idle | Phase::Head | Phase::Closing => {
                    (age >= FIRST_REQUEST_GRACE).then_some(1)
                }
                Phase::Call | Phase::Flush | Phase::Body => None,
            };
            Some(((rank?, known.since, known.number), known))
        });
        if let Some((_, known)) = candidates.min_by_key(|(order, _)| *order) {
            known.activity.close_if(known.seen);
        }
    }

    /// Ends every connection: at once without a call, else after its response and the body that work still reads. A
    /// new connection has 100 ms to send its request, also if it is accepted later.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
        let now = Instant::now();
        for known in self.known.values_mut() {
            let age = known.refresh(now);
            if !known.seen.is_awaited(age) {
                known.activity.stop();
            }
        }
    }

    /// Completes when the last connection has ended.
    pub(super) async fn all_ended(&mut self) {
        let mut ticks = tokio::time::interval(FIRST_REQUEST_GRACE);
        while !self.tasks.is_empty() {
            tokio::select! {
                () = self.one_ended() => {}
                _ = ticks.tick() => self.check(),
            }
        }
    }

    /// Drops every connection, with its call.
    pub(super) async fn cut_off(&mut self) -> Result<(), BlocksThread> {
        let dropped = tokio::time::timeout(LAST_DROPS, self.tasks.shutdown()).await;
        if dropped.is_err() {
            tracing::error!("a connection cannot be closed: its handler blocks its thread");
        }
        self.known.clear();
        dropped.map_err(|_| BlocksThread)
    }
}

/// Returns how long each of so many connections may wait for a request before it frees its buffers.
fn rest_after(connections: usize) -> Duration {
    let share = MANY as f64 / connections.max(MANY) as f64;
    REST_AFTER.mul_f64(share).max(MIN_REST_AFTER)
}

impl Known {
    /// Updates the connection's state, and returns for how long it has been in it.
    fn refresh(&mut self, now: Instant) -> Duration {
        let seen = self.activity.snapshot();
        if seen != self.seen {
            self.seen = seen;
            self.since = now;
        }
        now.saturating_duration_since(self.since)
    }

    #[cfg(test)]
    fn has_begun(&self) -> bool {
        self.activity.phase() == Phase::Head
    }
}

impl Snapshot {
    /// Returns whether a request may be on its way on a connection that has been in this state for so long: to its peer,
    /// the connection's end would look like a lost response.
    fn is_awaited(self, age: Duration) -> bool {
        let can_begin = match self.phase() {
            Phase::Idle => !self.is_used(),
            Phase::Head => true,
            Phase::Call | Phase::Flush | Phase::Body | Phase::Closing => false,
        };
        can_begin && age < FIRST_REQUEST_GRACE
    }
}

impl Limits {
    /// Returns how long a connection may stay in this state.
    fn of(&self, state: Snapshot, is_stopping: bool) -> Duration {
        match state.phase() {
            _ if state.is_blocked() && is_stopping => self.write.min(SHUTDOWN_WRITE_TIMEOUT),
            _ if state.is_blocked() => self.write,
            Phase::Idle | Phase::Body => self.keep_alive,
            Phase::Closing if is_stopping => {
                let limit = self.header.min(SHUTDOWN_WRITE_TIMEOUT);
                limit.min(self.shutdown / 2)
            }
            Phase::Head | Phase::Closing => self.header,
            // A handler has its own time limit; a response that isn't flushed counts as blocked.
            Phase::Call | Phase::Flush => Duration::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn many_connections_free_their_buffers_sooner() {
        let millis = |connections| rest_after(connections).as_millis();
        assert_eq!([0, 1, MANY].map(millis), [250; 3]);
        assert_eq!([2 * MANY, 5 * MANY, 100 * MANY].map(millis), [125, 50, 50]);
    }

    /// Returns connections to these routes, one of them with its peer.
    async fn with_one(router: Router) -> (Connections, TcpStream) {
        let mut connections = Connections::new(router, Limits::default(), 10);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap());
        let (peer, accepted) = tokio::join!(peer, listener.accept());
        connections.serve(accepted.unwrap().0);
        (connections, peer.unwrap())
    }

    /// Returns what a peer receives that sends a request, in two parts, once the server stops. The connection was
    /// accepted this long before, and the first part was sent then, if `has_begun`.
    async fn received(age: Duration, has_begun: bool) -> String {
        let router = Router::new().route("/", get("served"));
        let (mut connections, mut peer) = with_one(router).await;
        let (first, second) = ("GET / HTTP/1.1\r\n", "host: app\r\n\r\n");
        if has_begun {
            peer.write_all(first.as_bytes()).await.unwrap();
        }
        while has_begun && !connections.known.values().any(Known::has_begun) {
            tokio::task::yield_now().await;
        }
        connections.check();
        tokio::time::advance(age).await;
        connections.stop();
        connections.check();
        // `all_ended` begins once nothing is on its way: its timer would end before the system delivers anything.
        let rest = if has_begun { "" } else { first };
        // An ended connection rejects it.
        let _ = peer.write_all(format!("{rest}{second}").as_bytes()).await;
        let mut text = String::new();
        while let Ok(byte) = peer.read_u8().await {
            text.push(byte.into());
            if text.ends_with("served") {
                break;
            }
        }
        let ended = async {
            let mut rest = String::new();
            let _ = peer.read_to_string(&mut rest).await;
            drop(peer);
        };
        tokio::join!(connections.all_ended(), ended);
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_just_accepted_has_time_for_its_request() {
        let (soon, late) = (FIRST_REQUEST_GRACE / 2, FIRST_REQUEST_GRACE);
        for has_begun in [false, true] {
            let text = received(soon, has_begun).await;
            assert!(text.ends_with("served"), "{has_begun}: {text}");
            assert_eq!(received(late, has_begun).await, "");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_may_send_the_rest_of_a_body_delays_the_end_for_two_seconds() {
        let (mut connections, mut peer) = with_one(Router::new().route("/", post("left"))).await;
        let request = b"POST / HTTP/1.1\r\nhost: app\r\ncontent-length: 5\r\n\r\ntwo";
        peer.write_all(request).await.unwrap();
        let mut text = String::new();
        peer.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("left"), "{text}");
        let began = Instant::now();
        connections.stop();
        connections.all_ended().await;
        let waited = began.elapsed();
        assert!(
            waited >= SHUTDOWN_WRITE_TIMEOUT && waited < SHUTDOWN_WRITE_TIMEOUT * 2,
            "{waited:?}"
        );
    }
}
