//! The settings of an app's server.

use std::time::Duration;

use crate::app::builder::App;

impl App {
    /// Sets the largest request body, in bytes (default: 1 MiB). A larger one gets 413.
    ///
    /// Forge sends at most 500 kB from a page and 200 kB with an event, but calls by `requestRemote` come
    /// directly from the browser. A handler can have another limit: `#[endpoint(body_limit = "20MiB")]`.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.limits.body = bytes;
        self
    }

    /// Sets how long a request body may take to arrive (default: 30 seconds). After that, the
    /// handler gets a body that ends with an error, and the caller gets 400.
    pub fn body_timeout(mut self, time: Duration) -> Self {
        self.limits.body_time = time;
        self
    }

    /// Sets how long a request's head may take, from its first byte to its last (default: 10
    /// seconds). After that, the connection is closed.
    pub fn header_timeout(mut self, time: Duration) -> Self {
        self.limits.header = time;
        self
    }

    /// Sets how long a connection without a request is kept open (default: 75 seconds). Use a longer
    /// time than the load balancer in front; otherwise it sends requests on connections that are
    /// being closed.
    pub fn keep_alive(mut self, time: Duration) -> Self {
        self.limits.keep_alive = time;
        self
    }

    /// Sets how long sending a response may make no progress (default: 30 seconds). After that, the
    /// connection is closed.
    pub fn write_timeout(mut self, time: Duration) -> Self {
        self.limits.write = time;
        self
    }

    /// Sets how many connections are open at the same time.
    ///
    /// At the limit, a new connection replaces another: the oldest idle one, else the oldest whose
    /// request is incomplete, else one whose peer does not read. While all have a call in flight,
    /// new connections wait.
    ///
    /// Default: half of the files that the process may open, at most 4,096. The app raises its
    /// soft file limit (`ulimit -n`) to the hard one, at most 65,536, when it starts to serve.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.limits.connections = Some(connections);
        self
    }

    /// Sets how many handlers run at the same time, including handlers that continue without their
    /// caller. At the limit, a verified call gets 503 with `Retry-After`.
    ///
    /// Default: 1,024, at most three quarters of [`max_connections`](Self::max_connections).
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        self.limits.in_flight = Some(calls);
        self
    }

    /// Sets how long a caller waits for a handler. After that, it gets 503 with `Retry-After`, and the
    /// handler continues without it.
    ///
    /// Default: as long as Forge waits for this kind of call, where Atlassian documents it (5
    /// seconds for events and schedules, 25 for pages, 55 for agents, 900 for streaming agents),
    /// else 55 seconds.
    ///
    /// Source: <https://developer.atlassian.com/platform/forge/remote/essentials/>
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.limits.response = Some(time);
        self
    }

    /// Sets how long the app still serves after a signal to stop, with `/readyz` at 503, so that a
    /// load balancer stops sending requests first (default: 0).
    ///
    /// Use a little more than the balancer's interval between two checks. This time precedes
    /// [`shutdown_grace`](Self::shutdown_grace).
    pub fn drain(mut self, time: Duration) -> Self {
        self.limits.drain = time;
        self
    }

    /// Sets how long calls in flight, their [spawned](crate::Invocation::spawn) work, and background
    /// tasks that take [`Shutdown`](crate::Shutdown) may still run when the app stops (default: 20
    /// seconds). After that, they are cancelled.
    ///
    /// Unwritten tokens get 5 more seconds. Keep the total, including [`drain`](Self::drain), below
    /// the orchestrator's kill timeout: 30 seconds in Kubernetes, 10 in Docker. A second Ctrl-C or
    /// SIGTERM ends the process at once.
    pub fn shutdown_grace(mut self, time: Duration) -> Self {
        self.limits.shutdown = time;
        self
    }
}
