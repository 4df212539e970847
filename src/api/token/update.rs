//! `PUT /api/token/`: what is given changes, what is not is kept.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::Uri;

use super::caller::Caller;
use super::input::{self, Given, Member, Value};
use super::page::Query;
use super::rules::Wish;
use super::{Answer, NO_OBJECT, whole};
use crate::api::envelope::success;
use crate::api::message::Message;
use crate::api::openapi::Refusals;
use crate::database::Halt;

/// Changes what is given and keeps what is not.
#[utoipa::path(
    put,
    path = "/api/token/",
    params(("status_only" = Option<String>, Query, description = "Any text but 0 and false: only status is looked at.")),
    request_body(content = ref("#/components/schemas/TokenChange"), content_type = "application/json"),
    responses((status = 200, description = "The row as it is now.", body = ref("#/components/schemas/TokenAnswer")), Refusals),
)]
pub(super) async fn update(
    caller: Caller,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let only = Query::of(&uri).text("status_only");
    let status_only = only.is_some_and(|only| !["", "0", "false"].contains(&only.as_str()));
    let asked = object(body).and_then(|given| {
        let id = given.id(Member::Id, |text| caller.api.id_of(text))?;
        if id == 0 {
            return Err(Message::NoId);
        }
        let wish = if status_only {
            Wish::of_status(&given)
        } else {
            Wish::of(&given)
        };
        Ok((id, wish?))
    });
    let asked = caller.asks(asked).await?;
    let (id, wish) = asked.wish;
    let now = caller.api.clock.now().timestamp();
    let changed = caller
        .alter(move |tables, user| {
            let stored = tables.token(user.id, id)?;
            let stored = stored.ok_or(Halt::Refused(Message::NoToken))?;
            let change = wish
                .change(&stored, asked.limits, now)
                .map_err(Halt::Refused)?;
            tables.update(&stored, &change)
        })
        .await?;
    Ok(success(caller.api.row(&changed)))
}

fn object(body: Result<Bytes, BytesRejection>) -> Result<Given, Message> {
    match input::read(&whole(body)?)? {
        Value::Object(given) => Ok(*given),
        _ => Err(NO_OBJECT),
    }
}
