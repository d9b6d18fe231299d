//! The public files of the ceremonies.

use super::trust::{hex, unhex};
use super::words::{At, Outcome};
use std::fs;
use std::path::{Path, PathBuf};
use unjoin::opening::SignedCommittee;
use unjoin::opening::ceremony::{CeremonyMessage, CeremonyPlan};
use unjoin::token::{TrusteePublicKey, Trustees};
use unjoin::wire::Message;

/// The directory.
pub(crate) struct Board {
    directory: PathBuf,
}

impl Board {
    pub(crate) fn open(directory: &Path) -> Outcome<Self> {
        fs::create_dir_all(directory).at(directory)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Where a trustee's sealed file lies unless he says otherwise.
    pub(crate) fn sealed(&self, index: u16) -> PathBuf {
        self.directory.join(format!("trustee-{index}.sealed"))
    }

    /// Where a trustee's public key lies.
    pub(crate) fn key(&self, index: u16) -> PathBuf {
        self.directory.join(format!("key-{index}.hex"))
    }

    fn files(&self, start: &str) -> Outcome<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(&self.directory)
            .at(&self.directory)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Outcome<_>>()?;
        let begins =
            |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
        paths.retain(|path| begins(path));
        paths.sort();
        Ok(paths)
    }

    /// key-1.hex, key-2.hex, and on.
    pub(crate) fn trustees(&self) -> Outcome<Trustees> {
        let mut keys = Vec::new();
        while let Ok(text) = fs::read_to_string(self.directory.join(format!("key-{}.hex", keys.len() + 1))) {
            let bytes = unhex(text.trim()).ok().and_then(|bytes| TrusteePublicKey::from_bytes(&bytes));
            keys.push(bytes.ok_or_else(|| format!("key-{}.hex holds no key", keys.len() + 1))?);
        }
        Ok(Trustees::new(keys)?)
    }

    pub(crate) fn write_plan(&self, plan: &CeremonyPlan) -> Outcome<()> {
        let path = self.directory.join(format!("plan-{}.bin", plan.epoch()));
        fs::write(&path, plan.to_bytes()).at(&path)?;
        println!("plan {}: {} of {}", hex(&plan.digest()), plan.threshold(), plan.trustees().count());
        Ok(())
    }

    pub(crate) fn plan(&self, epoch: u32) -> Outcome<Option<CeremonyPlan>> {
        self.read_if_there(format!("plan-{epoch}.bin"))
    }

    fn read_if_there<M: Message>(&self, name: String) -> Outcome<Option<M>> {
        let path = self.directory.join(name);
        if path.exists() { Ok(Some(M::from_bytes(&super::read(&path)?).at(&path)?)) } else { Ok(None) }
    }

    /// Named by what they hold, so that copies of many directories go into one.
    pub(crate) fn write_message(&self, message: &CeremonyMessage) -> Outcome<()> {
        let name = format!("message-{}-{}.bin", message.index(), hex(&message.digest()));
        let path = self.directory.join(name);
        fs::write(&path, message.to_bytes()).at(path)
    }

    pub(crate) fn messages(&self) -> Outcome<Vec<CeremonyMessage>> {
        let read = |path: PathBuf| match CeremonyMessage::from_bytes(&super::read(&path)?) {
            Ok(message) => Ok(Some(message)),
            Err(error) => {
                println!("{}: {error}", path.display());
                Ok(None)
            }
        };
        let messages: Outcome<Vec<Option<CeremonyMessage>>> =
            self.files("message-")?.into_iter().map(read).collect();
        Ok(messages?.into_iter().flatten().collect())
    }

    pub(crate) fn write_committee(&self, signed: &SignedCommittee) -> Outcome<()> {
        let epoch = signed.committee().epoch();
        let path = self.directory.join(format!("committee-{epoch}.bin"));
        fs::write(&path, signed.to_bytes()).at(path)?;
        if let Some(certificate) = signed.certificate() {
            let path = self.directory.join("certificate.bin");
            fs::write(&path, certificate.to_bytes()).at(path)?;
        }
        Ok(())
    }

    pub(crate) fn committee(&self, epoch: u32) -> Outcome<Option<SignedCommittee>> {
        self.read_if_there(format!("committee-{epoch}.bin"))
    }

    /// Following each epoch's signatures from the first.
    pub(crate) fn newest_committee(&self) -> Outcome<Option<SignedCommittee>> {
        let trustees = self.trustees()?;
        let Some(mut newest) = self.committee(1)? else { return Ok(None) };
        newest.verify_first(&trustees)?;
        while let Some(next) = self.committee(newest.committee().epoch() + 1)? {
            next.verify_successor(&trustees, newest.committee())?;
            newest = next;
        }
        Ok(Some(newest))
    }
}
