//! The trustees' key from a ceremony's directory, and the directory of the secrets.

use super::process::{BEHIND, Process, buy, has_served};
use super::{Directory, ask_door, submission};
use crate::client::Connection;
use crate::device::{Pins, is_receipt, until_ticked};
use crate::secrets::{Secrets, SecretsError, TrusteesFrom};
use clap::Parser;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use unjoin::Name;

/// The trustees' tool, as they run it.
#[allow(dead_code, reason = "its main is the example's")]
#[path = "../../trustee/main.rs"]
mod tool;

/// The ceremony that the tests share.
fn shared() -> Arc<Directory> {
    static SHARED: Mutex<Weak<Directory>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let directory = Arc::new(ceremony());
        *shared = Arc::downgrade(&directory);
        directory
    })
}

/// A ceremony of two of three trustees, with a refresh, in its directory.
fn ceremony() -> Directory {
    let directory = Directory::new();
    let words = ["trustee", "ceremony", "--play", "3", "--threshold", "2", "--dir"];
    let words = words.into_iter().chain(directory.0.to_str());
    tool::run(tool::Arguments::parse_from(words).command, &mut std::io::sink()).unwrap();
    for name in ["certificate.bin", "committee-2.bin", "key-3.hex"] {
        assert!(directory.0.join(name).exists(), "the ceremony has not written {name}");
    }
    directory
}

/// What a test may spoil.
fn copy_of(from: &Path) -> Directory {
    let directory = Directory::new();
    copy(from, &directory.0);
    directory
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

fn files(path: &Path) -> TrusteesFrom {
    TrusteesFrom::Files(path.to_owned())
}

fn open(directory: &Path, trustees: &TrusteesFrom) -> Result<Secrets, SecretsError> {
    Secrets::create_or_open(directory, &Name::new("shop.example").unwrap(), trustees)
        .map_err(|error| *error.downcast().unwrap())
}

fn refusal(directory: &Path, trustees: &TrusteesFrom) -> SecretsError {
    open(directory, trustees).err().expect("it is refused")
}

/// Every file below with what it holds.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

const TEST: &str = "tests::secrets::a_service_takes_the_key_of_a_ceremony_and_keeps_it";

#[test]
fn a_service_takes_the_key_of_a_ceremony_and_keeps_it() {
    if has_served() {
        return;
    }
    let shared = shared();
    let directory = Directory::new();
    let store = format!("redb:{}", directory.0.join("stores").display());
    let path = shared.0.to_str().unwrap();
    let start = |more: &[&str]| Process::start(TEST, &directory.0, &store, "log", more);
    let process = start(&[&["--trustees", path][..], &BEHIND].concat());
    // Wallets that pin these three trustees take the key by their certificate and in no other way.
    let pinned = directory.0.join("secrets/public-keys.json");
    let pins = Pins::read(&pinned, 2).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&pinned).unwrap()).unwrap();
    let keys = (1..=3).map(|index| fs::read_to_string(shared.0.join(format!("key-{index}.hex"))).unwrap());
    assert_eq!(json["trustees"], serde_json::json!(keys.collect::<Vec<_>>()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let review = runtime.block_on(async {
        let (device, token) = buy(&process, &pins, "ann").await;
        for account in ["ben", "cid", "dan", "eva", "fay"] {
            let _ = buy(&process, &pins, account).await;
        }
        submission(&device, &token, "It came broken.")
    });
    process.end();

    // Later starts need not name them, and may.
    let before = contents(&directory.0.join("secrets/keys"));
    let mut receipts = Vec::new();
    for more in [&["--confirm-clock"][..], &[], &["--trustees", path]] {
        let process = start(more);
        let receipt = runtime.block_on(async {
            until_ticked(&mut Connection::to(process.internal)).await.unwrap();
            ask_door(&mut Connection::to(process.public), review.clone()).await.unwrap()
        });
        assert!(is_receipt(&receipt, &pins));
        receipts.push(receipt);
        process.end();
        assert_eq!(contents(&directory.0.join("secrets/keys")), before);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&fs::read(&pinned).unwrap()).unwrap(), json);
    }
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
}

