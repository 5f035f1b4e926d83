//! A request's body, bounded in size and in time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::Limited;
use hyper::body::{Frame, SizeHint};

/// The error of a body that exceeds its time limit.
#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive in time")]
struct TooSlow;

/// Bounds a body in size and time. The size is limited here only for chunked bodies: a
/// `Content-Length` has been checked before, and the HTTP layer enforces it.
pub(super) fn bounded(body: Body, limit: usize, time: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let known = body.size_hint().upper().is_some();
    let timed = Timed {
        body,
        time,
        deadline: None,
    };
    if known {
        Body::new(timed)
    } else {
        Body::new(Limited::new(timed, limit))
    }
}

/// A body with a deadline. The timer is created only once a read has to wait.
struct Timed {
    body: Body,
    time: Duration,
    deadline: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let time = self.time;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
