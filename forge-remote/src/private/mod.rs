//! Items named by the macros' expansions. Not part of the public API: no stability here.

mod arguments;
mod job;
mod mount;
mod probe;
mod record;
mod requests;
mod selection;

pub use core::option;
pub use inventory;

pub use crate::__forge_remote_handler as handler;
pub use crate::__forge_remote_job as job;
pub use crate::jobs::JobPolicy;
pub use crate::kinds;
pub use crate::registry::{
    Auth, JobRegistration, JobSubmission, Location, Method, Registration, Requirement, Submission,
};
pub use arguments::{Argument, LastArgument};
pub use job::{JobArgument, OfJob, job_record, new_job, of_job};
pub use mount::{
    mount_0, mount_1, mount_2, mount_3, mount_4, mount_5, mount_6, mount_7, mount_8, mount_9,
    mount_10, mount_11, mount_12, mount_13, mount_14, mount_15, mount_16, returned_0, returned_1,
    returned_2, returned_3, returned_4, returned_5, returned_6, returned_7, returned_8, returned_9,
    returned_10, returned_11, returned_12, returned_13, returned_14, returned_15, returned_16,
};
pub use probe::{DirectReply, Fallback, FallibleReply, HandlerOutput, Probe};
pub use requests::{
    HasUser, IsCalled, IsJob, No, RequestedTokens, RequestsSystemToken, RequestsUserToken, Yes,
};
pub use selection::{
    no_user_requests_none, no_user_requests_system, requests_both, requests_none, requests_system,
    requests_user,
};
