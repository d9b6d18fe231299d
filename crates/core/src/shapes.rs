//! What many types have alike, written once.

/// `Debug` of what holds secrets, or nothing that a log may have: its name alone.
///
/// ```
/// use unjoin_core::opaque;
/// struct Diary(String);
/// opaque!(Diary);
/// assert_eq!(format!("{:?}", Diary("yesterday".into())), "Diary(..)");
/// // With a parameter.
/// struct Shelf<T: Clone>(T);
/// opaque!(Shelf<T: Clone>);
/// assert_eq!(format!("{:?}", Shelf(1)), "Shelf(..)");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! opaque {
    ($type:ident $(<$parameter:ident: $bound:path>)?) => {
        impl $(<$parameter: $bound>)? ::core::fmt::Debug for $type $(<$parameter>)? {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(concat!(stringify!($type), "(..)"))
            }
        }
    };
}

/// Methods that show a field of the same name, in an `impl`: by reference where the type behind the arrow is one, and
/// a copy otherwise.
///
/// ```
/// struct Page { number: u16, text: String }
/// impl Page {
///     unjoin_core::getters! {
///         /// From 1.
///         pub number -> u16;
///         /// What stands there.
///         pub text -> &str;
///     }
/// }
/// let page = Page { number: 1, text: "the door".into() };
/// assert_eq!((page.number(), page.text()), (1, "the door"));
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! getters {
    () => {};
    ($(#[$about:meta])+ $public:vis $field:ident -> &$type:ty; $($more:tt)*) => {
        $(#[$about])+
        $public fn $field(&self) -> &$type {
            &self.$field
        }
        $crate::getters! { $($more)* }
    };
    ($(#[$about:meta])+ $public:vis $field:ident -> $type:ty; $($more:tt)*) => {
        $(#[$about])+
        $public fn $field(&self) -> $type {
            self.$field
        }
        $crate::getters! { $($more)* }
    };
}
