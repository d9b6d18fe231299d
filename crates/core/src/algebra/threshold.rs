//! Shamir sharing over the scalar field: polynomials in clear and in the exponent, and
//! interpolation at zero (Shamir 1979; Feldman 1987). Indices are 1-based, at most 64.

use crate::algebra::group::Element;
use curve25519_dalek::{
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{IsIdentity, VartimeMultiscalarMul},
};

/// The polynomial's value at `index`, constant coefficient first (Horner), in constant time.
#[doc(hidden)]
pub fn evaluate(coefficients: &[Scalar], index: u16) -> Scalar {
    let at = Scalar::from(index);
    coefficients.iter().rev().fold(Scalar::ZERO, |sum, coefficient| sum * at + coefficient)
}

/// The value at `index` of the polynomial whose coefficients are in the exponent, constant
/// coefficient first. Public data, in variable time.
#[doc(hidden)]
pub fn evaluate_in_exponent(coefficients: &[RistrettoPoint], index: u16) -> RistrettoPoint {
    let at = Scalar::from(index);
    let powers = core::iter::successors(Some(Scalar::ONE), |power| Some(power * at));
    let powers: Vec<Scalar> = powers.take(coefficients.len()).collect();
    RistrettoPoint::vartime_multiscalar_mul(powers, coefficients)
}

/// Numerator and denominator of the Lagrange coefficient of `index` for interpolation at `at`
/// over `indices`, which are distinct and hold `index`. The denominator is not zero. Public data.
fn lagrange_parts(indices: &[u16], index: u16, at: u16) -> (Scalar, Scalar) {
    let own = Scalar::from(index);
    let at = Scalar::from(at);
    let (mut numerator, mut denominator) = (Scalar::ONE, Scalar::ONE);
    for other in indices.iter().filter(|other| **other != index) {
        let other = Scalar::from(*other);
        numerator *= at - other;
        denominator *= own - other;
    }
    (numerator, denominator)
}

/// The Lagrange coefficient itself.
#[doc(hidden)]
pub fn lagrange(indices: &[u16], index: u16, at: u16) -> Scalar {
    let (numerator, denominator) = lagrange_parts(indices, index, at);
    numerator * denominator.invert()
}

/// Interpolates public points, given with their distinct indices, at `at`; in variable time.
#[doc(hidden)]
pub fn interpolate(shares: &[(u16, RistrettoPoint)], at: u16) -> RistrettoPoint {
    let indices: Vec<u16> = shares.iter().map(|(index, _)| *index).collect();
    let parts = indices.iter().map(|index| lagrange_parts(&indices, *index, at));
    let (numerators, mut inverses): (Vec<Scalar>, Vec<Scalar>) = parts.unzip();
    // One inversion for all of them.
    Scalar::invert_batch_alloc(&mut inverses);
    let coefficients = numerators.iter().zip(&inverses).map(|(numerator, inverse)| numerator * inverse);
    RistrettoPoint::vartime_multiscalar_mul(coefficients, shares.iter().map(|(_, point)| point))
}

