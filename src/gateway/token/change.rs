//! What a wish changes: the fields that differ from what is stored, and their cells.
//!
//! Pure; `row.rs` writes what comes out of here. The columns of a layout's own stand in its file.

use super::{Native, NewToken, Token, TokenChange, column};
use crate::database::Value;

impl From<&NewToken> for TokenChange {
    fn from(new: &NewToken) -> Self {
        Self {
            name: Some(new.name.clone()),
            status: None,
            expired_time: Some(if new.expired_time == 0 {
                -1
            } else {
                new.expired_time
            }),
            remain_quota: Some(new.remain_quota),
            unlimited_quota: Some(new.unlimited_quota),
            model_limits_enabled: Some(new.model_limits_enabled),
            model_limits: Some(new.model_limits.clone()),
            allow_ips: Some(new.allow_ips.clone()),
            group: Some(new.group.clone()),
            cross_group_retry: Some(new.cross_group_retry.unwrap_or(false)),
        }
    }
}

impl TokenChange {
    /// What of it differs from `stored`.
    pub(super) fn news(&self, stored: &Token) -> Self {
        fn other<T: Clone + PartialEq>(wished: Option<&T>, stored: Option<&T>) -> Option<T> {
            wished.filter(|_| wished != stored).cloned()
        }
        Self {
            name: other(self.name.as_ref(), Some(&stored.name)),
            status: other(self.status.as_ref(), Some(&stored.status)),
            expired_time: other(self.expired_time.as_ref(), Some(&stored.expired_time)),
            remain_quota: other(self.remain_quota.as_ref(), Some(&stored.remain_quota)),
            unlimited_quota: other(self.unlimited_quota.as_ref(), Some(&stored.unlimited_quota)),
            model_limits_enabled: other(
                self.model_limits_enabled.as_ref(),
                Some(&stored.model_limits_enabled),
            ),
            // Beside a switch that changes the list stays: some gateway cannot hold the two apart.
            model_limits: if self.model_limits_enabled == Some(!stored.model_limits_enabled) {
                self.model_limits.clone()
            } else {
                other(self.model_limits.as_ref(), Some(&stored.model_limits))
            },
            allow_ips: other(self.allow_ips.as_ref(), stored.allow_ips.as_ref()),
            group: other(self.group.as_ref(), Some(&stored.group)),
            cross_group_retry: self.cross_group_retry.filter(|wished| {
                stored.native("cross_group_retry") != Some(&Native::Bool(*wished))
            }),
        }
    }

    /// The cells of the columns that every layout has.
    pub(super) fn shared(&self) -> Vec<(&'static str, Value)> {
        let int = |value: Option<i64>| value.map(Value::Int);
        let cells = [
            ("status", int(self.status)),
            ("name", self.name.as_ref().map(column::text)),
            ("expired_time", int(self.expired_time)),
            ("remain_quota", int(self.remain_quota)),
            ("unlimited_quota", int(self.unlimited_quota.map(i64::from))),
        ];
        let set = cells.into_iter();
        set.filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// The fields that ask for something which not every layout can hold.
    pub(super) fn asked(&self) -> impl Iterator<Item = &'static str> {
        let says = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let asked = [
            (
                "model_limits_enabled",
                self.model_limits_enabled == Some(true),
            ),
            ("model_limits", says(&self.model_limits)),
            ("allow_ips", says(&self.allow_ips)),
            ("group", says(&self.group)),
            ("cross_group_retry", self.cross_group_retry == Some(true)),
        ];
        asked
            .into_iter()
            .filter(|(_, asked)| *asked)
            .map(|(field, _)| field)
    }
}
