//! The seed as a person writes it down: 14 groups of 4 letters and digits.

use super::{Wallet, WalletError};
use unjoin_core::algebra::transcript::hash32;
use unjoin_core::secret::SecretBytes;
use zeroize::{Zeroize, Zeroizing};

/// Crockford's base 32: without I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SEED: usize = 32;
/// So many bytes of a hash find mistakes: one in 16 million passes.
const CHECK: usize = 3;
const LENGTH: usize = (SEED + CHECK) * 8 / 5;
const GROUP: usize = 4;

impl Wallet {
    /// The seed as a person writes it down: 14 groups of 4 letters and digits, of which the last five find mistakes.
    /// Whoever has it has the wallet.
    ///
    /// ```
    /// # use unjoin_core::{Name, secret::SystemRng};
    /// # use unjoin_wallet::Wallet;
    /// let wallet = Wallet::generate(&mut SystemRng::new());
    /// let code = wallet.recovery_code();
    /// let again = Wallet::from_recovery_code(&code.to_lowercase().replace('-', " "))?;
    /// let shop = Name::new("shop.example")?;
    /// assert_eq!(again.wallet_key(&shop)?, wallet.wallet_key(&shop)?);
    /// assert!(Wallet::from_recovery_code("0000-0000").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recovery_code(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; SEED + CHECK]);
        for (to, from) in bytes.iter_mut().zip(self.seed.expose().iter().chain(&check(self.seed.expose()))) {
            *to = *from;
        }
        let mut code = Zeroizing::new(String::with_capacity(LENGTH + LENGTH / GROUP));
        for (at, digit) in digits(&bytes).enumerate() {
            if at > 0 && at % GROUP == 0 {
                code.push('-');
            }
            code.push(digit);
        }
        code
    }

    /// The wallet of a [`recovery_code`](Self::recovery_code). Letters may be small; spaces and hyphens do not count; O is
    /// taken for 0, I and L for 1.
    ///
    /// # Errors
    /// [`WalletError::RecoveryCode`].
    pub fn from_recovery_code(code: &str) -> Result<Self, WalletError> {
        let mut bytes = Zeroizing::new([0; SEED + CHECK]);
        let (mut held, mut bits, mut count) = (0u32, 0, 0);
        let mut out = bytes.iter_mut();
        for typed in code.chars().filter(|typed| !matches!(typed, ' ' | '-')) {
            let value = value(typed).ok_or(WalletError::RecoveryCode)?;
            (held, bits, count) = (held << 5 | value, bits + 5, count + 1);
            if bits >= 8 {
                bits -= 8;
                *out.next().ok_or(WalletError::RecoveryCode)? = (held >> bits) as u8;
                held &= (1 << bits) - 1;
            }
        }
        held.zeroize();
        let (seed, given) = bytes.split_first_chunk::<SEED>().ok_or(WalletError::RecoveryCode)?;
        if count != LENGTH || given != check(seed) {
            return Err(WalletError::RecoveryCode);
        }
        Ok(Self::from_seed(SecretBytes::new(*seed)))
    }
}

fn check(seed: &[u8; SEED]) -> [u8; CHECK] {
    let [a, b, c, ..] = hash32("wallet/recovery-code", &[seed]);
    [a, b, c]
}

fn digits(bytes: &[u8; SEED + CHECK]) -> impl Iterator<Item = char> {
    (0..LENGTH).map(|at| {
        let bit = |bit: usize| bytes.get(bit / 8).map_or(0, |byte| usize::from(byte >> (7 - bit % 8) & 1));
        let value = (0..5).fold(0, |value, offset| value << 1 | bit(5 * at + offset));
        char::from(DIGITS.get(value).copied().unwrap_or_default())
    })
}

fn value(typed: char) -> Option<u32> {
    let typed = match typed.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    DIGITS.iter().position(|digit| char::from(*digit) == typed).map(|value| value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_code_gives_the_seed_back_and_a_mistake_is_found(seed in any::<[u8; 32]>(), at in 0..LENGTH, to in 0..32usize) {
            let code = Wallet::from_seed(SecretBytes::new(seed)).recovery_code();
            prop_assert_eq!(code.len(), LENGTH + LENGTH / GROUP - 1);
            let again = Wallet::from_recovery_code(&code).unwrap();
            prop_assert_eq!(again.seed.expose(), &seed);
            // One digit that was copied wrong, and two that were exchanged.
            let mut wrong: Vec<char> = code.chars().filter(|digit| *digit != '-').collect();
            let digit = char::from(DIGITS[to]);
            let differs = wrong[at] != digit;
            wrong[at] = digit;
            let wrong: String = wrong.into_iter().collect();
            prop_assert_eq!(Wallet::from_recovery_code(&wrong).is_err(), differs);
            prop_assert!(Wallet::from_recovery_code(&code[1..]).is_err());
            let longer = [code.as_str(), "0"].concat();
            prop_assert!(Wallet::from_recovery_code(&longer).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            prop_assert!(Wallet::from_recovery_code(&text).is_err());
        }
    }

    #[test]
    fn what_people_confuse_is_one_digit() {
        let code = Wallet::from_seed(SecretBytes::new([0; 32])).recovery_code();
        assert!(code.starts_with("0000-0000-"));
        let typed = code.replacen("0000", "OoO0", 1).to_lowercase();
        assert!(Wallet::from_recovery_code(&typed).is_ok());
    }
}
