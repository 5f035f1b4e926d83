//! Positions in the manifest and in the code.

use std::fmt;

use serde::{Serialize, Serializer};

/// A position in a file, both numbers from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A position in the code: `src/main.rs:12:5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file, as `file!()` returns it: relative to the workspace.
    pub file: &'static str,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl From<&'static std::panic::Location<'static>> for Location {
    fn from(place: &'static std::panic::Location<'static>) -> Self {
        Self {
            file: place.file(),
            line: place.line(),
            column: place.column(),
        }
    }
}

/// A position in the code, with the name of the function at it.
///
/// As JSON it is the text `file:line:column`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct CodeLocation {
    /// The position.
    pub location: Location,
    /// The handler's name; `None` where the position names no function.
    pub function: Option<&'static str>,
}

impl CodeLocation {
    /// Returns the position of a function.
    pub(crate) fn of_function(location: Location, function: &'static str) -> Self {
        Self {
            location,
            function: Some(function),
        }
    }
}

impl From<Location> for CodeLocation {
    fn from(location: Location) -> Self {
        Self {
            location,
            function: None,
        }
    }
}

impl fmt::Display for CodeLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.function {
            Some(function) => write!(f, "{} ({function})", self.location),
            None => self.location.fmt(f),
        }
    }
}

impl Serialize for CodeLocation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.location)
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