/// Each names the file and what to do, and makes nothing.
#[test]
fn what_is_no_finished_ceremony_of_these_trustees_is_refused() {
    let shared = shared();
    let foreign = ceremony();
    type Spoil = fn(&Path, &Path);
    type Expected = fn(&SecretsError) -> bool;
    let cases: [(&str, Spoil, Expected, &str); 9] = [
        (
            "certificate.bin",
            |ceremony, _| fs::remove_file(ceremony.join("certificate.bin")).unwrap(),
            |error| matches!(error, SecretsError::NotInCeremony(_)),
            "a ceremony that is finished",
        ),
        (
            "key-2.hex",
            |ceremony, _| fs::remove_file(ceremony.join("key-2.hex")).unwrap(),
            |error| matches!(error, SecretsError::NotInCeremony(_)),
            "a ceremony that is finished",
        ),
        (
            "certificate.bin",
            |ceremony, _| {
                let path = ceremony.join("certificate.bin");
                let bytes = fs::read(&path).unwrap();
                fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
            },
            |error| matches!(error, SecretsError::NoCertificate(_)),
            "copy it again",
        ),
        (
            "certificate.bin",
            |ceremony, _| fs::write(ceremony.join("certificate.bin"), b"").unwrap(),
            |error| matches!(error, SecretsError::NoCertificate(_)),
            "copy it again",
        ),
        (
            "key-3.hex",
            |ceremony, _| {
                let path = ceremony.join("key-3.hex");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, &text[..40]).unwrap();
            },
            |error| matches!(error, SecretsError::NoTrusteeKey(_)),
            "copy it again",
        ),
        (
            "certificate.bin",
            |ceremony, foreign| {
                fs::copy(foreign.join("certificate.bin"), ceremony.join("certificate.bin"))
                    .map(drop)
                    .unwrap();
            },
            |error| matches!(error, SecretsError::Foreign(_)),
            "compare the keys with the trustees in person",
        ),
        (
            "certificate.bin",
            |ceremony, foreign| {
                fs::copy(foreign.join("key-1.hex"), ceremony.join("key-1.hex")).map(drop).unwrap();
            },
            |error| matches!(error, SecretsError::Foreign(_)),
            "compare the keys with the trustees in person",
        ),
        (
            "certificate.bin",
            |ceremony, foreign| {
                fs::copy(foreign.join("key-1.hex"), ceremony.join("key-4.hex")).map(drop).unwrap();
            },
            |error| matches!(error, SecretsError::Foreign(_)),
            "one ceremony",
        ),
        (
            "",
            |ceremony, _| fs::copy(ceremony.join("key-1.hex"), ceremony.join("key-2.hex")).map(drop).unwrap(),
            |error| matches!(error, SecretsError::NoTrusteesAtAll(..)),
            "each with a key of its own",
        ),
    ];
    let place = Directory::new();
    let secrets = place.0.join("secrets");
    for (file, spoil, expected, advice) in cases {
        let ceremony = copy_of(&shared.0);
        spoil(&ceremony.0, &foreign.0);
        let refused = refusal(&secrets, &files(&ceremony.0));
        let said = refused.to_string();
        assert!(expected(&refused), "{refused:?}");
        let named = if file.is_empty() { ceremony.0.clone() } else { ceremony.0.join(file) };
        assert!(said.contains(&*named.to_string_lossy()) && said.contains(advice), "{said}");
        let made: Vec<_> = contents(&secrets).into_keys().collect();
        assert_eq!(made, [secrets.join("lock")], "nothing is half made");
        assert!(!secrets.join("keys.new").exists());
    }
    // And a start without any, and with a directory that is none.
    assert!(matches!(refusal(&secrets, &TrusteesFrom::Kept), SecretsError::NoTrustees));
    let nowhere = place.0.join("nowhere");
    assert!(matches!(refusal(&secrets, &files(&nowhere)), SecretsError::NotInCeremony(_)));
    assert!(open(&secrets, &files(&shared.0)).is_ok());
}

#[test]
fn a_directory_keeps_the_trustees_that_it_was_made_with() {
    let shared = shared();
    let (place, foreign) = (Directory::new(), ceremony());
    let (real, demonstration) = (place.0.join("real"), place.0.join("demonstration"));
    drop(open(&real, &files(&shared.0)).unwrap());
    drop(open(&demonstration, &TrusteesFrom::Demonstration).unwrap());
    let before = contents(&place.0);
    let refused = refusal(&real, &TrusteesFrom::Demonstration);
    assert!(matches!(refused, SecretsError::Real(_)) && refused.to_string().contains("real"), "{refused}");
    let refused = refusal(&demonstration, &files(&shared.0));
    assert!(matches!(refused, SecretsError::Demonstration(_)), "{refused}");
    assert!(refused.to_string().contains("take another --directory"), "{refused}");
    assert!(matches!(refusal(&real, &files(&foreign.0)), SecretsError::OtherTrustees(_)));
    // The platform's name, too.
    let other = Secrets::create_or_open(&real, &Name::new("other.example").unwrap(), &TrusteesFrom::Kept);
    let refused: Box<SecretsError> = other.err().unwrap().downcast().unwrap();
    assert!(matches!(*refused, SecretsError::OtherName(_)));
    assert_eq!(contents(&place.0), before);
    // The same are taken again, named or not; also where the directory was copied to.
    let copied = copy_of(&place.0);
    for place in [&place.0, &copied.0] {
        for trustees in [TrusteesFrom::Kept, files(&shared.0)] {
            assert!(open(&place.join("real"), &trustees).is_ok());
        }
        for trustees in [TrusteesFrom::Kept, TrusteesFrom::Demonstration] {
            assert!(open(&place.join("demonstration"), &trustees).is_ok());
        }
    }
    assert_eq!(contents(&place.0), before);
}

