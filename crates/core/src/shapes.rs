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
/// // With what a log may have, too.
/// struct Box { weight: u8, inside: String }
/// opaque!(Box |all| weight = all.weight);
/// assert_eq!(format!("{:?}", Box { weight: 3, inside: "a diary".into() }), "Box { weight: 3, .. }");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! opaque {
    ($type:ident $(<$($parameter:ident $(: $bound:path)?),+>)?) => {
        impl $(<$($parameter $(: $bound)?),+>)? ::core::fmt::Debug for $type $(<$($parameter),+>)? {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(concat!(stringify!($type), "(..)"))
            }
        }
    };
    ($type:ident $(<$($parameter:ident $(: $bound:path)?),+>)? |$all:ident| $($shown:ident = $value:expr),+) => {
        impl $(<$($parameter $(: $bound)?),+>)? ::core::fmt::Debug for $type $(<$($parameter),+>)? {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                let $all = self;
                let mut out = f.debug_struct(stringify!($type));
                $(out.field(stringify!($shown), &$value);)+
                out.finish_non_exhaustive()
            }
        }
    };
}

/// A public key that is an element, with the id that names it: `H32(label, element)`.
macro_rules! key_with_id {
    ($key:ident, $label:literal) => {
        impl $key {
            /// The key whose public element this is.
            pub fn new(element: $crate::algebra::Element) -> Self {
                Self { element, id: $crate::algebra::transcript::hash32($label, &[element.as_bytes()]) }
            }

            /// The public element.
            pub fn element(&self) -> &$crate::algebra::Element {
                &self.element
            }

            /// The key's id, 32 bytes.
            pub fn id(&self) -> &[u8; 32] {
                &self.id
            }
        }
    };
}
pub(crate) use key_with_id;

/// What a secret around one value has: it is erased when dropped, and compared in constant time.
#[doc(hidden)]
#[macro_export]
macro_rules! erased_secret {
    ($secret:ident $(<const $length:ident: usize>)?) => {
        impl $(<const $length: usize>)? Drop for $secret $(<$length>)? {
            fn drop(&mut self) {
                ::zeroize::Zeroize::zeroize(&mut self.0);
            }
        }
        impl $(<const $length: usize>)? ::subtle::ConstantTimeEq for $secret $(<$length>)? {
            fn ct_eq(&self, other: &Self) -> ::subtle::Choice {
                self.0.ct_eq(&other.0)
            }
        }
    };
}

/// A generator that fills bytes and cannot fail: everything else that `rand_core` asks for.
///
/// ```
/// use rand_core::Rng;
/// struct Stuck(u8);
/// unjoin_core::filling_generator!(Stuck |stuck, bytes| bytes.fill(stuck.0));
/// assert_eq!(Stuck(1).next_u32(), 0x0101_0101);
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! filling_generator {
    ($type:ident $(<$parameter:ident: $bound:path>)? |$generator:ident, $bytes:ident| $fill:expr) => {
        impl $(<$parameter: $bound>)? ::rand_core::TryRng for $type $(<$parameter>)? {
            type Error = ::core::convert::Infallible;
            fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
                ::rand_core::utils::next_word_via_fill(self)
            }
            fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
                ::rand_core::utils::next_word_via_fill(self)
            }
            fn try_fill_bytes(&mut self, $bytes: &mut [u8]) -> Result<(), Self::Error> {
                let $generator = self;
                $fill;
                Ok(())
            }
        }
        impl $(<$parameter: $bound>)? ::rand_core::TryCryptoRng for $type $(<$parameter>)? {}
    };
}

/// `Serialize` as an object of these fields.
///
/// ```
/// use unjoin_core::serialize_as_object;
/// struct Page { number: u16, text: String }
/// serialize_as_object!(Page |page| number = page.number, length = page.text.len());
/// let page = serde_json::to_string(&Page { number: 1, text: "the door".into() })?;
/// assert_eq!(page, r#"{"number":1,"length":8}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! serialize_as_object {
    ($type:ident |$all:ident| $($field:ident = $value:expr),+ $(,)?) => {
        impl $crate::wire::serde::Serialize for $type {
            fn serialize<S: $crate::wire::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use $crate::wire::serde::ser::SerializeStruct;
                let $all = self;
                let mut object =
                    serializer.serialize_struct(stringify!($type), [$(stringify!($field)),+].len())?;
                $(object.serialize_field(stringify!($field), &$value)?;)+
                object.end()
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
