//! A trustee's policy, from a file: whom to believe, as in `mod.rs` beside this file, and
//!
//! ```text
//! window 604800                              the budgets' sliding window, in seconds
//! budget open all 10 own 6 requester 4       reviews opened in a window
//! budget same-author all 200 own 100 requester 80
//! cooling-off 86400                          from a warrant's logging to its first answer, in seconds
//! freshness 3600                             how old a checkpoint's cosignatures may be, in seconds
//! ```
//!
//! All trustees of one key should have the same budgets.

use super::Outcome;
use super::trust::Trust;
use unjoin::opening::service::TrusteePolicy;
use unjoin::opening::warrant::{BudgetPolicy, Limit};
use unjoin::token::Trustees;

pub(crate) fn parse(text: &str) -> Outcome<(TrusteePolicy, Trustees)> {
    let (mut window, mut cooling_off, mut freshness) = (None, None, None);
    let (mut opening, mut comparison) = (None, None);
    let mut others = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["window", seconds] => window = Some(seconds.parse()?),
            ["cooling-off", seconds] => cooling_off = Some(seconds.parse()?),
            ["freshness", seconds] => freshness = Some(seconds.parse()?),
            ["budget", action, "all", all, "own", own, "requester", requester] => {
                let limit = Limit { all: all.parse()?, own: own.parse()?, requester: requester.parse()? };
                match action {
                    "open" => opening = Some(limit),
                    "same-author" => comparison = Some(limit),
                    _ => return Err(format!("not an action: {action}").into()),
                }
            }
            _ => {
                others.push_str(line);
                others.push('\n');
            }
        }
    }
    let missing = |what: &str| format!("the policy has no line {what}");
    let trust = Trust::parse(&others, freshness.ok_or_else(|| missing("freshness"))?)?;
    let budgets = BudgetPolicy {
        window: window.ok_or_else(|| missing("window"))?,
        cooling_off: cooling_off.ok_or_else(|| missing("cooling-off"))?,
        opening: opening.ok_or_else(|| missing("budget open"))?,
        comparison: comparison.ok_or_else(|| missing("budget same-author"))?,
    };
    let policy = TrusteePolicy {
        issuers: trust.issuers,
        warrants: trust.requesters,
        budgets,
        reviews: trust.reviews,
        openings: trust.openings,
    };
    Ok((policy, trust.trustees))
}
