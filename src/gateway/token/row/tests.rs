use super::*;

#[test]
fn a_deletion_is_dated_as_the_gateways_do() {
    let check = |seconds: i64, nanos: u32, text: &str| {
        assert_eq!(
            moment(Timestamp::from_timestamp(seconds, nanos).unwrap()),
            text
        );
    };
    check(1_795_249_893, 0, "2026-11-21 08:31:33+00:00");
    check(
        1_795_249_893,
        35_706_270,
        "2026-11-21 08:31:33.03570627+00:00",
    );
    check(1_795_249_893, 500_000_000, "2026-11-21 08:31:33.5+00:00");
}

#[test]
fn only_blanks_at_the_end_are_padding() {
    for (stored, text) in [
        ("key   ", "key"),
        (" k y", " k y"),
        ("", ""),
        ("k\n ", "k\n"),
    ] {
        assert_eq!(unpadded(stored), text);
    }
}
