//! Which page of a list is asked for.

use axum::http::Uri;
use url::form_urlencoded;

/// Rows of a page that asks for no size, and the most of any.
const SIZE: usize = 20;
const SIZE_MOST: usize = 100;

/// The parameters of a query, decoded once.
pub(super) struct Query<'u>(&'u str);

impl<'u> Query<'u> {
    pub(super) fn of(uri: &'u Uri) -> Self {
        Self(uri.query().unwrap_or_default())
    }

    /// The first value of a parameter; its name is matched exactly, as the gateways do.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.0.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// A parameter that counts: nothing where it is absent, no whole number, or below 1; what is beyond
    /// 64 bits is as much as fits.
    fn count(&self, name: &str) -> Option<u64> {
        let (_, text) = form_urlencoded::parse(self.0.as_bytes()).find(|(key, _)| key == name)?;
        let digits = text.strip_prefix('+').unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let most = i64::MAX.cast_unsigned();
        let count = digits.parse().unwrap_or(most).min(most);
        (count > 0).then_some(count)
    }
}

/// A page of a list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// From 1.
    pub(super) number: u64,
    /// 1 to 100.
    pub(super) size: usize,
}

impl Page {
    /// `p`, and the first of `page_size`, `ps` and `size` that holds a number.
    pub(super) fn of(query: &Query<'_>) -> Self {
        let size = ["page_size", "ps", "size"]
            .into_iter()
            .find_map(|name| query.count(name));
        Self {
            number: query.count("p").unwrap_or(1),
            size: size.map_or(SIZE, |size| {
                usize::try_from(size).unwrap_or(SIZE_MOST).min(SIZE_MOST)
            }),
        }
    }

    /// How many rows stand before it.
    pub(super) fn offset(self) -> u64 {
        let size = u64::try_from(self.size).unwrap_or(u64::MAX);
        (self.number - 1).saturating_mul(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_parameters_count_as_absent() {
        let check = |query: &str, number, size| {
            let uri: Uri = format!("/api/token/?{query}").parse().unwrap();
            let page = Page::of(&Query::of(&uri));
            assert_eq!(page, Page { number, size }, "{query}");
        };
        check("", 1, 20);
        check("p=2&size=5", 2, 5);
        check("p=0&size=0", 1, 20);
        check("p=-3&size=-1", 1, 20);
        check("p=1.5&size=2.5", 1, 20);
        check("p=%32&size=%33", 2, 3);
        check("p=02&size=101", 2, 100);
        check("p=%EF%BC%92", 1, 20);
        check("p=9223372036854775808", 9_223_372_036_854_775_807, 20);
        check(
            "p=99999999999999999999&size=1",
            9_223_372_036_854_775_807,
            1,
        );
        check("page_size=3&ps=4&size=7", 1, 3);
        check("page_size=abc&ps=4&size=7", 1, 4);
        check("page_size=0&size=7", 1, 7);
        check("P=2&SIZE=3&page=4", 1, 20);
        check("p=%zz&p=2", 1, 20);
    }
}
