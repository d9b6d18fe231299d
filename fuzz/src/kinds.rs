//! Every kind of message of the wire.

use unjoin::token::{DoorAnswer, DoorMessage};
use unjoin::wire::Message;

/// Runs `$do!(Type)` for each.
#[macro_export]
macro_rules! for_every_kind {
    ($do:ident) => {
        $do!(unjoin::token::Enrolment);
        $do!(unjoin::token::TokenRequest);
        $do!(unjoin::token::Grant);
        $do!(unjoin::token::Presentation);
        $do!(unjoin::token::AuthorAction);
        $do!(unjoin::opening::DecryptionShare);
        $do!(unjoin::opening::same_author::Blind);
        $do!(unjoin::opening::same_author::ComparisonShare);
        $do!(unjoin::token::Accepted);
        $do!(unjoin::token::Offer);
        $do!(unjoin::token::CohortManifest);
        $do!(unjoin::token::SignedManifest);
        $do!(unjoin::token::Review);
        $do!(unjoin::token::Receipt);
        $do!(unjoin::token::ActionReceipt);
        $do!(unjoin::token::StateQuestion);
        $do!(unjoin::token::ReviewState);
        $do!(unjoin::token::DoorMessage);
        $do!(unjoin::token::DoorAnswer);
        $do!(unjoin_wallet::SealedBackup);
        $do!(unjoin::ledger::PublishedEntry);
        $do!(unjoin::ledger::ActionEntry);
        $do!(unjoin::ledger::HeldWithdrawalEntry);
        $do!(unjoin::ledger::RemovedEntry);
        $do!(unjoin::ledger::StaffKeyEntry);
        $do!(unjoin::ledger::RecoveredEntry);
        $do!(unjoin::ledger::StoreMarkEntry);
        $do!(unjoin::ledger::DoorKeyEntry);
        $do!(unjoin_door::BundlePiece);
        $do!(unjoin::ledger::InclusionProof);
        $do!(unjoin::ledger::CosignedEntry);
        $do!(unjoin::ledger::BindingEntry);
        $do!(unjoin::ledger::WarrantEntry);
        $do!(unjoin::ledger::ShareReleasedEntry);
        $do!(unjoin::ledger::RoundEntry);
        $do!(unjoin::ledger::BlindEntry);
        $do!(unjoin::ledger::ComparedEntry);
        $do!(unjoin::ledger::DisclosedEntry);
        $do!(unjoin::opening::ceremony::CeremonyPlan);
        $do!(unjoin::opening::ceremony::CeremonyMessage);
        $do!(unjoin::opening::SignedCommittee);
        $do!(unjoin::token::EscrowKeyCertificate);
        $do!(unjoin::opening::SealedTrusteeSecrets);
        $do!(unjoin::opening::warrant::PresentedWarrant);
        $do!(unjoin::opening::ReviewEvidence);
        $do!(unjoin::opening::SealedShare);
        $do!(unjoin::opening::Opening);
    };
}

/// The kinds' numbers.
pub const KINDS: [u8; 45] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25, 26, 27, 28, 30,
    31, 32, 33, 34, 35, 36, 41, 42, 43, 44, 45, 50, 51, 52, 53, 54, 55,
];

/// The shortest sealed part of a backup or of a trustee's secrets: 16,384 bytes and a tag of 16.
const SEALED: usize = 16_384;
/// A backup's header and the tag.
const BACKUP: usize = 58 + 16;

/// The bytes to decode: an input as it stands, but for a sealed file (kinds 14, 36) its first 74 bytes with 16,384
/// zero bytes behind them, and for what passes the door (kinds 23, 31) with zeros up to its one length: so that
/// short inputs reach what only long ones are.
pub fn stretched(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    match data.get(1) {
        Some(14 | 36) if data.len() >= BACKUP => {
            let rest = bytes.split_off(BACKUP);
            bytes.resize(BACKUP + SEALED, 0);
            bytes.extend(rest);
        }
        Some(&DoorMessage::KIND) => bytes.resize(data.len().max(DoorMessage::LENGTH), 0),
        Some(&DoorAnswer::KIND) => bytes.resize(data.len().max(DoorAnswer::LENGTH), 0),
        _ => {}
    }
    bytes
}
