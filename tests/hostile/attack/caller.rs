//! Callers who are nobody: forged, bent and foreign proofs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{ALICE, Attack, CANARY, Knowledge, Outcome, with_headers};
use crate::dice::Dice;

const CALLS: [(&str, &str, &str); 6] = [
    ("GET", "/api/token/", ""),
    ("GET", "/api/token/2", ""),
    ("GET", "/api/token/search?keyword=", ""),
    ("POST", "/api/token/", "{}"),
    ("DELETE", "/api/token/2", ""),
    ("POST", "/api/token/batch", r#"{"ids":[2,5]}"#),
];

/// A call that its headers alone must fail.
fn stranger(dice: &mut Dice, headers: &str) -> Attack {
    let (method, target, body) = CALLS[dice.below(CALLS.len())];
    let headers = headers.as_bytes();
    let request = with_headers(method, target.as_bytes(), headers, body.as_bytes());
    Attack::new(request, Outcome::Status(401))
}

fn bearing(dice: &mut Dice, token: &str) -> Attack {
    let scheme = dice.pick(&["", "Bearer ", "bearer ", "BEARER  "]);
    stranger(dice, &format!("authorization: {scheme}{token}\r\n"))
}

/// JWTs that say the right things without the right signature.
pub(super) fn forged(dice: &mut Dice, knowledge: &Knowledge) -> Attack {
    let header = dice.pick(&[
        r#"{"alg":"none"}"#,
        r#"{"typ":"JWT","alg":"none"}"#,
        r#"{"typ":"JWT","alg":"NoNe"}"#,
        r#"{"typ":"JWT","alg":""}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"typ":"JWT","alg":"HS256"}"#,
        r#"{"typ":"JWT","alg":"HS512"}"#,
        r#"{"typ":"JWT","alg":"RS256"}"#,
        r#"{"typ":"JWT","alg":"ES256"}"#,
        r#"{"typ":"JWT","alg":"HS256","kid":"../../../../dev/null"}"#,
        r#"{"typ":"JWT","alg":"HS256","kid":"x' UNION SELECT 'k"}"#,
        r#"{"typ":"JWT","alg":"HS256","jku":"http://127.0.0.1:9/"}"#,
        r#"{"typ":"JWT","alg":"HS256","jwk":{"kty":"oct","k":"AA"}}"#,
        r#"{"typ":"JWT","alg":["none","HS256"]}"#,
        "[]",
        "",
        "null",
    ]);
    let parts: Vec<&str> = knowledge.bearer.split('.').collect();
    let claims = match dice.below(4) {
        0 => parts[1].to_owned(),
        1 => URL_SAFE_NO_PAD.encode(r#"{"sub":"2","iat":1,"exp":99999999999,"gen":0}"#),
        2 => {
            URL_SAFE_NO_PAD.encode(r#"{"sub":"alice","iat":-1,"exp":1e99,"gen":"0","admin":true}"#)
        }
        _ => {
            let count = dice.below(200);
            URL_SAFE_NO_PAD.encode(dice.bytes(count))
        }
    };
    let signature = match dice.below(4) {
        0 => String::new(),
        1 => URL_SAFE_NO_PAD.encode([0; 32]),
        2 if claims != parts[1] => parts[2].to_owned(),
        _ => URL_SAFE_NO_PAD.encode(dice.bytes(32)),
    };
    let header = URL_SAFE_NO_PAD.encode(header);
    bearing(dice, &format!("{header}.{claims}.{signature}"))
}

/// A good bearer with something about it changed.
pub(super) fn bent(dice: &mut Dice, knowledge: &Knowledge) -> Attack {
    let good = &knowledge.bearer;
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let bent = match dice.below(9) {
        0 => {
            let mut letters = good.clone().into_bytes();
            let place = dice.below(letters.len() - 1);
            letters[place] = if letters[place] == b'A' { b'B' } else { b'A' };
            String::from_utf8(letters).unwrap()
        }
        1 => good[..dice.within(1, good.len())].to_owned(),
        2 => format!(
            "{good}{}",
            dice.pick(&["=", ".", "A", "==", ".x", " x", "\u{e9}"])
        ),
        3 => format!("{header}.{claims}."),
        4 => format!(".{claims}.{signature}"),
        5 => format!("{claims}.{header}.{signature}"),
        6 => format!("{header}.{signature}.{claims}"),
        7 => format!("{good}.{}", "A".repeat(dice.within(500, 9000))),
        _ => format!("Bearer Bearer {good}"),
    };
    bearing(dice, &bent)
}

/// What is no access token, and what nearly is.
pub(super) fn access_token(dice: &mut Dice, knowledge: &Knowledge) -> Attack {
    let key = &knowledge.key;
    let upper = ALICE.to_uppercase();
    let token = dice
        .pick(&[
            "",
            "x",
            "null",
            "undefined",
            "%",
            "_",
            "' OR '1'='1",
            "*",
            "0",
            "-1",
            "Bearer",
            "root",
            "alice",
            &upper,
            &ALICE[1..],
            &ALICE[..31],
            &format!("{ALICE}x"),
            &format!("{ALICE}%"),
            &format!("{ALICE},x"),
            &format!("\"{ALICE}\""),
            &ALICE.replace('-', "_"),
            &ALICE.replace("alice", "ALICE"),
            &format!("Bearer Bearer {ALICE}"),
            &format!("Basic {ALICE}"),
            &format!("Token {ALICE}"),
            key,
            &format!("sk-{key}"),
            &format!("SK-{key}"),
            &format!("sk-{ALICE}"),
            CANARY,
            "YWxpY2U6eA==",
            "fixture-access-token-carol-00004",
            &"x".repeat(9000),
        ])
        .to_owned();
    if dice.once_in(10) {
        return stranger(
            dice,
            &format!("x-authorization: {ALICE}\r\ncookie: session={ALICE}\r\n"),
        );
    }
    if dice.once_in(10) {
        return stranger(
            dice,
            &format!("authorization: x\r\nauthorization: {ALICE}\r\n"),
        );
    }
    bearing(dice, &token)
}

/// Alice, who says to be somebody else.
pub(super) fn named(dice: &mut Dice, _: &Knowledge) -> Attack {
    let name = dice.pick(&[
        "1",
        "3",
        "0",
        "-2",
        "02x",
        "2.0",
        "2 OR 1=1",
        "alice",
        "*",
        "null",
        "9223372036854775808",
        "t2",
        "18446744073709551618",
        "4294967298",
        "2,1",
        "'2'",
        CANARY,
        "\u{ff12}",
    ]);
    stranger(
        dice,
        &format!("authorization: {ALICE}\r\nnew-api-user: {name}\r\n"),
    )
}
