//! Which of many reviews have one author: pairs to compare, until the classes are known.
//!
//! Every review is compared with one of each class found so far, and joins it or founds one. So
//! m reviews by one author take m - 1 rounds, and by m authors m (m - 1) / 2. The trustees'
//! budget is charged by the reviews of the warrant, whatever the rounds.

use super::{Pair, SameAuthorError, without_round};
use std::collections::VecDeque;
use unjoin_core::algebra::Escrow;
use unjoin_core::token::ReviewId;

/// The state of a comparison of many reviews under one escrow key.
///
/// ```
/// # use unjoin_trustee::same_author::{Pair, Partition, SameAuthorError};
/// # use unjoin_core::algebra::Escrow;
/// # use unjoin_core::token::ReviewId;
/// # fn example(
/// #     reviews: Vec<(ReviewId, Escrow)>,
/// #     rounds: impl Fn(&Pair) -> bool,
/// # ) -> Result<(), SameAuthorError> {
/// let mut partition = Partition::new(reviews)?;
/// while let Some(pair) = partition.next_pair() {
///     partition.take(rounds(&pair)); // one round of the same-author test
/// }
/// for class in partition.classes() {
///     println!("{} reviews by one author", class.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Partition {
    /// In the order of their ids.
    reviews: Vec<(ReviewId, Escrow)>,
    /// Indices of reviews; the first stands for its class.
    classes: Vec<Vec<usize>>,
    /// What has no class yet, in groups that are publicly by one author.
    waiting: VecDeque<Vec<usize>>,
    /// The class that the first group is to be compared with.
    at: usize,
    collusions: Vec<(ReviewId, ReviewId)>,
}

impl Partition {
    /// Begins with two or more reviews, in any order. What is public without a round is taken at
    /// once.
    ///
    /// # Errors
    /// [`SameAuthorError::Pair`] when there are fewer than two, or two with one id;
    /// [`SameAuthorError::OnlySecondEqual`] as for [`without_round`].
    pub fn new(mut reviews: Vec<(ReviewId, Escrow)>) -> Result<Self, SameAuthorError> {
        reviews.sort_unstable_by_key(|review| review.0);
        if reviews.len() < 2 {
            return Err(SameAuthorError::Pair);
        }
        let mut collusions = Vec::new();
        let mut waiting: VecDeque<Vec<usize>> = VecDeque::new();
        for (at, review) in reviews.iter().enumerate() {
            let mut joined = None;
            for (earlier, other) in reviews.iter().enumerate().take(at) {
                match without_round(&Pair::new(*other, *review)?)? {
                    Some(true) => {
                        joined = joined.or(waiting.iter().position(|group| group.contains(&earlier)))
                    }
                    Some(false) => collusions.push((other.0, review.0)),
                    None => {}
                }
            }
            match joined.and_then(|group| waiting.get_mut(group)) {
                Some(group) => group.push(at),
                None => waiting.push_back(vec![at]),
            }
        }
        Ok(Self { reviews, classes: Vec::new(), waiting, at: 0, collusions })
    }

    /// The next pair that needs a round; `None` when the classes are known. The same pair until
    /// its answer is [taken](Self::take).
    pub fn next_pair(&mut self) -> Option<Pair> {
        loop {
            let first = *self.waiting.front()?.first()?;
            let Some(class) = self.classes.get(self.at) else {
                self.classes.extend(self.waiting.pop_front());
                self.at = 0;
                continue;
            };
            let (class, new) = (self.reviews.get(*class.first()?)?, self.reviews.get(first)?);
            let (a, b) = if class.0 < new.0 { (class, new) } else { (new, class) };
            let pair = Pair::new(*a, *b).ok()?;
            if let Ok(None) = without_round(&pair) {
                return Some(pair);
            }
            // Publicly by two: they would share a group otherwise.
            self.at += 1;
        }
    }

    /// Takes the answer for the pair that [`next_pair`](Self::next_pair) gave; nothing happens
    /// without one.
    pub fn take(&mut self, same_author: bool) {
        match self.classes.get_mut(self.at) {
            Some(class) if same_author => {
                class.extend(self.waiting.pop_front().unwrap_or_default());
                self.at = 0;
            }
            Some(_) => self.at += 1,
            None => {}
        }
    }

