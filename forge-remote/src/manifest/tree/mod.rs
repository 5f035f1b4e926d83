//! A manifest's text as a tree whose nodes know their positions, for edits that preserve the rest of
//! the text and for messages with line and column.

mod node;
mod parse;
mod scalar;

pub use self::node::{Entry, Node, NodeKind};
pub use self::parse::parse;
pub use self::scalar::Style;
