use super::super::{KeyEncryptionError, LocalKey, SlotKeyError, SlotKeys};
use super::*;
use crate::secret::{SecretBytes, SystemRng};
use crate::time::ManualClock;

/// A day of 2027.
const START: u64 = 1_800_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(START + seconds)
}

fn config() -> SlotConfig {
    SlotConfig::new(90 * 60, 4, 30).unwrap()
}

fn key() -> LocalKey {
    LocalKey::new(SecretBytes::new([7; 32]))
}

fn environment(now: Timestamp) -> Environment {
    Environment::new(Arc::new(ManualClock::new(now)), || Box::new(SystemRng::new()))
}

/// A directory of its own, removed afterwards.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("unjoin-keeper-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.join("slot-keys")
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(directory: &Temporary, now: Timestamp) -> Result<Keeper, SlotKeyError> {
    Keeper::create_or_open(directory.file(), key(), config(), &environment(now))
}

#[test]
fn the_same_keys_are_served_after_a_restart() {
    let directory = Temporary::new("restart");
    let keeper = open(&directory, at(0)).unwrap();
    let before = keeper.window(at(0)).unwrap();
    drop(keeper);
    let after = open(&directory, at(0)).unwrap().window(at(0)).unwrap();
    let keys =
        |window: &SlotKeyWindow| window.slots().map(|(slot, key)| (slot, *key.expose())).collect::<Vec<_>>();
    assert_eq!(keys(&before), keys(&after));
    assert_eq!(after.now(), at(LEASE));
}

#[test]
fn one_keeper_at_a_time() {
    let directory = Temporary::new("lock");
    let keeper = open(&directory, at(0)).unwrap();
    assert!(matches!(open(&directory, at(0)), Err(SlotKeyError::InUse)));
    drop(keeper);
    open(&directory, at(0)).unwrap();
}

#[test]
fn another_encryption_key_does_not_open_the_file() {
    let directory = Temporary::new("foreign-key");
    drop(open(&directory, at(0)).unwrap());
    let other = LocalKey::new(SecretBytes::new([8; 32]));
    let refused = Keeper::create_or_open(directory.file(), other, config(), &environment(at(0)));
    assert!(matches!(refused, Err(SlotKeyError::KeyEncryption(KeyEncryptionError::Refused))));
    open(&directory, at(0)).unwrap();
}
