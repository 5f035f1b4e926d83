//! Whether output is coloured: on a terminal, unless `NO_COLOR` is set (<https://no-color.org/>).

use std::io::{self, IsTerminal};

use crate::environment::variable;

/// Returns whether to color standard output.
pub(super) fn color() -> bool {
    is_wanted_on(&io::stdout())
}

/// Returns whether to color standard error.
pub(super) fn color_of_errors() -> bool {
    is_wanted_on(&io::stderr())
}

fn is_wanted_on(output: &impl IsTerminal) -> bool {
    output.is_terminal() && variable("NO_COLOR").is_none()
}
