//! On a real directory: locks, modes, left-over files and files of something else.

use super::super::super::{LocalKey, SlotKeyError, SlotKeys};
use super::super::{Keeper, MAGIC, Predecessor};
use super::{SLOT, at, config, environment, key, keys};
use crate::SlotConfig;
use std::fs;
use std::path::PathBuf;
use unjoin_core::Timestamp;
use unjoin_core::secret::SecretBytes;

/// A directory of its own, removed afterwards.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("unjoin-keeper-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    fn file(&self) -> PathBuf {
        self.0.join("slot-keys")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.0.join(format!("slot-keys{suffix}"))
    }

    fn open(&self, now: Timestamp) -> Result<Keeper, SlotKeyError> {
        Keeper::create_or_open(self.file(), key(), config(), &environment(now))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_same_keys_are_served_after_a_restart() {
    let directory = Temporary::new("restart");
    let before = directory.open(at(0)).unwrap().window(at(0)).unwrap();
    let after = directory.open(at(0)).unwrap().window(at(0)).unwrap();
    assert_eq!(keys(&before), keys(&after));
}

#[test]
fn one_keeper_at_a_time() {
    let directory = Temporary::new("lock");
    let keeper = directory.open(at(0)).unwrap();
    assert!(matches!(directory.open(at(0)), Err(SlotKeyError::InUse)));
    assert!(matches!(Keeper::predecessor(directory.file()), Err(SlotKeyError::InUse)));
    drop(keeper);
    directory.open(at(0)).unwrap();
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let directory = Temporary::new("foreign");
    drop(directory.open(at(0)).unwrap());
    let own = fs::read(directory.file()).unwrap();
    let opened = |bytes: &[u8]| {
        fs::write(directory.file(), bytes).unwrap();
        let answer = directory.open(at(0)).map(drop);
        assert!(answer.is_ok() || fs::read(directory.file()).unwrap() == bytes);
        answer
    };
    assert!(matches!(opened(b""), Err(SlotKeyError::NotAKeyFile)));
    assert!(matches!(opened(b"-----BEGIN SOMETHING-----"), Err(SlotKeyError::NotAKeyFile)));
    assert!(matches!(opened(&own[..MAGIC.len() - 1]), Err(SlotKeyError::NotAKeyFile)));
    let mut later = own.clone();
    later[MAGIC.len() - 1] += 1;
    assert!(matches!(opened(&later), Err(SlotKeyError::Version)));
    for cut in MAGIC.len()..own.len() {
        let refused = opened(&own[..cut]);
        assert!(matches!(refused, Err(SlotKeyError::EncryptionRefused)), "{cut}");
    }
    for at in MAGIC.len()..own.len() {
        let mut changed = own.clone();
        changed[at] ^= 1;
        assert!(matches!(opened(&changed), Err(SlotKeyError::EncryptionRefused)), "{at}");
    }
    opened(&own).unwrap();
}

#[test]
fn another_encryption_key_or_other_slots_do_not_open_the_file() {
    let directory = Temporary::new("foreign-key");
    drop(directory.open(at(0)).unwrap());
    let open = |key: LocalKey, config: SlotConfig| {
        Keeper::create_or_open(directory.file(), key, config, &environment(at(0))).map(drop)
    };
    let other = LocalKey::new(SecretBytes::new([8; 32]));
    let refused = open(other, config());
    assert!(matches!(refused, Err(SlotKeyError::EncryptionRefused)));
    let slots = |max_life, slots, skew| SlotConfig::new(max_life, slots, skew).unwrap();
    assert!(matches!(open(key(), slots(4 * SLOT, 4, 30)), Err(SlotKeyError::OtherConfig)));
    assert!(matches!(open(key(), slots(3 * SLOT, 3, 30)), Err(SlotKeyError::OtherConfig)));
    // How far clocks may differ is not in the file.
    open(key(), slots(3 * SLOT, 4, 60)).unwrap();
}

#[test]
fn a_lost_file_is_followed_by_another() {
    let directory = Temporary::new("lost");
    assert_eq!(Keeper::predecessor(directory.file()).unwrap(), None);
    drop(directory.open(at(0)).unwrap());
    fs::remove_file(directory.file()).unwrap();
    assert!(matches!(directory.open(at(0)), Err(SlotKeyError::Lost)));
    let predecessor = Keeper::predecessor(directory.file()).unwrap().unwrap();
    assert_eq!(predecessor, Predecessor { generation: 1, pool_shift: 0 });
    let follow =
        || Keeper::create_following(directory.file(), key(), config(), &environment(at(0)), predecessor);
    let window = follow().unwrap().window(at(0)).unwrap();
    assert_eq!((window.generation(), window.pool_shift()), (2, 1));
    assert!(matches!(follow(), Err(SlotKeyError::Exists)));
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let directory = Temporary::new("none");
    let nowhere = directory.0.join("none").join("slot-keys");
    let refused = Keeper::create_or_open(nowhere, key(), config(), &environment(at(0)));
    assert!(matches!(refused, Err(SlotKeyError::File(_))));
}

#[cfg(unix)]
#[test]
fn the_files_are_their_owners_and_what_is_replaced_is_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Temporary::new("erased");
    let keeper = directory.open(at(0)).unwrap();
    for file in [directory.file(), directory.beside(".lock")] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Another name keeps the replaced file in sight.
    let kept = directory.0.join("kept");
    fs::hard_link(directory.file(), &kept).unwrap();
    keeper.confirm_clock(at(SLOT)).unwrap();
    let erased = fs::read(&kept).unwrap();
    assert!(!erased.is_empty() && erased.iter().all(|byte| *byte == 0));
    assert_eq!(fs::metadata(directory.file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!directory.beside(".fresh").exists());
    drop(keeper);
    // And one that a crash left.
    fs::write(directory.beside(".fresh"), b"half a key file").unwrap();
    fs::remove_file(&kept).unwrap();
    fs::hard_link(directory.beside(".fresh"), &kept).unwrap();
    directory.open(at(SLOT)).unwrap();
    assert!(!directory.beside(".fresh").exists());
    assert!(fs::read(&kept).unwrap().iter().all(|byte| *byte == 0));
}
