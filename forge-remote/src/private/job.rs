//! Items named by the expansion of `#[job]`.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::probe::Probe;
use super::record::location;
use super::requests::{IsJob, RequestsSystemToken, RequestsUserToken};
use crate::extract::Args;
use crate::jobs::{JobPolicy, NewJob};
use crate::registry::{ErasedHandler, JobRegistration};

/// The items that `#[job]` emits next to a function: its record, and a type of the same name, which
/// has the function that makes a job of arguments.
#[doc(hidden)]
#[macro_export]
macro_rules! __forge_remote_job {
    (
        [$($condition:tt)*] [$($visibility:tt)*] $record:ident
        $type:ident $name:literal $key:literal $docs:literal $place:literal
        $policy:expr,
        [$($args:ty)?]
        $mount:ident ($function:ident $($arguments:tt)*)
    ) => {
        $($condition)*
        #[doc(hidden)]
        $($visibility)* fn $record() -> $crate::__private::JobRegistration {
            use $crate::__private::{of_job::forge_remote_probe, Fallback as _};
            $crate::__private::inventory::submit! { $crate::__private::JobSubmission($record) }
            $crate::__private::job_record(
                $name,
                $key,
                $docs,
                $place,
                $policy,
                $crate::__private::$mount($function $($arguments)*),
            )
        }

        $($condition)*
        #[doc = ::core::concat!("The job `", $key, "`.")]
        $($visibility)* enum $type {}

        $($condition)*
        impl $type {
            $crate::__forge_remote_job! { @args [$($visibility)*] $key $policy, [$($args)?] }
        }
    };
    (@args [$($visibility:tt)*] $key:literal $policy:expr, [$args:ty]) => {
        /// Returns the job with these arguments, for `Jobs::send`.
        $($visibility)* fn args(
            args: <$args as $crate::__private::JobArgument>::Args,
        ) -> $crate::jobs::NewJob {
            $crate::__private::new_job($key, $policy, &args)
        }
    };
    (@args [$($visibility:tt)*] $key:literal $policy:expr, []) => {
        /// Returns the job, for `Jobs::send`.
        $($visibility)* fn args() -> $crate::jobs::NewJob {
            $crate::__private::new_job($key, $policy, &())
        }
    };
}

/// The selection of a job's arguments, instead of the tokens that a handler requests.
#[derive(Debug)]
pub struct OfJob;

/// A job's `Probe`.
pub mod of_job {
    #[allow(non_camel_case_types, reason = "no user's type has such a name")]
    pub type forge_remote_probe<T> = super::Probe<T, super::OfJob>;
}

impl RequestsSystemToken for OfJob {}

// A job has no user, so `HasUser` is the one error.
impl RequestsUserToken for OfJob {}

impl IsJob for OfJob {}

/// The argument type of a job, [`Args`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the arguments of a `#[job]`",
    label = "they are stored as JSON until the job runs",
    note = "the `T` of `Args<T>` must implement `serde::Serialize` and `serde::Deserialize`, and own its contents: \
            `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait JobArgument {
    type Args: Serialize;
}

impl<T: Serialize + DeserializeOwned> JobArgument for Args<T> {
    type Args = T;
}

/// Returns the registration; `place` is `file:line:column`.
pub fn job_record(
    function: &'static str,
    key: &'static str,
    docs: &'static str,
    place: &'static str,
    policy: JobPolicy,
    mount: Arc<dyn ErasedHandler>,
) -> JobRegistration {
    JobRegistration {
        key,
        function,
        docs,
        location: location(place),
        policy,
        mount,
    }
}

pub fn new_job(key: &'static str, policy: JobPolicy, args: &impl Serialize) -> NewJob {
    NewJob::new(key, policy, args)
}
