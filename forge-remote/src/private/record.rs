//! The registration that an attribute writes.

use crate::registry::Location;

/// The item that a macro emits next to a function. It holds the other items, so that one in the wrong
/// place causes one error. It is a function, not a static, which the compiler would have to evaluate.
///
/// It only calls functions of this module, so a handler's types are its only compile-time cost.
#[doc(hidden)]
#[macro_export]
macro_rules! __forge_remote_handler {
    (
        [$($head:tt)*] $record:ident $name:literal $place:literal
        $requests:ident $kind:ident { $($kind_fields:tt)* } [$($others:ident)?]
        $mount:ident ($function:ident $($arguments:tt)*)
        [$($text:ident: $literal:literal,)*] $($field:ident: $value:expr,)*
    ) => {
        $($head)* fn $record() -> $crate::__private::Registration {
            use $crate::__private::{$requests::forge_remote_probe, Fallback as _};
            $crate::__private::inventory::submit! { $crate::__private::Submission($record) }
            let mut registration = $crate::__private::$requests::registration(
                &$crate::__private::kinds::$kind {
                    $($kind_fields)*
                    $(..$crate::__private::kinds::$kind::$others)?
                },
                $name,
                $place,
                $crate::__private::$mount($function $($arguments)*),
            );
            $(registration.$text = $crate::__private::option::Option::Some($literal);)*
            $(registration.$field = $value;)*
            registration
        }
    };
}

/// Reads `file:line:column`.
pub(super) fn location(place: &'static str) -> Location {
    let mut parts = place.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let (column, line) = (number().unwrap_or(0), number().unwrap_or(0));
    let file = parts.next().unwrap_or_default();
    Location { file, line, column }
}
