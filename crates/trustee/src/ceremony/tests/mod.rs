//! Whole ceremonies in one process, each trustee with a mailbox of his own.

mod commit;
mod faults;
mod keys;
mod messages;

use super::*;
use crate::test_util::history_of;
use crate::{TrusteeSecrets, TrusteeShare};
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::token::{TrusteeKey, Trustees};
use unjoin_core::wire::Message;

/// What came of a ceremony for one trustee: `None` while he waits.
pub(super) type Verdict = Result<Option<SignedCommittee>, CeremonyError>;

/// n trustees about to run a ceremony.
pub(super) struct World {
    pub(super) plan: CeremonyPlan,
    pub(super) secrets: Vec<TrusteeSecrets>,
    pub(super) mailboxes: Vec<Vec<CeremonyMessage>>,
    pub(super) verdicts: Vec<Verdict>,
    /// The openings ledger: the committees that were logged.
    pub(super) ledger: Vec<Vec<u8>>,
}

impl World {
    pub(super) fn new(threshold: u16, trustees: u16) -> Self {
        let rng = &mut SystemRng::new();
        let secrets: Vec<_> = (0..trustees).map(|_| TrusteeSecrets::generate(rng)).collect();
        let keys = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect()).unwrap();
        Self::of(secrets, CeremonyPlan::key_generation(threshold, keys, rng).unwrap())
    }

    /// These trustees, with what they hold, under this plan.
    pub(super) fn of(mut secrets: Vec<TrusteeSecrets>, plan: CeremonyPlan) -> Self {
        for index in plan.members() {
            secrets[usize::from(*index) - 1]
                .join(plan.clone(), plan.threshold(), &mut SystemRng::new())
                .unwrap();
        }
        let count = secrets.len();
        let (mailboxes, verdicts) = (vec![Vec::new(); count], vec![Ok(None); count]);
        Self { plan, secrets, mailboxes, verdicts, ledger: Vec::new() }
    }

    /// The next ceremony of the same trustees: a refresh by these members.
    pub(super) fn refresh(self, members: Vec<u16>) -> Self {
        let signed = self.secrets[usize::from(members[0]) - 1].committee().unwrap().clone();
        let trustees = self.plan.trustees().clone();
        let plan = CeremonyPlan::refresh(signed.committee(), trustees, members, &mut SystemRng::new());
        let ledger = self.ledger;
        Self { ledger, ..Self::of(self.secrets, plan.unwrap()) }
    }

    /// Logs a committee; those of its members who are not in it yet take its share.
    pub(super) fn log(&mut self, signed: &SignedCommittee) {
        self.ledger.push(signed.to_bytes());
        if self.plan.is_refresh() {
            let history = history_of(&self.ledger);
            for index in self.plan.members() {
                self.secrets[usize::from(*index) - 1].commit(&history).unwrap();
            }
        }
    }

    /// A trustee's long-term key, in the hands of somebody who does not follow the rules.
    pub(super) fn key(&self, index: u16) -> TrusteeKey {
        let seed = *self.secrets[usize::from(index) - 1].identity().seed().expose();
        TrusteeKey::from_secret_bytes(SecretBytes::new(seed))
    }

    /// Runs to the end, or until nobody moves. `deliver` says what of a message reaches whom.
    pub(super) fn run(
        mut self,
        mut deliver: impl FnMut(&CeremonyMessage, u16) -> Vec<CeremonyMessage>,
    ) -> Self {
        loop {
            let mut moved = false;
            for at in 0..self.secrets.len() {
                if self.secrets[at].plan().is_none() || !matches!(self.verdicts[at], Ok(None)) {
                    continue;
                }
                match self.secrets[at].next(&self.mailboxes[at], &mut SystemRng::new()) {
                    Ok(Step::Publish(message)) => {
                        moved = true;
                        for (to, mailbox) in (1..).zip(&mut self.mailboxes) {
                            match usize::from(to) == at + 1 {
                                true => mailbox.push(message.clone()),
                                false => mailbox.extend(deliver(&message, to)),
                            }
                        }
                    }
                    Ok(Step::Wait { .. }) => {}
                    Ok(Step::Finished(signed)) => {
                        moved = true;
                        self.verdicts[at] = Ok(Some(signed));
                    }
                    Err(error) => self.verdicts[at] = Err(error),
                }
            }
            if !moved {
                return self;
            }
        }
    }

    /// Everybody is honest, and the committee is logged.
    pub(super) fn finish(self) -> Self {
        let mut world = self.run(|message, _| vec![message.clone()]);
        for index in world.plan.members() {
            assert!(matches!(world.verdicts[usize::from(*index) - 1], Ok(Some(_))), "{:?}", world.verdicts);
        }
        let first = usize::from(world.plan.members()[0]) - 1;
        let Ok(Some(signed)) = world.verdicts[first].clone() else { panic!("{:?}", world.verdicts) };
        world.log(&signed);
        world
    }

    pub(super) fn signed(&self) -> &SignedCommittee {
        self.secrets[usize::from(self.plan.members()[0]) - 1].committee().unwrap()
    }

    pub(super) fn share(&self, index: u16) -> &TrusteeShare {
        self.secrets[usize::from(index) - 1].share().unwrap()
    }
}

/// All messages of all mailboxes, once.
pub(super) fn together(mailboxes: &[Vec<CeremonyMessage>]) -> Vec<CeremonyMessage> {
    let mut all: Vec<CeremonyMessage> = Vec::new();
    for message in mailboxes.iter().flatten() {
        if !all.contains(message) {
            all.push(message.clone());
        }
    }
    all
}
