//! What may be set: a body's members become what a gateway's row is to hold, or a refusal.
//!
//! Pure. A value that equals the stored one is no change and is never refused, so that a client may send
//! back whole rows that others wrote. What a layout cannot hold is refused by the gateway's own side
//! (`gateway/token.rs`); here stand the rules of New API's contract, and where they are stricter than the
//! server's own, the reason.

use std::net::IpAddr;

use ipnet::IpNet;

use super::input::{Given, Member};
use crate::api::message::{Expected, Message};
use crate::gateway::{Holds, NewToken, Token, TokenChange};

/// What one gateway and this configuration allow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most characters of a name.
    pub(super) name: usize,
    /// The largest `remain_quota`.
    pub(super) quota: i64,
    /// Whether the gateway understands ranges in `allow_ips`. New API before 2025-12-15 drops them, and
    /// a list of nothing else would be open to everybody.
    pub(super) ranges: bool,
}

/// The statuses that a person may set.
const ENABLED: i64 = 1;
const DISABLED: i64 = 2;

/// `expired_time` of a token that never expires.
const NEVER: i64 = -1;

/// The last second of the year 9999: what is later are milliseconds.
const LATEST: i64 = 253_402_300_799;

/// The most characters of a bad address that a refusal repeats; no address is as long.
const SHOWN: usize = 64;

/// A body's members by type, unjudged.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wish {
    name: Option<String>,
    status: Option<i64>,
    expired_time: Option<i64>,
    remain_quota: Option<i64>,
    unlimited_quota: Option<bool>,
    model_limits_enabled: Option<bool>,
    model_limits: Option<String>,
    allow_ips: Option<Vec<String>>,
    group: Option<String>,
    cross_group_retry: Option<bool>,
}

impl Wish {
    /// # Errors
    /// When a member has the wrong type.
    pub(super) fn of(given: &Given) -> Result<Self, Message> {
        Ok(Self {
            name: given.text(Member::Name)?,
            status: given.int(Member::Status)?,
            // Go's zero: what clients in Go send when they mean nothing.
            expired_time: given.int(Member::ExpiredTime)?.filter(|time| *time != 0),
            remain_quota: given.int(Member::RemainQuota)?,
            unlimited_quota: given.bool(Member::UnlimitedQuota)?,
            model_limits_enabled: given.bool(Member::ModelLimitsEnabled)?,
            model_limits: given
                .texts(Member::ModelLimits, &[','])?
                .map(|models| models.join(",")),
            allow_ips: given.texts(Member::AllowIps, &[',', '\n', '\r', ' '])?,
            group: given.text(Member::Group)?,
            cross_group_retry: given.bool(Member::CrossGroupRetry)?,
        })
    }

    /// Only the status of a body, whatever else stands there.
    ///
    /// # Errors
    /// When there is none, or it is no integer.
    pub(super) fn of_status(given: &Given) -> Result<Self, Message> {
        let status = given.int(Member::Status)?;
        if status.is_none() {
            return Err(Message::Wrong(Member::Status.name(), Expected::Given));
        }
        Ok(Self {
            status,
            ..Self::default()
        })
    }

    /// A new row; `now` in unix seconds.
    ///
    /// # Errors
    /// When a value may not stand there. A status is not looked at: what is new is enabled.
    pub(super) fn creation(&self, limits: Limits, now: i64) -> Result<NewToken, Message> {
        let new = NewToken {
            name: self.name.clone().unwrap_or_default(),
            expired_time: self.expired_time.unwrap_or(NEVER),
            remain_quota: self.remain_quota.unwrap_or(0),
            unlimited_quota: self.unlimited_quota.unwrap_or(false),
            model_limits_enabled: self.model_limits_enabled.unwrap_or(false),
            model_limits: self.model_limits.clone().unwrap_or_default(),
            allow_ips: match &self.allow_ips {
                Some(entries) => limits.addresses(entries)?,
                None => String::new(),
            },
            group: self.group.clone().unwrap_or_default(),
            cross_group_retry: self.cross_group_retry,
            now,
        };
        limits.name(&new.name)?;
        limits.quota(new.remain_quota)?;
        moment(new.expired_time)?;
        Ok(new)
    }

