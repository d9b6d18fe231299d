//! Forms (`application/x-www-form-urlencoded`), of which a few fields are wanted.

use super::GatewayError;
use zeroize::Zeroizing;

/// The values of the named fields, in their order; `None` for one that is not there. Other
/// fields are passed over undecoded: switches send hundreds.
///
/// # Errors
/// [`GatewayError::TooLong`] beyond `longest` bytes, [`GatewayError::Twice`] for a named field
/// that comes again, [`GatewayError::Form`] for a named field whose value is not percent-encoded
/// UTF-8.
pub(super) fn fields<const N: usize>(
    body: &[u8],
    longest: usize,
    names: [&'static str; N],
) -> Result<[Option<Zeroizing<String>>; N], GatewayError> {
    if body.len() > longest {
        return Err(GatewayError::TooLong);
    }
    let mut values = [const { None }; N];
    for pair in body.split(|byte| *byte == b'&') {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        // A name that is escaped wrongly is none of ours.
        let Ok(name) = decoded(name) else { continue };
        for (wanted, slot) in names.into_iter().zip(&mut values) {
            if *name == wanted && slot.replace(decoded(value)?).is_some() {
                return Err(GatewayError::Twice(wanted));
            }
        }
    }
    Ok(values)
}

fn decoded(text: &[u8]) -> Result<Zeroizing<String>, GatewayError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || {
                    let letter = rest.next().copied().map(char::from);
                    letter.and_then(|letter| letter.to_digit(16)).ok_or(GatewayError::Form)
                };
                // Two hexadecimal digits are at most 255.
                (digit()? * 16 + digit()?) as u8
            }
            byte => *byte,
        });
    }
    match core::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(GatewayError::Form),
    }
}