    /// The reviews by author, once no pair is left; before that, as far as it is known. Classes
    /// and members are in the order of the ids.
    pub fn classes(&self) -> Vec<Vec<ReviewId>> {
        let known = self.classes.iter().chain(&self.waiting);
        let named = |class: &Vec<usize>| {
            let ids = class.iter().filter_map(|at| self.reviews.get(*at)).map(|review| review.0);
            let mut ids: Vec<ReviewId> = ids.collect();
            ids.sort_unstable();
            ids
        };
        let mut classes: Vec<Vec<ReviewId>> = known.map(named).collect();
        classes.sort_unstable();
        classes
    }

    /// Pairs whose first parts are equal and whose second parts are not: two wallets that shared
    /// their randomness. Report them.
    pub fn collusions(&self) -> &[(ReviewId, ReviewId)] {
        &self.collusions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::scalar::Scalar;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use unjoin_core::algebra::{Element, EscrowKey, Generator};

    fn escrow(author: u8, randomness: u64) -> Escrow {
        let key = EscrowKey::new(Element::from_point(Generator::G.mul(&Scalar::from(7u64))).unwrap());
        let author = Generator::Gu.mul(&Scalar::from(u64::from(author) + 1));
        Escrow::seal(&key, &author, &Scalar::from(randomness)).unwrap()
    }

    fn id(at: usize) -> ReviewId {
        ReviewId([at as u8; 32])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_classes_are_the_authors_whatever_their_order(authors in proptest::collection::vec(0u8..4, 2..10)) {
            let reviews: Vec<_> = (0..).zip(&authors).map(|(at, author)| (id(at), escrow(*author, at as u64 + 1))).collect();
            let mut truth: BTreeMap<u8, Vec<ReviewId>> = BTreeMap::new();
            for ((id, _), author) in reviews.iter().zip(&authors) {
                truth.entry(*author).or_default().push(*id);
            }
            let author_of = |id: &ReviewId| authors[usize::from(id.as_bytes()[0])];
            let mut partition = Partition::new(reviews.into_iter().rev().collect()).unwrap();
            let mut rounds = 0;
            while let Some(pair) = partition.next_pair() {
                prop_assert_eq!(partition.next_pair(), Some(pair));
                let (a, b) = pair.review_ids();
                partition.take(author_of(&a) == author_of(&b));
                rounds += 1;
            }
            let mut expected: Vec<_> = truth.into_values().collect();
            expected.sort();
            let (m, classes) = (authors.len(), expected.len());
            prop_assert_eq!(partition.classes(), expected);
            prop_assert!(rounds >= m - 1 && rounds <= m * classes);
            partition.take(true);
            prop_assert_eq!(partition.classes().len(), classes);
        }
    }

    #[test]
    fn what_is_public_needs_no_round() {
        // The same randomness: the same author twice, and another who colluded.
        let shared = [(id(1), escrow(1, 5)), (id(2), escrow(1, 5)), (id(3), escrow(2, 5))];
        let mut partition = Partition::new(shared.to_vec()).unwrap();
        assert_eq!(partition.next_pair(), None);
        assert_eq!(partition.classes(), [vec![id(1), id(2)], vec![id(3)]]);
        assert_eq!(partition.collusions(), [(id(1), id(3)), (id(2), id(3))]);
    }

    #[test]
    fn pairs_that_cannot_be_compared_are_refused() {
        let (one, other) = (escrow(1, 5), escrow(2, 6));
        assert_eq!(Partition::new(vec![(id(1), one)]).unwrap_err(), SameAuthorError::Pair);
        assert_eq!(Partition::new(vec![(id(1), one), (id(1), other)]).unwrap_err(), SameAuthorError::Pair);
        let only_second = Escrow { e1: other.e1, e2: one.e2 };
        let refused = Partition::new(vec![(id(1), one), (id(2), only_second)]);
        assert_eq!(refused.unwrap_err(), SameAuthorError::OnlySecondEqual);
    }
}
