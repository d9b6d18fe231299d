//! A passphrase that somebody types, as the bytes that every keyboard makes of it: NFKC in UTF-8. The library takes
//! bytes; whoever takes text settles its form.

use std::io::Write;
use unicode_normalization::UnicodeNormalization as _;

/// The bytes to seal or open with. What is probably a slip is said on `screen`, never the passphrase itself.
pub(crate) fn settle(typed: &str, screen: &mut dyn Write) -> std::io::Result<Vec<u8>> {
    if typed.trim() != typed {
        writeln!(screen, "note: the passphrase begins or ends with white space, which is part of it")?;
    }
    Ok(typed.nfkc().collect::<String>().into_bytes())
}
