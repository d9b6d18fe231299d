//! Whom to believe, from a file: the same for auditing, verifying an opening, and answering warrants. [`HELP`] tells
//! its lines; each program needs some of them and ignores the others.

use super::words::{At, Outcome};
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use unjoin::Name;
use unjoin::algebra::Element;
use unjoin::ledger::{Ledger, NotePublicKey, WarrantAction, WitnessPolicy, WitnessPublicKey};
use unjoin::opening::service::TrusteePolicy;
use unjoin::opening::warrant::{BudgetPolicy, Limit, Requester, WarrantPolicy};
use unjoin::token::{IssuerPublicKey, TrusteePublicKey, Trustees};

/// The end of each program's `--help`.
pub(crate) const HELP: &str = "\
The trust file says whom you believe, one line each. Lines that begin with # are remarks. One file serves all
programs; lines that a program does not need may be left out.

  ledger reviews                        the lines of the reviews ledger follow
  log <verification key>
  witness <verification key>            as many as there are
  quorum <how many> of which faulty <how many>
  ledger openings                       the lines of the openings ledger follow: log, witness, quorum

  issuer <64 hexadecimal digits>        a published issuing key; as many as there are
  trustee <64 hexadecimal digits>       the trustees' long-term keys, trustee 1 first
  requester <name> needs <k> actions open,same-author grounds 1,2,3
  officer <verification key>            of the requester above; as many as there are

  window 604800                         the budgets' sliding window, in seconds
  budget open all 10 own 6 requester 4  reviews opened in a window
  budget same-author all 200 own 100 requester 80
  cooling-off 86400                     from a warrant's logging to its first answer, in seconds
  freshness 3600                        how old a checkpoint's cosignatures may be, in seconds

Get the lines from the trustees, the witnesses and the platform's publications, not from whoever gave you what you
check. Auditing reviews needs `ledger reviews`; verifying an opening both ledgers, issuers, trustees and requesters;
auditing openings, and being a trustee, all of it.";

/// Whom the reader believes, and a trustee's budgets.
pub(crate) struct TrustFile {
    path: PathBuf,
    issuers: Vec<IssuerPublicKey>,
    trustees: Vec<TrusteePublicKey>,
    /// Each with the number of its line.
    requesters: Vec<(usize, Requester)>,
    reviews: Option<LedgerLines>,
    openings: Option<LedgerLines>,
    window: Option<u64>,
    cooling_off: Option<u64>,
    freshness: Option<u64>,
    opening: Option<Limit>,
    comparison: Option<Limit>,
}

/// One ledger's lines, and the number of the line that names it.
struct LedgerLines {
    line: usize,
    log: Option<NotePublicKey>,
    witnesses: Vec<WitnessPublicKey>,
    quorum: Option<(usize, usize)>,
}

