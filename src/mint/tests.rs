//! Vectors were computed once by another program (Python's `hmac`, and a sqids of its own).

use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use super::*;

pub(super) const SECRET: &str = "token-secret-of-the-tests-0123456789";
const OLD_SECRET: &str = "token-secret-of-before-0123456789ab";
const SALT: &str = "salt-of-the-tests-01";

/// 2026-01-01, and thirty days on.
pub(super) const NEW_YEAR: i64 = 1_767_225_600;
const MONTH: Duration = Duration::from_hours(30 * 24);
const BEARER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ0NGFsWkljbyIsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjoxNzY5ODE3NjAwLCJnZW4iOjN9.vGJgUzXbiWJP3AHl6mbnqJcQxCuaVVlYW3B9Gr1CMQU";

fn mint_of(secret: &str, previous: Option<&str>, salt: &str) -> Mint {
    let previous = previous.map(SecretString::from);
    Mint::new(&secret.into(), previous.as_ref(), &salt.into()).unwrap()
}

pub(super) fn mint() -> Mint {
    mint_of(SECRET, None, SALT)
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(seconds, 0).unwrap()
}

#[test]
fn the_alphabet_follows_from_the_salt_for_ever() {
    let check = |salt: &str, expected: &str| {
        assert_eq!(ids::shuffled(&derive(&salt.into(), "alphabet")), expected);
    };
    check(
        SALT,
        "yfBmv5po2SCh3xgJzlYjr6DORd8Pi1V7LwncNKbuMUHZFkt4sXIETWQ9aeGA0q",
    );
    check(
        "",
        "jkpbeFCw7ARNTHGi5nUS1EQ2z0KOPc3h4v8lIu9DVaXxrZMmoLfJBtqsWgdYy6",
    );
    check(
        "盐",
        "OZjcQLuswWaIgYrdB5Nz60349kXfpCv2Rt8APJhSioel1qHyFDmE7xTGnKbUMV",
    );
}

#[test]
fn keys_of_old_are_recognised_for_ever() {
    let check = |key: &str, user: i64, seconds: i64| {
        let verified = Verified {
            user,
            created: at(seconds),
            by: Signer::Current,
        };
        assert_eq!(mint().verify(key), Some(verified));
        assert_eq!(mint().verify(&format!("sk-{key}")), Some(verified));
    };
    check("RNtNcDq5rABls7S0aZ9bY8cX7d2TRZ2BFZLpPzZQ7Dem5U9d", 1, 0);
    check(
        "NJDAoMvG5WwMtoV0aZ9bY8cX7d5dHwvMSSCWzv3YawHWTxn5",
        7,
        NEW_YEAR,
    );
    check(
        "wwwwwwwwittZyHT0aZ9bY8cX7d1fhwcIxLFW6AuAXInlRsL6",
        USERS - 1,
        4_294_967_295,
    );
    check(
        "fffffff8yqGrHde0aZ9bY8cX7d3rhCGj4zMG9BBEuuP3npO7",
        USERS / 61 - 1,
        253_402_300_799,
    );
    check(
        "aaaaaaaaeaaaaaa0aZ9bY8cX7d1cK2ZS5pcVMAxSXLvCRd5t",
        USERS - 1,
        USERS / 61 - 1,
    );
}

#[test]
fn what_does_not_fit_into_a_key_is_refused() {
    let check = |user: i64, seconds: i64, fits: bool| {
        let key = mint().key(user, at(seconds));
        assert_eq!(key.is_ok(), fits, "{user} {seconds}");
    };
    let (year_3602, year_9999) = (USERS / 61, 253_402_300_799);
    check(1, 0, true);
    check(1, -1, false);
    check(0, 0, false);
    check(-1, 0, false);
    check(i64::MAX, NEW_YEAR, false);
    check(USERS, 0, false);
    check(USERS - 1, year_3602 - 1, true);
    check(USERS - 1, year_3602, false);
    check(USERS / 61 - 1, year_9999, true);
    check(USERS / 61, year_9999, false);
}

#[test]
fn keys_differ_though_made_in_the_same_second() {
    let keys = (0..100).map(|_| mint().key(7, at(NEW_YEAR)).unwrap());
    let keys: std::collections::HashSet<String> =
        keys.map(|key| key.expose_secret().to_owned()).collect();
    assert_eq!(keys.len(), 100);
}