/// Whether the points at 1..=n lie on one polynomial of degree *exactly* `t - 1` whose value
/// at zero is `constant`. A lower degree would let fewer than t shares suffice.
///
/// By finite differences: values at 0, 1, .. n are a polynomial's of degree exactly t - 1 when
/// their differences of order t - 1 are one constant that is not zero (it is the leading
/// coefficient times (t - 1)!, and 64! is not zero modulo l). Additions alone, in place.
#[doc(hidden)]
pub fn is_sharing_of(constant: &Element, t: usize, points: &[Element]) -> bool {
    if t == 0 || t > points.len() {
        return false;
    }
    let values = core::iter::once(constant).chain(points);
    let mut differences = Vec::with_capacity(points.len() + 1);
    differences.extend(values.map(|element| *element.point()));
    for _ in 1..t {
        let Some(mut next) = differences.pop() else { return false };
        for value in differences.iter_mut().rev() {
            let own = *value;
            *value = next - own;
            next = own;
        }
    }
    let Some((last, others)) = differences.split_last() else { return false };
    !last.is_identity() && others.iter().all(|other| other == last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::Generator;
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    const MOST: u16 = 8;

    /// A polynomial of degree exactly t - 1, at its n first indices, in the exponent.
    fn sharing() -> impl Strategy<Value = (Vec<Scalar>, Vec<Element>)> {
        (1..=MOST)
            .prop_flat_map(|n| (1..=n, Just(n), prop::collection::vec(any::<[u8; 32]>(), MOST as usize)))
            .prop_map(|(t, n, bytes)| {
                let coefficients: Vec<Scalar> =
                    bytes[..usize::from(t)].iter().map(|b| Scalar::from_bytes_mod_order(*b)).collect();
                let points = (1..=n).map(|index| public(&evaluate(&coefficients, index)));
                let points = points.collect();
                (coefficients, points)
            })
    }

    fn public(scalar: &Scalar) -> Element {
        Element::from_point(Generator::G.mul(scalar)).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_t_shares_give_the_secret_and_fewer_give_another(
            (coefficients, points) in sharing(), order in Just((1..=MOST).collect::<Vec<u16>>()).prop_shuffle(),
        ) {
            let (t, n) = (coefficients.len(), points.len());
            let picked: Vec<u16> = order.into_iter().filter(|index| usize::from(*index) <= n).take(t).collect();
            let secret = coefficients[0];
            let combined = picked.iter().fold(Scalar::ZERO, |sum, index| {
                sum + lagrange(&picked, *index, 0) * evaluate(&coefficients, *index)
            });
            prop_assert_eq!(combined, secret);
            let shares: Vec<_> =
                picked.iter().map(|index| (*index, *points[usize::from(*index) - 1].point())).collect();
            prop_assert_eq!(interpolate(&shares, 0), Generator::G.mul(&secret));
            prop_assert_ne!(interpolate(&shares[1..], 0), Generator::G.mul(&secret));
        }

        #[test]
        fn a_polynomial_has_the_same_values_in_the_exponent((coefficients, points) in sharing()) {
            let hidden: Vec<RistrettoPoint> = coefficients.iter().map(|c| Generator::G.mul(c)).collect();
            for (index, point) in (1..).zip(&points) {
                prop_assert_eq!(&evaluate_in_exponent(&hidden, index), point.point());
            }
        }

        #[test]
        fn a_sharing_is_of_its_own_threshold_and_key_only((coefficients, points) in sharing()) {
            let (t, n, key) = (coefficients.len(), points.len(), public(&coefficients[0]));
            for claimed in 0..=n + 1 {
                prop_assert_eq!(is_sharing_of(&key, claimed, &points), claimed == t, "{} of {}", claimed, n);
            }
            prop_assert!(!is_sharing_of(&public(&(coefficients[0] + Scalar::ONE)), t, &points));
        }

        #[test]
        fn one_share_off_the_polynomial_is_seen((coefficients, points) in sharing(), which in any::<prop::sample::Index>()) {
            let (t, key) = (coefficients.len(), public(&coefficients[0]));
            let mut points = points;
            let off = which.index(points.len());
            points[off] = Element::from_point(points[off].point() + Generator::G.point()).unwrap();
            prop_assert!(!is_sharing_of(&key, t, &points));
        }

        #[test]
        fn a_lower_degree_is_no_sharing((coefficients, _) in sharing(), zeros in 1u16..4) {
            // The top coefficients are zero: fewer shares than claimed suffice.
            let key = public(&coefficients[0]);
            let claimed = coefficients.len() + usize::from(zeros);
            let points: Vec<Element> = (1..=claimed as u16 + 1).map(|i| public(&evaluate(&coefficients, i))).collect();
            prop_assert!(!is_sharing_of(&key, claimed, &points));
        }

        #[test]
        fn the_coefficients_of_a_subset_depend_on_no_order(
            indices in subsequence((1..=64u16).collect::<Vec<_>>(), 1..9), at in 0u16..65,
        ) {
            let reversed: Vec<u16> = indices.iter().rev().copied().collect();
            let all: Scalar = indices.iter().map(|index| lagrange(&indices, *index, at)).sum();
            prop_assert_eq!(all, Scalar::ONE);
            for index in &indices {
                prop_assert_eq!(lagrange(&indices, *index, at), lagrange(&reversed, *index, at));
            }
        }
    }
}
