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

/// The most characters of `group`, and the most bytes of the two lists as they are stored: a page of the
/// longest rows stays small, and New API's own columns are shorter.
const GROUP: usize = 64;
const MODELS: usize = 4096;
const ADDRESSES: usize = 2048;

/// What parts the entries of `allow_ips`.
const BETWEEN: [char; 4] = [',', '\n', '\r', ' '];

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
            allow_ips: given.texts(Member::AllowIps, &BETWEEN)?,
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
        group(&new.group)?;
        models(&new.model_limits)?;
        addresses(&new.allow_ips)?;
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
        if let Some(name) = &change.group {
            group(name)?;
        }
        if let Some(list) = &change.model_limits
            && entries(list, &[',']) != entries(&stored.model_limits, &[','])
        {
            models(list)?;
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
        let Some(wished) = &self.allow_ips else {
            return Ok(None);
        };
        let before = stored.allow_ips.as_deref().unwrap_or_default();
        let is_kept = entries(before, &BETWEEN) == *wished;
        // A comma list that the gateway stored reads as open or shut to all there: sent back, it is mended.
        if is_kept && !before.contains(',') {
            return Ok(None);
        }
        let lines = limits.addresses(wished)?;
        if !is_kept {
            addresses(&lines)?;
        }
        Ok(Some(lines))
    }
}

/// The entries of a stored list.
fn entries<'t>(text: &'t str, separators: &[char]) -> Vec<&'t str> {
    let entries = text.split(separators).map(str::trim);
    entries.filter(|entry| !entry.is_empty()).collect()
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

fn group(name: &str) -> Result<(), Message> {
    let long = name.chars().count() > GROUP;
    refuse_if(long, Message::TooLong(Member::Group.name(), GROUP))
}

fn models(list: &str) -> Result<(), Message> {
    let name = Member::ModelLimits.name();
    refuse_if(list.len() > MODELS, Message::TooManyBytes(name, MODELS))
}

fn addresses(lines: &str) -> Result<(), Message> {
    let name = Member::AllowIps.name();
    refuse_if(
        lines.len() > ADDRESSES,
        Message::TooManyBytes(name, ADDRESSES),
    )
}

fn refuse_if(wrong: bool, message: Message) -> Result<(), Message> {
    if wrong { Err(message) } else { Ok(()) }
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
