//! The words of `[api]` that decide how calls about tokens are answered.
//!
//! Read by the configuration, obeyed by the token resource. The defaults are what New API does.

/// `api.search_shape`: what the `data` of a search is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SearchShape {
    /// A list of rows.
    #[default]
    Array,
    /// A page with `items`, `total`, `page` and `page_size`, as newer generations answer.
    Page,
}

/// `api.public_ids`: how answers name a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublicIds {
    /// By its number.
    #[default]
    Numbers,
    /// By its hashed id.
    Hashed,
}

/// `api.error_status`: the HTTP status of a refusal that concerns tokens, not the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorStatus {
    /// 200, as the gateways answer.
    #[default]
    Ok,
    /// The status that HTTP has for it.
    Http,
}
