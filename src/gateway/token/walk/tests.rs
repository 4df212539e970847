use super::*;

fn token(id: i64) -> Token {
    Token {
        id,
        user_id: 1,
        key: "".into(),
        status: 1,
        name: String::new(),
        created_time: 0,
        accessed_time: 0,
        expired_time: -1,
        remain_quota: 0,
        unlimited_quota: false,
        model_limits_enabled: false,
        model_limits: String::new(),
        allow_ips: None,
        used_quota: 0,
        group: String::new(),
        more: Vec::new(),
    }
}

/// Walks over ids 1 to `rows`, of which every `each`th will do, when pieces of more than `slow` rows
/// take too long; the ids found, the total, and the sizes of the pieces.
fn walked(wanted: Wanted, rows: i64, each: i64, slow: i64) -> (Vec<i64>, i64, Vec<i64>) {
    let mut walk = Walk::new(wanted);
    let mut sizes = Vec::new();
    while let Some(cut) = walk.next() {
        if cut.rows > slow {
            assert!(walk.shrink());
            continue;
        }
        sizes.push(cut.rows);
        let top = (cut.before - 1).min(rows);
        let low = top - cut.rows + 1;
        let fits: Vec<i64> = (low.max(1)..=top)
            .rev()
            .filter(|id| id % each == 0)
            .collect();
        let passed = usize::try_from(cut.offset).unwrap();
        let given = fits.iter().skip(passed).take(cut.limit);
        let piece = Piece {
            counted: i64::try_from(fits.len()).unwrap(),
            tokens: given.map(|id| token(*id)).collect(),
            bytes: 0,
            is_full: false,
            rest: (low > 1).then_some(low),
        };
        walk.took(piece, Duration::ZERO);
    }
    let ids = walk.page.tokens.iter().map(|token| token.id).collect();
    (ids, walk.page.total, sizes)
}

fn wanted(offset: i64, limit: usize, total: bool) -> Wanted {
    Wanted {
        owner: 1,
        likes: None,
        offset,
        limit,
        total,
    }
}

#[test]
fn pieces_grow_while_quick_and_shrink_when_slow() {
    let (_, total, sizes) = walked(wanted(0, 1, true), 200_000, 1, i64::MAX);
    assert_eq!(total, 200_000);
    assert_eq!(sizes, [2000, 4000, 8000, 16_000, 32_000, 64_000, 80_000]);
    let (_, total, sizes) = walked(wanted(0, 1, true), 20_000, 1, 700);
    assert_eq!(total, 20_000);
    assert!(sizes.iter().all(|rows| *rows == 500));
    let mut stuck = Walk::new(wanted(0, 1, true));
    assert_eq!((0..9).filter(|_| stuck.shrink()).count(), 5);
}

#[test]
fn a_page_may_lie_in_any_piece() {
    let check = |offset: i64, limit: usize, slow: i64, ids: &[i64]| {
        let (found, total, _) = walked(wanted(offset, limit, true), 10_000, 1000, slow);
        assert_eq!((found.as_slice(), total), (ids, 10), "{offset} {limit}");
    };
    for slow in [150, 2000, 100_000] {
        check(0, 2, slow, &[10_000, 9000]);
        check(3, 3, slow, &[7000, 6000, 5000]);
        check(8, 5, slow, &[2000, 1000]);
        check(10, 5, slow, &[]);
        check(i64::MAX, 5, slow, &[]);
        check(0, 0, slow, &[]);
    }
}

#[test]
fn a_search_ends_when_enough_is_found() {
    let (found, _, sizes) = walked(wanted(0, 3, false), 1_000_000, 1000, i64::MAX);
    assert_eq!(found, [1_000_000, 999_000, 998_000]);
    assert_eq!(sizes, [2000, 4000]);
}

#[test]
fn a_pattern_means_its_text() {
    for (text, pattern) in [
        ("", "%%"),
        ("a", "%a%"),
        ("100%_!", "%100!%!_!!%"),
        ("\\*'", "%\\*'%"),
    ] {
        assert_eq!(containing(text), pattern);
    }
}