#[test]
fn the_previous_secret_verifies_and_does_not_sign() {
    let (old, turned) = (
        mint_of(OLD_SECRET, None, SALT),
        mint_of(SECRET, Some(OLD_SECRET), SALT),
    );
    let by = |mint: &Mint, key: &SecretString| mint.verify(key.expose_secret()).map(|key| key.by);
    let key = old.key(7, at(NEW_YEAR)).unwrap();
    assert_eq!(by(&turned, &key), Some(Signer::Previous));
    assert_eq!(by(&mint(), &key), None);
    let key = turned.key(7, at(NEW_YEAR)).unwrap();
    assert_eq!(by(&turned, &key), Some(Signer::Current));
    assert_eq!(by(&old, &key), None);

    let read = |mint: &Mint, bearer: &SecretString| {
        mint.read_bearer(bearer.expose_secret(), at(NEW_YEAR))
            .is_ok()
    };
    let bearer = old.bearer(7, 3, at(NEW_YEAR), MONTH).unwrap();
    assert!(read(&turned, &bearer) && !read(&mint(), &bearer));
    let bearer = turned.bearer(7, 3, at(NEW_YEAR), MONTH).unwrap();
    assert!(read(&mint(), &bearer) && !read(&old, &bearer));
}

#[test]
fn another_salt_hides_whose_a_key_or_bearer_is() {
    let other = mint_of(SECRET, None, "salt-of-the-tests-02");
    let key = mint().key(7, at(NEW_YEAR)).unwrap();
    assert_eq!(other.verify(key.expose_secret()), None);
    assert_eq!(
        other.read_bearer(BEARER, at(NEW_YEAR)),
        Err(BearerError::Foreign)
    );
}

#[test]
fn public_ids_are_the_same_for_ever() {
    let check = |kind: IdKind, id: i64, expected: &str| {
        assert_eq!(mint().public_id(kind, id), expected);
        assert_eq!(mint().id_of(kind, expected), Some(id));
    };
    check(IdKind::User, 1, "tfU8GZEz");
    check(IdKind::Token, 1, "tEoJxDXH");
    check(IdKind::User, 7, "t4alZIco");
    check(IdKind::Token, 123_456, "tma4r6Yg");
    check(IdKind::Token, i64::MAX, "tS3zlAxfFdEv24h");
}

#[test]
fn only_a_public_id_as_written_is_read() {
    let check = |text: &str| assert_eq!(mint().id_of(IdKind::User, text), None, "{text}");
    check("");
    check("t");
    check("1");
    check("fU8GZEz");
    check("TfU8GZEz");
    check("tEoJxDXH");
    check("tfU8GZE");
    check("tfU8GZEzz");
    check("tfU8GZE z");
    check("t盐盐盐");
    check(&format!("t{}", "f".repeat(100_000)));
}

#[test]
fn a_bearer_is_written_and_read_to_the_letter() {
    let bearer = mint().bearer(7, 3, at(NEW_YEAR), MONTH).unwrap();
    assert_eq!(bearer.expose_secret(), BEARER);
    let end = at(NEW_YEAR) + MONTH;
    let read = Bearer {
        user: 7,
        generation: 3,
        expires: end,
    };
    let millisecond = Duration::from_millis(1);
    let check = |now: Timestamp, expected| assert_eq!(mint().read_bearer(BEARER, now), expected);
    check(at(NEW_YEAR), Ok(read));
    check(end - millisecond, Ok(read));
    check(end, Err(BearerError::Expired));
    check(end + MONTH, Err(BearerError::Expired));
    // A clock set back since does not make it foreign.
    check(at(0), Ok(read));
}

#[test]
fn a_bearer_lives_for_a_second_at_least_and_within_the_calendar() {
    let check = |ttl: Duration, made: bool| {
        let bearer = mint().bearer(i64::MAX, i64::MAX, at(NEW_YEAR), ttl);
        assert_eq!(bearer.is_ok(), made, "{ttl:?}");
    };
    check(Duration::ZERO, false);
    check(Duration::from_millis(999), false);
    check(Duration::from_secs(1), true);
    check(MONTH * 1200, true);
    check(Duration::MAX, false);
}

