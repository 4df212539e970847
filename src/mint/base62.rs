//! Base62: random characters and codes of 128 bits, in characters that gateways take in a key.

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::Error;

/// The digits in the order of their values.
pub(super) const DIGITS: &[u8; 62] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The digits of the largest number of 128 bits: 62²¹ < 2¹²⁸ < 62²².
pub(super) const CODE: usize = 22;

/// Appends `count` characters, each as likely as any other.
pub(super) fn push_random(text: &mut String, count: usize) -> Result<(), Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    let mut missing = count;
    while missing > 0 {
        SystemRandom::new()
            .fill(&mut *bytes)
            .map_err(|_| Error::Random)?;
        // 248 is four times 62; what lies beyond would favour the first digits.
        let fair = bytes.iter().filter(|byte| **byte < 248).take(missing);
        let before = text.len();
        text.extend(fair.map(|byte| char::from(DIGITS[usize::from(byte % 62)])));
        missing -= text.len() - before;
    }
    Ok(())
}

/// A number of 128 bits in [`CODE`] digits, the most significant first.
pub(super) fn code(number: u128) -> String {
    let mut digits = [DIGITS[0]; CODE];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(rest % 62).unwrap_or_default()];
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_padded_and_ordered() {
        let check = |number: u128, expected: &str| assert_eq!(code(number), expected);
        check(0, "0000000000000000000000");
        check(61, "000000000000000000000Z");
        check(62, "0000000000000000000010");
        check(u128::MAX, "7N42dgm5tFLK9N8MT7fHC7");
    }

    #[test]
    fn random_characters_are_as_many_as_asked() {
        for count in [0, 1, 11, 100] {
            let mut text = "x".to_owned();
            push_random(&mut text, count).unwrap();
            assert_eq!(text.len(), count + 1);
            assert!(text[1..].bytes().all(|byte| DIGITS.contains(&byte)));
        }
    }
}
