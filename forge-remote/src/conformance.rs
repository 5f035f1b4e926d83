//! The common part of the conformance suites for token stores and job engines.

use std::error::Error as StdError;
use std::fmt;

use crate::error::BoxError;

/// A requirement that a store or an engine does not meet, returned by
/// [`token_store_conformance`](crate::testing::token_store_conformance),
/// [`job_engine_conformance`](crate::testing::job_engine_conformance) and
/// [`job_engine_conformance_in_parallel`](crate::testing::job_engine_conformance_in_parallel).
#[derive(Debug, thiserror::Error)]
#[error("{requirement}: {problem}")]
pub struct ConformanceError {
    requirement: &'static str,
    problem: String,
    #[source]
    source: Option<BoxError>,
}

/// The failure of a case.
pub(crate) enum Failure {
    /// An operation returned an error.
    Error(BoxError),
    /// An operation did not do what it has to.
    Unexpected(String),
}

impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Failure {
    /// Returns the error of a case that checks this requirement.
    pub(crate) fn of(self, requirement: &'static str) -> ConformanceError {
        let (problem, source) = match self {
            Self::Error(error) => ("an operation returned an error".to_owned(), Some(error)),
            Self::Unexpected(problem) => (problem, None),
        };
        ConformanceError {
            requirement,
            problem,
            source,
        }
    }
}

pub(crate) type Case = Result<(), Failure>;

pub(crate) fn expect(condition: bool, otherwise: impl Into<String>) -> Case {
    match condition {
        true => Ok(()),
        false => Err(Failure::Unexpected(otherwise.into())),
    }
}

pub(crate) fn same<T: PartialEq + fmt::Debug>(found: T, expected: T, what: &str) -> Case {
    let problem = || format!("{what}: found {found:?}, expected {expected:?}");
    match found == expected {
        true => Ok(()),
        false => Err(Failure::Unexpected(problem())),
    }
}