    /// What changes in `stored`; `now` in unix seconds.
    ///
    /// # Errors
    /// When a value may not stand there, or the token cannot be enabled as it will be.
    pub(super) fn change(
        &self,
        stored: &Token,
        limits: Limits,
        now: i64,
    ) -> Result<TokenChange, Message> {
        let change = TokenChange {
            name: other(self.name.as_ref(), &stored.name),
            status: other(self.status.as_ref(), &stored.status),
            expired_time: other(self.expired_time.as_ref(), &stored.expired_time),
            // The gateway books unlimited tokens below zero; a client that sends such a row back does not
            // mean to set anything.
            remain_quota: other(self.remain_quota.as_ref(), &stored.remain_quota)
                .filter(|quota| *quota >= 0 || stored.remain_quota >= 0),
            unlimited_quota: other(self.unlimited_quota.as_ref(), &stored.unlimited_quota),
            model_limits_enabled: other(
                self.model_limits_enabled.as_ref(),
                &stored.model_limits_enabled,
            ),
            model_limits: other(self.model_limits.as_ref(), &stored.model_limits),
            allow_ips: self.addresses(stored, limits)?,
            group: other(self.group.as_ref(), &stored.group),
            cross_group_retry: self.cross_group_retry,
        };
        if let Some(name) = &change.name {
            limits.name(name)?;
        }
        if let Some(quota) = change.remain_quota {
            limits.quota(quota)?;
        }
        if let Some(time) = change.expired_time {
            moment(time)?;
        }
        match change.status {
            None | Some(DISABLED) => {}
            Some(ENABLED) => may_be_enabled(stored, &change, now)?,
            Some(_) => return Err(Message::Wrong("status", Expected::StatusByHand)),
        }
        Ok(change)
    }

    /// The addresses that replace those of `stored`.
    fn addresses(&self, stored: &Token, limits: Limits) -> Result<Option<String>, Message> {
        let Some(entries) = &self.allow_ips else {
            return Ok(None);
        };
        let before = stored.allow_ips.as_deref().unwrap_or_default();
        let kept: Vec<&str> = before
            .split([',', '\n', '\r', ' '])
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .collect();
        // A comma list that the gateway stored reads as open or shut to all there: sent back, it is mended.
        if kept == *entries && !before.contains(',') {
            return Ok(None);
        }
        limits.addresses(entries).map(Some)
    }
}

/// `wanted` where it differs from what is stored.
fn other<T: Clone + PartialEq>(wanted: Option<&T>, stored: &T) -> Option<T> {
    wanted.filter(|wanted| *wanted != stored).cloned()
}

/// Looks at the row as it will be.
fn may_be_enabled(stored: &Token, change: &TokenChange, now: i64) -> Result<(), Message> {
    let expired_time = change.expired_time.unwrap_or(stored.expired_time);
    if expired_time != NEVER && expired_time <= now {
        return Err(Message::EnableExpired);
    }
    let unlimited = change.unlimited_quota.unwrap_or(stored.unlimited_quota);
    let quota = change.remain_quota.unwrap_or(stored.remain_quota);
    if !unlimited && quota <= 0 {
        return Err(Message::EnableExhausted);
    }
    Ok(())
}

fn moment(time: i64) -> Result<(), Message> {
    if time == NEVER || (1..=LATEST).contains(&time) {
        return Ok(());
    }
    Err(Message::Wrong(Member::ExpiredTime.name(), Expected::Moment))
}

/// An entry as a refusal quotes it: its beginning.
fn shown(entry: &str) -> String {
    entry.chars().take(SHOWN).collect()
}

impl Limits {
    /// `name`: the most characters of a name.
    pub(super) fn of(holds: Holds, name: usize) -> Self {
        Self {
            name,
            quota: holds.quota,
            ranges: holds.ranges,
        }
    }

    fn name(self, name: &str) -> Result<(), Message> {
        if name.chars().count() > self.name {
            return Err(Message::NameTooLong);
        }
        Ok(())
    }

    fn quota(self, quota: i64) -> Result<(), Message> {
        if quota < 0 {
            return Err(Message::QuotaNegative);
        }
        if quota > self.quota {
            return Err(Message::QuotaTooLarge(self.quota));
        }
        Ok(())
    }

    /// The entries as a row holds them: one a line.
    fn addresses(self, entries: &[String]) -> Result<String, Message> {
        let mut lines = Vec::with_capacity(entries.len());
        for entry in entries {
            let network = entry.parse::<IpNet>().ok();
            let line = match network {
                _ if entry.parse::<IpAddr>().is_ok() => entry.clone(),
                None => return Err(Message::BadAddress(shown(entry))),
                Some(_) if self.ranges => entry.clone(),
                Some(network) if network.prefix_len() == network.max_prefix_len() => {
                    network.addr().to_string()
                }
                Some(_) => return Err(Message::NoRanges(shown(entry))),
            };
            lines.push(line);
        }
        Ok(lines.join("\n"))
    }
}

#[cfg(test)]
mod tests;
