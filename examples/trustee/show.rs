//! Warrants and budgets in plain words.

use super::Where;
use super::trust::{hex, text};
use super::words::Outcome;
use std::io::Write;
use unjoin::Timestamp;
use unjoin::ledger::WarrantAction;
use unjoin::opening::service::{Status, Used};
use unjoin::opening::warrant::PresentedWarrant;

/// `show-warrant`.
pub(crate) fn warrant(presented: &PresentedWarrant, at: &Where, screen: &mut dyn Write) -> Outcome<()> {
    let trustee = at.open()?;
    let terms = presented.terms();
    tell_terms(presented, screen)?;
    let view = at.view();
    let status = trustee.status(Some(terms.requester()), &view)?;
    match trustee.policy().warrants.check(presented.warrant(), status.followed.time) {
        Ok(()) => {
            writeln!(screen, "Signatures:  they hold, enough officers have signed, and it is in force")?
        }
        Err(refused) => writeln!(screen, "Refused:     {refused}")?,
    }
    let logged = trustee.logged(presented, &view)?;
    match logged {
        Some((index, _)) => writeln!(screen, "Logged:      yes, as entry {index} of the openings ledger")?,
        None => writeln!(screen, "Logged:      not as it stands; nothing is answered before that")?,
    }
    tell_status(&status, screen)?;
    // A comparison may be charged as openings.
    let (used, cost) = match logged.map_or(terms.action(), |(_, charged)| charged) {
        WarrantAction::Open => (status.openings, "openings"),
        WarrantAction::SameAuthor => (status.comparisons, "comparisons"),
    };
    let Used { limit, .. } = used;
    let left = |limit: u32, used: u32| limit.saturating_sub(used);
    writeln!(
        screen,
        "It needs:    {} {cost}; {} are left to all, {} to you, {} to this requester",
        terms.reviews().len(),
        left(limit.all, used.all),
        left(limit.own, used.own),
        left(limit.requester, used.requester)
    )?;
    Ok(())
}

/// `status`.
pub(crate) fn status(at: &Where, screen: &mut dyn Write) -> Outcome<()> {
    let trustee = at.open()?;
    let status = trustee.status(None, &at.view())?;
    writeln!(screen, "You are trustee {}, with a share of epoch {}", trustee.index(), status.epoch)?;
    tell_status(&status, screen)?;
    Ok(())
}

pub(crate) fn tell_terms(presented: &PresentedWarrant, screen: &mut dyn Write) -> Outcome<()> {
    let terms = presented.terms();
    let asks = match terms.action() {
        WarrantAction::Open => "who wrote each of these reviews",
        WarrantAction::SameAuthor => "which of these reviews have one author; nobody is named",
    };
    writeln!(screen, "Asked by:    {}", text(terms.requester()))?;
    writeln!(screen, "Case:        {}, on grounds {}", terms.case(), terms.grounds())?;
    writeln!(screen, "Asks:        {asks}")?;
    for review in terms.reviews() {
        writeln!(screen, "             {}", hex(review.as_bytes()))?;
    }
    writeln!(screen, "In force:    from {} to {}", utc(terms.not_before()), utc(terms.not_after()))?;
    writeln!(screen, "Goes to:     whoever has the secret of {}", hex(terms.recipient()))?;
    Ok(())
}

fn tell_status(status: &Status, screen: &mut dyn Write) -> Outcome<()> {
    writeln!(screen, "Ledger:      {} entries, as of {}", status.followed.size, utc(status.followed.time))?;
    for (what, used) in [("opened", status.openings), ("compared", status.comparisons)] {
        writeln!(
            screen,
            "In a window: {} of {} reviews {what} by all, {} of {} by you",
            used.all, used.limit.all, used.own, used.limit.own
        )?;
    }
    if status.pending > 0 {
        writeln!(screen, "Waiting:     {} entries of yours are not in the ledger yet", status.pending)?;
    }
    Ok(())
}

/// ISO 8601, in UTC. The civil date from days is Howard Hinnant's.
pub(crate) fn utc(time: Timestamp) -> String {
    let seconds = time.as_unix_seconds();
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let in_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * in_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let (year, date) = (year + era * 400 + u64::from(month <= 2), in_year - (153 * from_march + 2) / 5 + 1);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{date:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::utc;
    use unjoin::Timestamp;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let shown = |seconds| utc(Timestamp::from_unix_seconds(seconds));
        assert_eq!(shown(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(shown(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(shown(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(shown(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(shown(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }
}
