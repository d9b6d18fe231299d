//! The crowds that manifests promise, held against what an auditor has counted.

use super::{History, kind};
use std::collections::BTreeMap;
use unjoin_core::entry::PublishedEntry;
use unjoin_core::token::{CohortManifest, Scope};
use unjoin_core::wire::Message;
use unjoin_core::{Grid, Name, Timestamp};

/// What the auditor knows from elsewhere: from merchants' books, or a look into the order service.
/// What is not in a map is not judged.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use std::collections::BTreeMap;
/// use unjoin_audit::{CountedElsewhere, audit_manifests};
/// use unjoin_core::{Grid, Name};
/// # let shop = Shop::open();
/// # let history = shop.ledger(&shop.accepted()).history();
/// let counted = CountedElsewhere {
///     grid: Grid::Weekly,
///     classes: 1,
///     orders: BTreeMap::from([(Name::new("lamps")?, 417)]),
///     grants: BTreeMap::new(), // nobody has looked into the order service
/// };
/// assert!(audit_manifests(&history, &counted).findings.is_empty());
/// # Ok::<(), unjoin_core::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CountedElsewhere {
    /// The grid of the platform's boundaries.
    pub grid: Grid,
    /// Into how many outcome classes the platform sorts orders: of each merchant and class one
    /// cohort is open under an issuing key.
    pub classes: usize,
    /// How many orders each merchant has had since the ledger began.
    pub orders: BTreeMap<Name, u64>,
    /// How many tokens were granted in each cohort.
    pub grants: BTreeMap<Scope, u64>,
}

/// What the manifests of a ledger add up to.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use std::collections::BTreeMap;
/// # use unjoin_audit::{CountedElsewhere, audit_manifests};
/// # use unjoin_core::{Grid, Name};
/// # let shop = Shop::open();
/// # let history = shop.ledger(&shop.accepted()).history();
/// # let counted = CountedElsewhere { grid: Grid::Weekly, classes: 1, orders: BTreeMap::new(), grants: BTreeMap::new() };
/// # let lamps = Name::new("lamps")?;
/// let report = audit_manifests(&history, &counted);
/// // The merchant compares the sum with its orders.
/// assert_eq!(report.at_least[&lamps], 20);
/// assert_eq!(report.published.values().sum::<u64>(), 1);
/// # Ok::<(), unjoin_core::NameError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestReport {
    /// How many cohorts of each merchant are first published at each boundary.
    pub first_published: BTreeMap<(Name, Timestamp), usize>,
    /// The sum over each merchant's cohorts of the customers that they promise at the least.
    pub at_least: BTreeMap<Name, u64>,
    /// How many reviews were published of each cohort.
    pub published: BTreeMap<Scope, u64>,
    /// What is wrong, in the order of the ledger, and then by merchant and by cohort.
    pub findings: Vec<ManifestFinding>,
}

/// Something that a manifest says and that cannot be.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use std::collections::BTreeMap;
/// # use unjoin_audit::{CountedElsewhere, audit_manifests};
/// # use unjoin_core::{Grid, Name};
/// use unjoin_audit::ManifestFinding;
/// # let shop = Shop::open();
/// # let history = shop.ledger(&shop.accepted()).history();
/// # let merchant = Name::new("lamps")?;
/// # let orders = BTreeMap::from([(merchant.clone(), 12)]);
/// # let counted = CountedElsewhere { grid: Grid::Weekly, classes: 1, orders, grants: BTreeMap::new() };
/// // The manifest promises a crowd of twenty to a merchant that had twelve orders.
/// let found = audit_manifests(&history, &counted).findings;
/// assert_eq!(found, [ManifestFinding::MoreCustomersThanOrders { merchant, at_least: 20, orders: 12 }]);
/// # Ok::<(), unjoin_core::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestFinding {
    /// A cohort has a second manifest, which says something else: anybody who sees only one of them
    /// is in a crowd of their own.
    SecondManifest {
        /// The cohort.
        scope: Scope,
        /// The second one's index.
        index: u64,
    },
    /// A manifest has a date that is no boundary: a date of its own is a mark.
    OffGrid {
        /// The manifest's index.
        index: u64,
    },
    /// More than two cohorts for each of a merchant's classes are first published at once: a crowd
    /// was split. (One of a class is sealed at a boundary, and what a late tick seals is published
    /// with what the next boundary does.)
    TooManyCohorts {
        /// The merchant.
        merchant: Name,
        /// When they are first published.
        first_publication: Timestamp,
        /// How many, under one issuing key.
        cohorts: usize,
    },
    /// The cohorts of a merchant promise more customers than it had orders: some of them are
    /// nobody.
    MoreCustomersThanOrders {
        /// The merchant.
        merchant: Name,
        /// How many customers are promised at the least.
        at_least: u64,
        /// How many orders there were.
        orders: u64,
    },
    /// A manifest promises more customers than were granted a token.
    FewerGrantsThanPromised {
        /// The cohort.
        scope: Scope,
        /// How many customers are promised at the least.
        at_least: u64,
        /// How many tokens were granted.
        grants: u64,
    },
    /// More reviews of a cohort were published than tokens were granted: somebody who has the
    /// issuing key makes tokens.
    MoreReviewsThanGrants {
        /// The cohort.
        scope: Scope,
        /// How many were published.
        published: u64,
        /// How many tokens were granted.
        grants: u64,
    },
}

