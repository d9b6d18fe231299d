//! No secret has a trait that would let it out.

use std::fmt::Display;
use std::marker::PhantomData;
use unjoin::issuer::Issuer;
use unjoin::ledger::{LedgerConfig, NoteKey, WitnessService};
use unjoin::opening::same_author::BlindingFactor;
use unjoin::opening::{RecipientKey, SealedTrusteeSecrets, TrusteeSecrets, TrusteeShare};
use unjoin::phone::{Keeper, LocalKey, PhoneNumber, Pool, SlotKey, SlotKeyWindow};
use unjoin::review::ReviewDesk;
use unjoin::secret::{SecretBytes, SecretScalar};
use unjoin::store::MemoryStore;
use unjoin::token::{
    Grant, GrantedTag, IssuerKey, KeyPair, KeyRing, OrderHandleKey, PlatformKey, TrusteeKey,
};
use unjoin::{Platform, PlatformSecrets};
use unjoin_wallet::{PendingToken, SealedBackup, Token, Wallet};

/// Answers whether a type implements a trait: an inherent constant under the trait's bound, if
/// it applies, else the one of `Lacks`.
struct Probe<T>(PhantomData<T>);

trait Lacks {
    const CLONE: bool = false;
    const COPY: bool = false;
    const PARTIAL_EQ: bool = false;
    const HASH: bool = false;
    const DISPLAY: bool = false;
    const SERIALIZE: bool = false;
    const DESERIALIZE: bool = false;
    const AS_BYTES: bool = false;
    const INTO_VEC: bool = false;
}

impl<T> Lacks for Probe<T> {}

macro_rules! probes {
    ($($constant:ident: $bound:path),+ $(,)?) => {
        $(impl<T: $bound> Probe<T> { const $constant: bool = true; })+
    };
}

probes!(
    CLONE: Clone,
    COPY: Copy,
    PARTIAL_EQ: PartialEq,
    HASH: std::hash::Hash,
    DISPLAY: Display,
    SERIALIZE: serde::Serialize,
    DESERIALIZE: serde::de::DeserializeOwned,
    AS_BYTES: AsRef<[u8]>,
    INTO_VEC: Into<Vec<u8>>,
);

/// The traits of the list that a type has.
macro_rules! traits {
    ($type:ty) => {{
        let all = [
            ("Clone", <Probe<$type>>::CLONE),
            ("Copy", <Probe<$type>>::COPY),
            ("PartialEq", <Probe<$type>>::PARTIAL_EQ),
            ("Hash", <Probe<$type>>::HASH),
            ("Display", <Probe<$type>>::DISPLAY),
            ("Serialize", <Probe<$type>>::SERIALIZE),
            ("Deserialize", <Probe<$type>>::DESERIALIZE),
            ("AsRef<[u8]>", <Probe<$type>>::AS_BYTES),
            ("Into<Vec<u8>>", <Probe<$type>>::INTO_VEC),
        ];
        all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect::<Vec<_>>()
    }};
}

#[test]
fn the_probe_sees_the_traits_that_are_there() {
    assert_eq!(traits!(u8), ["Clone", "Copy", "PartialEq", "Hash", "Display", "Serialize", "Deserialize"]);
    assert_eq!(
        traits!(String),
        ["Clone", "PartialEq", "Hash", "Display", "Serialize", "Deserialize", "AsRef<[u8]>", "Into<Vec<u8>>"]
    );
    assert_eq!(traits!(Grant), ["Clone", "PartialEq", "Serialize", "Deserialize"]);
}

#[test]
fn secrets_are_not_copied_compared_shown_or_serialized() {
    const NONE: [&str; 0] = [];
    assert_eq!(traits!(SecretBytes<32>), NONE);
    assert_eq!(traits!(SecretBytes<64>), NONE);
    assert_eq!(traits!(SecretScalar), NONE);
    assert_eq!(traits!(IssuerKey), NONE);
    assert_eq!(traits!(KeyPair), NONE);
    assert_eq!(traits!(PlatformKey), NONE);
    assert_eq!(traits!(NoteKey), NONE);
    assert_eq!(traits!(WitnessService<unjoin::store::MemoryStore>), NONE);
    assert_eq!(traits!(LedgerConfig), NONE);
    assert_eq!(traits!(OrderHandleKey), NONE);
    assert_eq!(traits!(PlatformSecrets), NONE);
    assert_eq!(traits!(TrusteeShare), NONE);
    assert_eq!(traits!(BlindingFactor), NONE);
    assert_eq!(traits!(RecipientKey), NONE);
    assert_eq!(traits!(TrusteeKey), NONE);
    assert_eq!(traits!(TrusteeSecrets), NONE);
    assert_eq!(traits!(Wallet), NONE);
    assert_eq!(traits!(PendingToken), NONE);
    assert_eq!(traits!(Token), NONE);
    assert_eq!(traits!(Platform<MemoryStore>), NONE);
    assert_eq!(traits!(Issuer<MemoryStore>), NONE);
    assert_eq!(traits!(ReviewDesk<MemoryStore>), NONE);
    assert_eq!(traits!(SlotKey), NONE);
    assert_eq!(traits!(SlotKeyWindow), NONE);
    assert_eq!(traits!(LocalKey), NONE);
    assert_eq!(traits!(Keeper), NONE);
    assert_eq!(traits!(Pool), NONE);
    // Compared in constant time; each clone erases itself.
    assert_eq!(traits!(PhoneNumber), ["Clone", "PartialEq"]);
    // A ring is shared pointers to keys; a clone of it copies no key.
    assert_eq!(traits!(KeyRing), ["Clone"]);
    // What a grant says, checked: links a request to nothing that is shown, leaves the device
    // in a sealed backup alone.
    assert_eq!(traits!(GrantedTag), ["Clone"]);
    // The one way out: sealed.
    assert_eq!(traits!(SealedBackup), ["Clone", "PartialEq", "Serialize", "Deserialize"]);
    assert_eq!(traits!(SealedTrusteeSecrets), ["Clone", "PartialEq", "Serialize", "Deserialize"]);
}