/// A secret that is lost is never made anew: it would not fit what is stored.
#[test]
fn a_secret_that_is_gone_or_not_whole_is_told_and_not_replaced() {
    let shared = shared();
    let made = Directory::new();
    let secrets = made.0.join("secrets");
    drop(open(&secrets, &files(&shared.0)).unwrap());
    let whole = contents(&secrets);
    let kept: Vec<_> = whole.keys().filter(|path| path.starts_with(secrets.join("keys"))).collect();
    assert_eq!(kept.len(), 11 + 1 + 3);
    for path in kept {
        let bytes = fs::read(path).unwrap();
        let untouched = path.parent().unwrap().join("elsewhere");
        fs::rename(path, &untouched).unwrap();
        let refused = refusal(&secrets, &TrusteesFrom::Kept);
        assert!(matches!(refused, SecretsError::Lost(_)), "{refused:?}");
        assert!(refused.to_string().contains(&*path.to_string_lossy()), "{refused}");
        assert!(!path.exists());
        // The name has no length of its own.
        if !path.ends_with("name") {
            fs::copy(&untouched, path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
            let refused = refusal(&secrets, &TrusteesFrom::Kept);
            assert!(matches!(refused, SecretsError::Damaged(_)), "{refused:?}");
            assert!(refused.to_string().contains(&*path.to_string_lossy()), "{refused}");
        }
        fs::rename(untouched, path).unwrap();
    }
    assert!(open(&secrets, &TrusteesFrom::Kept).is_ok());
    assert_eq!(contents(&secrets), whole);
}

#[test]
fn secrets_that_others_may_read_are_refused() {
    let place = Directory::new();
    let secrets = place.0.join("secrets");
    drop(open(&secrets, &TrusteesFrom::Demonstration).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (path, closed) in
        [(secrets.clone(), 0o700), (secrets.join("keys"), 0o700), (secrets.join("keys/issuer-key"), 0o600)]
    {
        assert_eq!(mode(&path), closed);
        for opened in [0o040, 0o004, 0o020] {
            fs::set_permissions(&path, fs::Permissions::from_mode(closed | opened)).unwrap();
            let refused = refusal(&secrets, &TrusteesFrom::Kept);
            assert!(matches!(&refused, SecretsError::Open(found) if *found == path), "{refused:?}");
            assert!(refused.to_string().contains("chmod go="), "{refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(closed)).unwrap();
    }
    assert!(open(&secrets, &TrusteesFrom::Kept).is_ok());
}

/// As a kill at any moment of the first start leaves it.
#[test]
fn a_start_that_was_interrupted_leaves_nothing_that_matters() {
    let shared = shared();
    let (made, place) = (Directory::new(), Directory::new());
    drop(open(&made.0.join("secrets"), &TrusteesFrom::Demonstration).unwrap());
    let secrets = place.0.join("secrets");
    // The keys of a start that did not end, some of them, one of them cut off.
    copy(&made.0.join("secrets"), &secrets);
    fs::rename(secrets.join("keys"), secrets.join("keys.new")).unwrap();
    fs::remove_file(secrets.join("keys.new/nonces")).unwrap();
    fs::write(secrets.join("keys.new/issuer-key"), [7; 20]).unwrap();
    fs::rename(secrets.join("public-keys.json"), secrets.join("public-keys.new")).unwrap();
    assert!(matches!(refusal(&secrets, &TrusteesFrom::Kept), SecretsError::NoTrustees));
    drop(open(&secrets, &files(&shared.0)).unwrap());
    let before = contents(&secrets);
    assert!(before.keys().all(|path| !path.to_string_lossy().contains(".new")), "{:?}", before.keys());
    let pins = Pins::read(&secrets.join("public-keys.json"), 2).unwrap();
    // Killed between the keys and what is written beside them.
    fs::remove_file(secrets.join("public-keys.json")).unwrap();
    drop(open(&secrets, &TrusteesFrom::Kept).unwrap());
    assert_eq!(contents(&secrets), before);
    assert_eq!(Pins::read(&secrets.join("public-keys.json"), 2).unwrap().platform_key, pins.platform_key);
}
