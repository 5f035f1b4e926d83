//! A manifest's text as a tree whose nodes know their positions, for edits that preserve the rest of
//! the text and for messages with line and column.

mod node;
mod parse;
mod scalar;

pub use self::node::Node;
#[cfg(feature = "cli")]
pub use self::node::{Entry, NodeKind};
pub use self::parse::parse;
#[cfg(feature = "cli")]
pub use self::scalar::Style;
