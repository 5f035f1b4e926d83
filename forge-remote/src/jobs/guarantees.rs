//! The guarantees of an engine.

macro_rules! guarantees {
    ($($(#[$docs:meta])* $name:ident;)*) => {
        /// The guarantees that a [`JobEngine`](super::JobEngine) enforces, or that an app
        /// [requires](crate::App::require_guarantees).
        ///
        /// ```
        /// use forge_remote::jobs::Guarantees;
        ///
        /// let guarantees = Guarantees::new().outlives_process().limits_installations();
        /// assert!(!guarantees.spans_machines);
        /// ```
        ///
        /// No engine starts jobs in the order in which they were accepted: a retry, a pause or a long queue
        /// changes it. A handler that needs an order reads the newest state when it runs.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Guarantees {
            $($(#[$docs])* pub $name: bool,)*
        }

        impl Guarantees {
            /// Creates the guarantees of an engine that enforces none of these.
            pub const fn new() -> Self {
                Self { $($name: false,)* }
            }

            $(
                $(#[$docs])*
                #[must_use]
                pub const fn $name(mut self) -> Self {
                    self.$name = true;
                    self
                }
            )*

            /// Returns the names of the guarantees that are required and not among these.
            pub(crate) fn lacking(self, required: Self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name, required.$name),)*];
                let lacking = all.into_iter().filter(|(_, has, required)| *required && !has);
                lacking.map(|(name, _, _)| name).collect()
            }
        }
    };
}

guarantees! {
    /// Accepted envelopes survive the process. The app then seals them under
    /// `FORGE_REMOTE_TOKEN_KEY`.
    outlives_process;
    /// `per_installation` is enforced.
    limits_installations;
    /// Several machines share the work, and every guarantee holds across them.
    spans_machines;
    /// A long queue of one installation hardly delays other installations' jobs, and its long jobs leave room for them.
    shares_fairly;
    /// Waiting envelopes of an uninstalled installation are discarded, regardless of their due time.
    ends_installations;
    /// A job can be stored in the app's own database transaction, with an API of the engine's crate.
    joins_transactions;
    /// [`JobInspector::retry`](super::JobInspector::retry) starts a waiting job before its time.
    retries_early;
}
