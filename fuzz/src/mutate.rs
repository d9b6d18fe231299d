//! Mutation that knows what messages are made of: libFuzzer's own seldom hits one of the few
//! strings of 32 bytes that are elements.

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use std::sync::LazyLock;
use unjoin_test_util::Seeded;

/// The group's order l, little-endian: the least string that is no canonical scalar.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Strings of 32 bytes: elements, scalars, and what is nearly one of them.
pub static FIELDS: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| {
    let mut fields = vec![[0; 32], [0xff; 32], ORDER];
    fields.push((-Scalar::ONE).to_bytes());
    for number in 0..8u64 {
        let point = RistrettoPoint::mul_base(&Scalar::from(number + 1));
        fields.push(point.compress().to_bytes());
        fields.push((-point).compress().to_bytes());
        fields.push(Scalar::from(number).to_bytes());
        // An element's encoding is even and below p = 2^255 - 19: neither of these is one.
        let mut odd = point.compress().to_bytes();
        odd[0] |= 1;
        fields.push(odd);
        odd[0] ^= 1;
        odd[31] |= 0x80;
        fields.push(odd);
    }
    fields
});

/// A custom mutator: now and then a field or a kind is replaced as a whole.
pub fn message(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Seeded(seed.into());
    let mut below = |bound: usize| random.below(bound as u64) as usize;
    if below(3) != 0 || size < 2 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let field = FIELDS[below(FIELDS.len())];
    match below(8) {
        0 => data[1] = crate::kinds::KINDS[below(crate::kinds::KINDS.len())],
        // From the end: the fields of fixed length stand there.
        1..=5 if size >= 34 => {
            let from = size - 32 * (1 + below((size - 2) / 32));
            data[from..from + 32].copy_from_slice(&field);
        }
        _ if size >= 34 => {
            let from = 2 + below(size - 33);
            data[from..from + 32].copy_from_slice(&field);
        }
        _ => return libfuzzer_sys::fuzzer_mutate(data, size, max_size),
    }
    size
}