/// Adds up what the manifests of a reviews ledger promise, and names what cannot be.
///
/// These checks are necessary, and not enough: real crowds are larger than the promised floors,
/// so a few false customers hide in the difference.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use std::collections::BTreeMap;
/// use unjoin_audit::{CountedElsewhere, ManifestFinding, audit_manifests};
/// use unjoin_core::Grid;
/// # let shop = Shop::open();
/// # let history = shop.ledger(&shop.accepted()).history();
/// # let scope = shop.offer().scope;
/// let grants = BTreeMap::from([(scope.clone(), 21)]);
/// let counted = CountedElsewhere { grid: Grid::Weekly, classes: 1, orders: BTreeMap::new(), grants };
/// assert!(audit_manifests(&history, &counted).findings.is_empty());
/// // Nineteen tokens make no crowd of twenty.
/// let counted = CountedElsewhere { grants: BTreeMap::from([(scope.clone(), 19)]), ..counted };
/// let promised = ManifestFinding::FewerGrantsThanPromised { scope, at_least: 20, grants: 19 };
/// assert_eq!(audit_manifests(&history, &counted).findings, [promised]);
/// ```
pub fn audit_manifests(history: &History, counted: &CountedElsewhere) -> ManifestReport {
    let mut report = ManifestReport::default();
    let mut manifests: BTreeMap<Scope, CohortManifest> = BTreeMap::new();
    let mut of_key: BTreeMap<([u8; 32], Name, Timestamp), usize> = BTreeMap::new();
    for (entry, index) in history.entries().iter().zip(0u64..) {
        match kind(entry) {
            Some(CohortManifest::KIND) => {
                let Ok(manifest) = CohortManifest::from_bytes(entry) else { continue };
                let (scope, dates) = (manifest.scope.clone(), manifest.publications);
                if dates.as_slice().iter().any(|date| counted.grid.at_or_before(*date) != Some(*date)) {
                    report.findings.push(ManifestFinding::OffGrid { index });
                }
                if manifests.contains_key(&scope) {
                    report.findings.push(ManifestFinding::SecondManifest { scope, index });
                    continue;
                }
                let merchant = scope.merchant();
                *report.first_published.entry((merchant.clone(), dates.first())).or_default() += 1;
                *of_key.entry((*scope.key_id(), merchant.clone(), dates.first())).or_default() += 1;
                *report.at_least.entry(merchant.clone()).or_default() += u64::from(manifest.at_least);
                manifests.insert(scope, manifest);
            }
            Some(PublishedEntry::KIND) => {
                let Ok(published) = PublishedEntry::from_bytes(entry) else { continue };
                *report.published.entry(published.scope).or_default() += 1;
            }
            _ => {}
        }
    }
    let most = counted.classes.saturating_mul(2);
    let split = of_key.into_iter().filter(|(_, cohorts)| *cohorts > most);
    report.findings.extend(split.map(|((_, merchant, first_publication), cohorts)| {
        ManifestFinding::TooManyCohorts { merchant, first_publication, cohorts }
    }));
    for (merchant, orders) in &counted.orders {
        let (merchant, orders) = (merchant.clone(), *orders);
        let at_least = report.at_least.get(&merchant).copied().unwrap_or_default();
        if at_least > orders {
            report.findings.push(ManifestFinding::MoreCustomersThanOrders { merchant, at_least, orders });
        }
    }
    for (scope, grants) in &counted.grants {
        let (scope, grants) = (scope.clone(), *grants);
        let at_least = manifests.get(&scope).map_or(0, |manifest| u64::from(manifest.at_least));
        let published = report.published.get(&scope).copied().unwrap_or_default();
        if at_least > grants {
            let scope = scope.clone();
            report.findings.push(ManifestFinding::FewerGrantsThanPromised { scope, at_least, grants });
        }
        if published > grants {
            report.findings.push(ManifestFinding::MoreReviewsThanGrants { scope, published, grants });
        }
    }
    report
}
