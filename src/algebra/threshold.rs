//! Shamir sharing over the scalar field: polynomials in clear and in the exponent, and
//! interpolation at zero (Shamir 1979; Feldman 1987). Indices are 1-based, at most 64.

use super::group::Element;
use curve25519_dalek::{
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{Identity, IsIdentity},
};

/// The polynomial's value at `index`, constant coefficient first (Horner), in constant time.
pub(crate) fn evaluate(coefficients: &[Scalar], index: u16) -> Scalar {
    let at = Scalar::from(index);
    coefficients.iter().rev().fold(Scalar::ZERO, |sum, coefficient| sum * at + coefficient)
}

/// The Lagrange coefficient of `index` for interpolation at `at` over `indices`, which are
/// distinct and hold `index`. Public data.
pub(crate) fn lagrange(indices: &[u16], index: u16, at: u16) -> Scalar {
    let own = Scalar::from(index);
    let at = Scalar::from(at);
    let (mut numerator, mut denominator) = (Scalar::ONE, Scalar::ONE);
    for other in indices.iter().filter(|other| **other != index) {
        let other = Scalar::from(*other);
        numerator *= at - other;
        denominator *= own - other;
    }
    numerator * denominator.invert()
}

/// Interpolates public points, given with their distinct indices, at `at`.
pub(crate) fn interpolate(shares: &[(u16, RistrettoPoint)], at: u16) -> RistrettoPoint {
    let indices: Vec<u16> = shares.iter().map(|(index, _)| *index).collect();
    shares
        .iter()
        .fold(RistrettoPoint::identity(), |sum, (index, point)| sum + point * lagrange(&indices, *index, at))
}

/// Whether the points at 1..=n lie on one polynomial of degree *exactly* `t - 1` whose value
/// at zero is `constant`. A lower degree would let fewer than t shares suffice.
pub(crate) fn is_sharing_of(constant: &Element, t: usize, points: &[Element]) -> bool {
    let indexed: Vec<(u16, RistrettoPoint)> =
        (1u16..).zip(points).map(|(index, point)| (index, *point.point())).collect();
    let Some(first) = indexed.get(..t) else { return false };
    if interpolate(first, 0) != *constant.point() {
        return false;
    }
    let rest_fits = indexed.iter().skip(t).all(|(index, point)| interpolate(first, *index) == *point);
    rest_fits && !leading_coefficient(first).is_identity()
}

/// The coefficient of the highest power of the polynomial through `shares`.
fn leading_coefficient(shares: &[(u16, RistrettoPoint)]) -> RistrettoPoint {
    shares.iter().fold(RistrettoPoint::identity(), |sum, (index, point)| {
        let own = Scalar::from(*index);
        let others = shares.iter().filter(|(other, _)| other != index);
        let denominator =
            others.fold(Scalar::ONE, |product, (other, _)| product * (own - Scalar::from(*other)));
        sum + point * denominator.invert()
    })
}
