//! The demonstration's secrets outlive a restart, and the escrow key its issuing key.

use super::Directory;
use crate::secrets::{Secrets, TrusteesFrom};
use std::fs;
use unjoin::Name;

#[test]
fn a_restart_finds_the_same_keys_and_takes_no_other_escrow_key() {
    let (own, other) = (Directory::new(), Directory::new());
    let name = Name::new("shop.example").unwrap();
    let open = |directory: &Directory, trustees| Secrets::create_or_open(&directory.0, &name, &trustees);
    assert!(open(&own, TrusteesFrom::Kept).is_err(), "the first start needs trustees");
    let first = open(&own, TrusteesFrom::Demonstration).unwrap();
    let pins = fs::read(own.0.join("public-keys.json")).unwrap();
    for trustees in [TrusteesFrom::Kept, TrusteesFrom::Demonstration] {
        let again = open(&own, trustees).unwrap();
        let (first, again) = (first.platform.keys.newest(), again.platform.keys.newest());
        assert_eq!(first.issuer_key.public(), again.issuer_key.public());
        assert_eq!(first.escrow_key, again.escrow_key);
        assert_eq!(fs::read(own.0.join("public-keys.json")).unwrap(), pins);
    }
    // The trustees' own directory, and another committee's.
    open(&other, TrusteesFrom::Demonstration).unwrap();
    assert!(open(&own, TrusteesFrom::Files(own.0.join("trustees"))).is_ok());
    assert!(open(&own, TrusteesFrom::Files(other.0.join("trustees"))).is_err());
    // A trustee's key that has not signed.
    fs::copy(other.0.join("trustees/key-2.hex"), own.0.join("trustees/key-2.hex")).unwrap();
    assert!(open(&own, TrusteesFrom::Kept).is_err());
}
