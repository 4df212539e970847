//! Which token is meant: a number, or the public id that stands for one.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;

use super::TokenApi;
use crate::api::message::Message;
use crate::mint::IdKind;

impl TokenApi {
    /// The id that a public id stands for.
    pub(super) fn id_of(&self, text: &str) -> Option<i64> {
        self.mint.id_of(IdKind::Token, text)
    }

    /// The id of a path. What is none names no token.
    ///
    /// # Errors
    /// When it names none; for 0 in the gateways' own words.
    pub(super) fn id_of_path(
        &self,
        id: Result<Path<String>, PathRejection>,
    ) -> Result<i64, Message> {
        let Path(text) = id.map_err(|_| Message::NoToken)?;
        let number = text.parse().ok();
        match number.or_else(|| self.id_of(&text)) {
            Some(0) => Err(Message::NoId),
            Some(id) => Ok(id),
            None => Err(Message::NoToken),
        }
    }
}
