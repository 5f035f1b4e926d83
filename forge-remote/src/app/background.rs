//! Work that goes on beside requests.

use std::future::Future;
use std::panic::{AssertUnwindSafe, Location};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use crate::client::Atlassian;
use crate::error::Result;
use crate::extract::{AppState, State};
use crate::fit::Clock;
use crate::registry::{BoxFuture, Need};
use crate::token::Tokens;

/// A failing task waits this long at most before it begins anew.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A function for [`App::background`](crate::App::background): async, with up to six arguments, each
/// a [`State<T>`](crate::State), [`Tokens`](crate::Tokens) or
/// [`Atlassian`](crate::client::Atlassian), and a [`Result<()>`](crate::Result).
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a background task",
    note = "an async function of `State<T>`, `Tokens` and `Atlassian` that returns `forge_remote::Result<()>` can"
)]
pub trait Background<Arguments>: Send + Sync + 'static {
    #[doc(hidden)]
    fn needs(&self) -> Vec<Need>;
    /// `None` when an argument isn't there, which launch checks.
    #[doc(hidden)]
    fn start(&self, state: &AppState) -> Option<BoxFuture<Result<()>>>;
}

/// What a background task can be given.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a background task can't take `{Self}`",
    note = "it can take `State<T>`, `Tokens` and `Atlassian`: there is no request to take anything from"
)]
pub trait FromApp: Sized {
    fn need() -> Option<Need>;
    fn from_app(state: &AppState) -> Option<Self>;
}

impl<T: Clone + Send + Sync + 'static> FromApp for State<T> {
    fn need() -> Option<Need> {
        Some(Need::State {
            id: std::any::TypeId::of::<T>,
            name: std::any::type_name::<T>,
        })
    }

    fn from_app(state: &AppState) -> Option<Self> {
        state.get().map(Self)
    }
}

impl FromApp for Tokens {
    fn need() -> Option<Need> {
        Some(Need::Tokens)
    }

    fn from_app(state: &AppState) -> Option<Self> {
        state.get()
    }
}

impl FromApp for Atlassian {
    fn need() -> Option<Need> {
        None
    }

    fn from_app(state: &AppState) -> Option<Self> {
        state.get()
    }
}

macro_rules! background {
    ($($argument:ident)*) => {
        impl<F, Fut, $($argument: FromApp),*> Background<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<()>> + Send + 'static,
        {
            fn needs(&self) -> Vec<Need> {
                let needs: Vec<Option<Need>> = vec![$($argument::need()),*];
                needs.into_iter().flatten().collect()
            }

            #[allow(unused_variables, reason = "without arguments there is nothing to take")]
            fn start(&self, state: &AppState) -> Option<BoxFuture<Result<()>>> {
                Some(Box::pin(self($($argument::from_app(state)?),*)))
            }
        }
    };
}

background!();
background!(A);
background!(A B);
background!(A B C);
background!(A B C D);
background!(A B C D E);
background!(A B C D E G);

type Start = dyn Fn(&AppState) -> Option<BoxFuture<Result<()>>> + Send + Sync;

/// A task as the app has it.
#[derive(Clone)]
pub(crate) struct Task {
    pub(super) place: &'static Location<'static>,
    pub(super) needs: Vec<Need>,
    start: Arc<Start>,
}

impl Task {
    pub(super) fn new<A>(place: &'static Location<'static>, task: impl Background<A>) -> Self {
        Self {
            place,
            needs: task.needs(),
            start: Arc::new(move |state: &AppState| task.start(state)),
        }
    }

    /// Runs it to its end; after a failure it begins anew, later and later.
    pub(super) async fn run(self, state: AppState, clock: Arc<dyn Clock>) {
        let mut wait = Duration::from_secs(1);
        loop {
            let began = clock.elapsed();
            let task = self.place;
            // A function may panic before it gives its future.
            let running = async {
                match (self.start)(&state) {
                    Some(running) => running.await,
                    None => Err("an argument isn't there".into()),
                }
            };
            // What it was given is shared and may be half changed; so it is for handlers.
            let error = match AssertUnwindSafe(running).catch_unwind().await {
                Ok(Ok(())) => {
                    tracing::info!(%task, "a background task has finished");
                    return;
                }
                Ok(Err(error)) => format!("{error:?}"),
                Err(_) => "it panicked".to_owned(),
            };
            if clock.elapsed().saturating_sub(began) > LONGEST_WAIT {
                wait = Duration::from_secs(1);
            }
            let seconds = wait.as_secs();
            tracing::error!(%task, error, "a background task failed, and begins anew in {seconds} s");
            clock.sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// An app's tasks, and what they run with.
pub(super) struct Tasks {
    tasks: Vec<Task>,
    state: AppState,
    clock: Arc<dyn Clock>,
}

impl Tasks {
    pub(super) fn new(tasks: Vec<Task>, state: AppState, clock: Arc<dyn Clock>) -> Self {
        Self {
            tasks,
            state,
            clock,
        }
    }

    /// They run until the set is dropped.
    pub(super) fn start(&self) -> JoinSet<()> {
        let tasks = self.tasks.iter().cloned();
        tasks
            .map(|task| task.run(self.state.clone(), Arc::clone(&self.clock)))
            .collect()
    }
}
