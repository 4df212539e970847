//! Sealed values: bent, they do not open; elsewhere, neither.

use keyfresh::secret::{Place, StateKey};
use proptest::prelude::*;

use crate::{bend, cases};

const PLACE: Place<'_> = Place {
    table: "credential",
    row: 7,
    column: "refresh",
};

proptest! {
    #![proptest_config(cases(1))]

    #[test]
    fn a_bent_value_never_opens(
        plain in prop::collection::vec(any::<u8>(), 0..200), bends in bend::bends(),
    ) {
        let key = StateKey::new(&[7; 32]);
        let sealed = key.seal(PLACE, &plain).unwrap();
        let bent = bends.of(&sealed);
        let opened = key.open(PLACE, &bent).ok();
        let expected = (bent == sealed).then_some(&plain);
        prop_assert_eq!(opened.as_deref(), expected);
    }

    #[test]
    fn no_two_places_share_a_seal(row in any::<i64>(), column in "[a-z0-9.\n]{0,12}", table in "[a-z\n0-9]{0,12}") {
        let key = StateKey::new(&[7; 32]);
        let sealed = key.seal(PLACE, b"token").unwrap();
        let place = Place { table: &table, row, column: &column };
        prop_assert_eq!(key.open(place, &sealed).is_ok(), (table.as_str(), row, column.as_str()) == ("credential", 7, "refresh"));
        prop_assert_eq!(key.fingerprint("token") == key.fingerprint(&table), table == "token");
    }
}
