//! The common part of both engine types: the settings, and the app's interface to them.

/// Implements the settings of an engine, and its [`JobEngine`](forge_remote::jobs::JobEngine). The engine is a struct
/// around an `Arc<River<…>>`.
macro_rules! engine_type {
    ($engine:ident) => {
        impl $engine {
            /// Sets how many jobs run at once in this process (default: 20, at least 1).
            #[must_use]
            pub fn workers(self, workers: usize) -> Self {
                self.with(|settings| settings.workers = workers.max(1))
            }

            /// Sets how long the key of a call or job is remembered, so that Forge's retries, repeated occurrences and
            /// `unique` jobs are recognised (default and minimum: 26 hours, the
            /// [longest window](forge_remote::jobs::Repeats::LONGEST_WINDOW)).
            #[must_use]
            pub fn remember(self, time: Duration) -> Self {
                self.with(|settings| settings.remember = time.max(Repeats::LONGEST_WINDOW))
            }

            /// Sets how long dead jobs are kept (default: 30 days).
            #[must_use]
            pub fn keep_dead(self, time: Duration) -> Self {
                self.with(|settings| settings.keep_dead = time)
            }

            fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
                let mut settings = self.0.settings.clone();
                change(&mut settings);
                Self(Arc::new(River::new(self.0.database.clone(), settings)))
            }
        }

        impl JobEngine for $engine {
            fn name(&self) -> String {
                self.0.database.name()
            }

            fn open(&self) -> BoxFuture<Result<(), EngineError>> {
                let river = Arc::clone(&self.0);
                Box::pin(async move { river.open().await })
            }

            fn accept(&self, envelope: Envelope) -> BoxFuture<Result<Accepted, EngineError>> {
                let river = Arc::clone(&self.0);
                Box::pin(async move { river.accept(&envelope).await })
            }

            fn serve(&self, context: EngineContext) -> BoxFuture<Result<(), EngineError>> {
                let river = Arc::clone(&self.0);
                Box::pin(async move { river.serve(context).await })
            }

            fn counts(&self) -> BoxFuture<Result<Option<JobCounts>, EngineError>> {
                let river = Arc::clone(&self.0);
                Box::pin(async move { river.counts().await.map(Some) })
            }

            fn end_installation(
                &self,
                installation_id: &str,
            ) -> BoxFuture<Result<u64, EngineError>> {
                let (river, installation) = (Arc::clone(&self.0), installation_id.to_owned());
                Box::pin(async move { river.end_installation(&installation).await })
            }

            fn checks(&self) -> BoxFuture<Vec<Check>> {
                let river = Arc::clone(&self.0);
                Box::pin(async move { river.checks().await })
            }

            fn key_counts(&self) -> BoxFuture<Result<Option<KeyCounts>, EngineError>> {
                let river = Arc::clone(&self.0);
                Box::pin(async move { river.key_counts().await.map(Some) })
            }

            fn last_accepted(&self) -> BoxFuture<Result<Option<LastAccepted>, EngineError>> {
                let river = Arc::clone(&self.0);
                Box::pin(async move { river.last_accepted().await.map(Some) })
            }

            fn inspector(&self) -> Option<Arc<dyn JobInspector>> {
                Some(Arc::new(Inspector(Arc::clone(&self.0))))
            }

            fn guarantees(&self) -> Guarantees {
                self.0.database.guarantees()
            }
        }
    };
}
pub(crate) use engine_type;
