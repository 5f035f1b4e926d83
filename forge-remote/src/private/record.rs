//! The registration that an attribute writes.

use std::sync::Arc;

use crate::registry::{Auth, ErasedHandler, Kind, Location, Registration};

/// The item that a macro emits next to a function. It holds the other items, so that one in the wrong
/// place causes one error. It is a function, not a static, which the compiler would have to evaluate.
///
/// It only calls functions of this module, so a handler's types are its only compile-time cost.
#[doc(hidden)]
#[macro_export]
macro_rules! __forge_remote_handler {
    // The function with its extractors and its conversion, of a handler or of a job.
    (@mount $mount:ident $function:ident [$($argument:expr;)*] [$($reply:expr)?] [$($returned:ident)?]) => {
        $crate::__private::$mount(
            $function,
            $($argument,)*
            $($reply)?
            $({
                use $crate::__private::{DirectReply as _, FallibleReply as _};
                (&&$crate::__private::$returned(&$function)).forge_remote_reply()
            })?
        )
    };
    (@options $new:expr; []) => { $new };
    (@options $new:expr; [$($text:ident: $literal:literal,)*] $($field:ident: $value:expr,)*) => {{
        let mut registration = $new;
        $(registration.$text = $crate::__private::option::Option::Some($literal);)*
        $(registration.$field = $value;)*
        registration
    }};
    (
        [$($head:tt)*] $record:ident
        $function:ident $name:literal $place:literal
        $requests:ident $kind:expr,
        $mount:ident $arguments:tt $reply:tt $returned:tt
        { $($options:tt)* }
    ) => {
        $($head)* fn $record() -> $crate::__private::Registration {
            use $crate::__private::{$requests::forge_remote_probe, Fallback as _};
            $crate::__private::inventory::submit! { $crate::__private::Submission($record) }
            $crate::__forge_remote_handler! {@options
                $crate::__private::registration(
                    &$kind,
                    $name,
                    $place,
                    $crate::__private::$requests::AUTH,
                    $crate::__forge_remote_handler! {@mount $mount $function $arguments $reply $returned},
                );
                $($options)*
            }
        }
    };
}

/// Returns a registration without options; `place` is `file:line:column`.
pub fn registration(
    kind: &'static dyn Kind,
    function: &'static str,
    place: &'static str,
    auth: Auth,
    mount: Arc<dyn ErasedHandler>,
) -> Registration {
    Registration::new(kind, function, location(place), auth, mount)
}

/// Reads `file:line:column`.
pub(super) fn location(place: &'static str) -> Location {
    let mut parts = place.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let (column, line) = (number().unwrap_or(0), number().unwrap_or(0));
    let file = parts.next().unwrap_or_default();
    Location { file, line, column }
}