#[test]
fn fingerprints_tell_which_secret_was_stored() {
    let hex = |print: Fingerprint| {
        let digits = print.as_bytes().iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<String>()
    };
    let old = mint_of(OLD_SECRET, None, SALT).fingerprints();
    let turned = mint_of(SECRET, Some(OLD_SECRET), SALT).fingerprints();
    assert_eq!(hex(turned.token_secret), "59c5c6416ab9916d0f067dff7111d3cd");
    assert_eq!(hex(turned.hashids_salt), "59582d2bcc8dbd0f0f4348a8a2d3ab27");

    let of = Fingerprints::token_secret_of;
    assert_eq!(of(&turned, turned.token_secret), Some(Signer::Current));
    assert_eq!(of(&turned, old.token_secret), Some(Signer::Previous));
    assert_eq!(of(&mint().fingerprints(), old.token_secret), None);
    assert_eq!(of(&turned, turned.hashids_salt), None);
    // One text used for both secrets is not told by equal fingerprints.
    let twice = mint_of(SECRET, None, SECRET).fingerprints();
    assert_ne!(twice.token_secret, twice.hashids_salt);
}

/// `text` with another of `letters` in one place.
fn altered(text: &str, place: Index, letter: Index, letters: &[u8]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let place = place.index(bytes.len());
    let others: Vec<u8> = letters
        .iter()
        .copied()
        .filter(|it| *it != bytes[place])
        .collect();
    bytes[place] = *letter.get(&others);
    String::from_utf8(bytes).unwrap()
}

fn printable() -> Vec<u8> {
    (b' '..=b'~').collect()
}

/// Seconds below the year 3602, users below 61⁷: few digits as likely as many.
fn numbers() -> impl Strategy<Value = (i64, i64)> {
    let user = (0_u32..7, 0_i64..USERS).prop_map(|(cut, id)| (id / 61_i64.pow(cut)).max(1));
    let second = (0_u32..6, 0_i64..USERS / 61).prop_map(|(cut, at)| at / 61_i64.pow(cut));
    (user, second)
}

proptest! {
    #[test]
    fn a_key_has_48_characters_and_tells_whose_it_is(
        salt in any::<String>(), (user, second) in numbers(),
    ) {
        let mint = mint_of(SECRET, None, &salt);
        let key = mint.key(user, at(second)).unwrap();
        let key = key.expose_secret();
        prop_assert_eq!(key.len(), 48);
        prop_assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let verified = mint.verify(key).unwrap();
        prop_assert_eq!((verified.user, verified.created), (user, at(second)));
    }

    #[test]
    fn one_altered_character_is_noticed(
        (user, second) in numbers(), place in any::<Index>(), letter in any::<Index>(),
    ) {
        let (mint, now) = (mint(), at(second));
        let key = mint.key(user, now).unwrap();
        let other = altered(key.expose_secret(), place, letter, &printable());
        prop_assert_eq!(mint.verify(&other), None);

        let bearer = mint.bearer(user, 1, now, MONTH).unwrap();
        let other = altered(bearer.expose_secret(), place, letter, &printable());
        prop_assert_eq!(mint.read_bearer(&other, now), Err(BearerError::Foreign));

        let id = mint.public_id(IdKind::User, user);
        let other = altered(&id, place, letter, &printable());
        prop_assert!(mint.id_of(IdKind::User, &other) != Some(user));
    }

    #[test]
    fn whatever_is_typed_is_read_without_a_panic(text in any::<String>()) {
        let mint = mint();
        for text in [text.clone(), format!("t{text}"), format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.{text}")] {
            prop_assert_eq!(mint.verify(&text), None);
            prop_assert_eq!(mint.read_bearer(&text, at(0)), Err(BearerError::Foreign));
            if let Some(id) = mint.id_of(IdKind::Token, &text) {
                prop_assert_eq!(mint.public_id(IdKind::Token, id), text);
            }
        }
    }

    #[test]
    fn public_ids_are_of_one_kind_and_no_number(salt in any::<String>(), id in any::<i64>()) {
        let mint = mint_of(SECRET, None, &salt);
        let text = mint.public_id(IdKind::Token, id);
        prop_assert!(text.len() >= 8 && text.parse::<f64>().is_err());
        prop_assert_eq!(mint.id_of(IdKind::Token, &text), Some(id));
        prop_assert_eq!(mint.id_of(IdKind::User, &text), None);
    }
}
