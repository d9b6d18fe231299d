//! Whom to believe, from a file: what verifying an opening and answering a warrant have in common.
//!
//! ```text
//! issuer <64 hexadecimal digits>             a published issuing key, X; as many as there are
//! trustee <64 hexadecimal digits>            the trustees' long-term keys, trustee 1 first
//! requester <name> needs <k> actions open,same-author grounds 1,2,3
//! officer <verification key>                 of the requester above
//! ledger reviews                             the policy of the reviews ledger follows
//! log <verification key>
//! witness <verification key>
//! quorum <how many> of which faulty <how many>
//! ledger openings                            the policy of the openings ledger follows
//! log <verification key>
//! ...
//! ```
//!
//! Lines that begin with `#` are remarks.

use super::Outcome;
use unjoin::Name;
use unjoin::algebra::Element;
use unjoin::ledger::{NotePublicKey, WarrantAction, WitnessPolicy, WitnessPublicKey};
use unjoin::opening::warrant::{Requester, WarrantPolicy};
use unjoin::token::{IssuerPublicKey, TrusteePublicKey, Trustees};

/// Whom the reader believes.
pub(crate) struct Trust {
    pub(crate) issuers: Vec<IssuerPublicKey>,
    pub(crate) trustees: Trustees,
    pub(crate) requesters: WarrantPolicy,
    pub(crate) reviews: WitnessPolicy,
    pub(crate) openings: WitnessPolicy,
}

/// One ledger's lines.
#[derive(Default)]
struct LedgerLines {
    log: Option<NotePublicKey>,
    witnesses: Vec<WitnessPublicKey>,
    quorum: Option<(usize, usize)>,
}

impl LedgerLines {
    fn policy(self, freshness: u64) -> Outcome<WitnessPolicy> {
        let (quorum, faulty) = self.quorum.ok_or("a ledger has no quorum")?;
        let log = self.log.ok_or("a ledger has no log")?;
        Ok(WitnessPolicy::new(log, self.witnesses, quorum, faulty, freshness)?)
    }
}

impl Trust {
    /// Checkpoints that must be fresh are cosigned within so many seconds of the reader's clock.
    pub(crate) fn parse(text: &str, freshness: u64) -> Outcome<Self> {
        let (mut issuers, mut trustees, mut requesters) = (Vec::new(), Vec::new(), Vec::<Requester>::new());
        let mut ledgers = [LedgerLines::default(), LedgerLines::default()];
        let mut ledger: Option<usize> = None;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let wrong = || format!("not a line of a trust file: {line}");
            let words: Vec<&str> = line.split(' ').collect();
            match (&words[..], ledger.and_then(|at| ledgers.get_mut(at))) {
                (["issuer", key], _) => {
                    let element = Element::from_bytes(&unhex(key)?).ok_or_else(wrong)?;
                    issuers.push(IssuerPublicKey::new(element));
                }
                (["trustee", key], _) => {
                    trustees.push(TrusteePublicKey::from_bytes(&unhex(key)?).ok_or_else(wrong)?);
                }
                (["requester", name, "needs", needed, "actions", actions, "grounds", grounds], _) => {
                    requesters.push(Requester {
                        name: Name::new(name)?,
                        keys: Vec::new(),
                        needed: needed.parse()?,
                        actions: actions.split(',').map(action).collect::<Result<_, _>>()?,
                        grounds: grounds.split(',').map(str::parse).collect::<Result<_, _>>()?,
                    });
                }
                (["officer", key], _) => {
                    requesters.last_mut().ok_or_else(wrong)?.keys.push(key.parse()?);
                }
                (["ledger", "reviews"], _) => ledger = Some(0),
                (["ledger", "openings"], _) => ledger = Some(1),
                (["log", key], Some(lines)) => lines.log = Some(key.parse()?),
                (["witness", key], Some(lines)) => lines.witnesses.push(key.parse()?),
                (["quorum", quorum, "of", "which", "faulty", faulty], Some(lines)) => {
                    lines.quorum = Some((quorum.parse()?, faulty.parse()?));
                }
                _ => return Err(wrong().into()),
            }
        }
        let [reviews, openings] = ledgers;
        Ok(Self {
            issuers,
            trustees: Trustees::new(trustees)?,
            requesters: WarrantPolicy::new(requesters)?,
            reviews: reviews.policy(freshness)?,
            openings: openings.policy(freshness)?,
        })
    }
}

fn action(word: &str) -> Result<WarrantAction, String> {
    match word {
        "open" => Ok(WarrantAction::Open),
        "same-author" => Ok(WarrantAction::SameAuthor),
        _ => Err(format!("not an action: {word}")),
    }
}

/// A name as text where it is some, else in hexadecimal digits.
pub(crate) fn text(name: &Name) -> String {
    match std::str::from_utf8(name.as_bytes()) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", hex(name.as_bytes())),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Outcome<[u8; 32]> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'));
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    let bytes: Option<Vec<u8>> = digits.collect();
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).ok_or("not 64 hexadecimal digits")?)
}