impl TrustFile {
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let text = fs::read_to_string(path).at(path)?;
        let (path, requesters) = (path.to_owned(), Vec::new());
        let (issuers, trustees, reviews, openings) = Default::default();
        let (window, cooling_off, freshness, opening, comparison) = Default::default();
        let mut file = Self {
            path,
            issuers,
            trustees,
            requesters,
            reviews,
            openings,
            window,
            cooling_off,
            freshness,
            opening,
            comparison,
        };
        let mut ledger = None;
        for (number, line) in (1..).zip(text.lines()) {
            file.take(number, line, &mut ledger).map_err(|error| file.wrong(number, &error))?;
        }
        for (number, requester) in &file.requesters {
            // One by one, so that it can be said which.
            WarrantPolicy::new(vec![requester.clone()]).map_err(|error| file.wrong(*number, &error))?;
        }
        Ok(file)
    }

    fn take(&mut self, number: usize, line: &str, ledger: &mut Option<Ledger>) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            [remark, ..] if remark.starts_with('#') => {}
            ["issuer", key] => {
                let element = Element::from_bytes(&unhex(key)?).ok_or("not an issuing key")?;
                self.issuers.push(IssuerPublicKey::new(element));
            }
            ["trustee", key] => {
                self.trustees.push(TrusteePublicKey::from_bytes(&unhex(key)?).ok_or("not a trustee's key")?);
            }
            ["requester", name, "needs", needed, "actions", actions, "grounds", grounds] => {
                let requester = Requester {
                    name: Name::new(name).map_err(words_of)?,
                    keys: Vec::new(),
                    needed: read(needed)?,
                    actions: actions.split(',').map(action).collect::<Result<_, _>>()?,
                    grounds: grounds.split(',').map(read).collect::<Result<_, _>>()?,
                };
                self.requesters.push((number, requester));
            }
            ["officer", key] => {
                let (_, requester) =
                    self.requesters.last_mut().ok_or("an officer of no requester: put it behind one")?;
                requester.keys.push(read(key)?);
            }
            ["ledger", name] => {
                *ledger = Some(match name {
                    "reviews" => Ledger::Reviews,
                    "openings" => Ledger::Openings,
                    _ => {
                        return Err(format!(
                            "there is no ledger of {name}: the two are reviews and openings"
                        ));
                    }
                });
                let lines = LedgerLines { line: number, log: None, witnesses: Vec::new(), quorum: None };
                once(self.lines_of(*ledger)?, lines)?;
            }
            ["log", key] => once(&mut self.begun(*ledger)?.log, read(key)?)?,
            ["witness", key] => self.begun(*ledger)?.witnesses.push(read(key)?),
            ["quorum", quorum, "of", "which", "faulty", faulty] => {
                once(&mut self.begun(*ledger)?.quorum, (read(quorum)?, read(faulty)?))?;
            }
            ["window", seconds] => once(&mut self.window, read(seconds)?)?,
            ["cooling-off", seconds] => once(&mut self.cooling_off, read(seconds)?)?,
            ["freshness", seconds] => once(&mut self.freshness, read(seconds)?)?,
            ["budget", of, "all", all, "own", own, "requester", requester] => {
                let limit = Limit { all: read(all)?, own: read(own)?, requester: read(requester)? };
                match action(of)? {
                    WarrantAction::Open => once(&mut self.opening, limit)?,
                    _ => once(&mut self.comparison, limit)?,
                }
            }
            _ => return Err(format!("not a line of a trust file: {line}")),
        }
        Ok(())
    }

    fn lines_of(&mut self, ledger: Option<Ledger>) -> Result<&mut Option<LedgerLines>, String> {
        match ledger {
            Some(Ledger::Reviews) => Ok(&mut self.reviews),
            Some(Ledger::Openings) => Ok(&mut self.openings),
            _ => {
                Err("of which ledger? Put it behind a line `ledger reviews` or `ledger openings`".to_owned())
            }
        }
    }

    fn begun(&mut self, ledger: Option<Ledger>) -> Result<&mut LedgerLines, String> {
        Ok(self.lines_of(ledger)?.as_mut().ok_or("of which ledger?")?)
    }

    fn wrong(&self, line: usize, error: &dyn Display) -> String {
        format!("{}: line {line}: {error}", self.path.display())
    }

    fn needs<T>(&self, line: Option<T>, what: &str) -> Outcome<T> {
        Ok(line.ok_or_else(|| format!("{} has no line `{what}`", self.path.display()))?)
    }

    /// Whose checkpoints of a ledger are believed; where they must be fresh, they are cosigned within so many
    /// seconds of the reader's clock.
    pub(crate) fn ledger(&self, ledger: Ledger, freshness: u64) -> Outcome<WitnessPolicy> {
        let (lines, name) = match ledger {
            Ledger::Reviews => (&self.reviews, "ledger reviews"),
            _ => (&self.openings, "ledger openings"),
        };
        let lines = self.needs(lines.as_ref(), name)?;
        let missing = |what: &str| self.wrong(lines.line, &format!("no line `{what}` follows"));
        let log = lines.log.clone().ok_or_else(|| missing("log"))?;
        let (quorum, faulty) = lines.quorum.ok_or_else(|| missing("quorum"))?;
        let policy = WitnessPolicy::new(log, lines.witnesses.clone(), quorum, faulty, freshness);
        Ok(policy.map_err(|error| self.wrong(lines.line, &error))?)
    }

    pub(crate) fn issuers(&self) -> Outcome<Vec<IssuerPublicKey>> {
        self.needs(self.issuers.first(), "issuer")?;
        Ok(self.issuers.clone())
    }

    pub(crate) fn trustees(&self) -> Outcome<Trustees> {
        self.needs(self.trustees.first(), "trustee")?;
        Trustees::new(self.trustees.clone()).at(&self.path)
    }

    pub(crate) fn requesters(&self) -> Outcome<WarrantPolicy> {
        self.needs(self.requesters.first(), "requester")?;
        WarrantPolicy::new(self.requesters.iter().map(|(_, requester)| requester.clone()).collect())
            .at(&self.path)
    }

    /// By what a trustee answers. All trustees of one key should have the same budgets.
    pub(crate) fn trustee_policy(&self) -> Outcome<(TrusteePolicy, Trustees)> {
        let freshness = self.needs(self.freshness, "freshness")?;
        let budgets = BudgetPolicy {
            window: self.needs(self.window, "window")?,
            cooling_off: self.needs(self.cooling_off, "cooling-off")?,
            opening: self.needs(self.opening, "budget open")?,
            comparison: self.needs(self.comparison, "budget same-author")?,
        };
        let policy = TrusteePolicy {
            issuers: self.issuers()?,
            warrants: self.requesters()?,
            budgets,
            reviews: self.ledger(Ledger::Reviews, freshness)?,
            openings: self.ledger(Ledger::Openings, freshness)?,
        };
        Ok((policy, self.trustees()?))
    }
}

/// A line that may stand once.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    if place.replace(value).is_some() { Err("said before".to_owned()) } else { Ok(()) }
}

fn words_of(error: impl Display) -> String {
    error.to_string()
}

fn read<T: FromStr<Err: Display>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error| format!("{word}: {error}"))
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

pub(crate) fn unhex(text: &str) -> Result<[u8; 32], String> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'));
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    let bytes: Option<Vec<u8>> = digits.collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| "not 64 hexadecimal digits".to_owned())
}
