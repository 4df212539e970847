//! What the configuration means. (Being written on branch c; this is its shape.)

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::notify::pushplus::{self, PushPlus};
use crate::notify::{EventKind, Locale, Notifier};
use crate::schedule::Plan;
use crate::{gateway, provider, telemetry};

/// x
#[derive(Clone, Debug)]
pub struct Config {
    /// x
    pub path: Option<PathBuf>,
    /// x
    pub locale: Locale,
    /// x
    pub gateway: Option<gateway::Settings>,
    /// x
    pub state_dir: PathBuf,
    /// x
    pub schedule: ScheduleSettings,
    /// x
    pub credentials: Vec<CredentialSettings>,
    /// x
    pub notifiers: Vec<NotifierSettings>,
    /// x
    pub api: ApiSettings,
    /// x
    pub log: telemetry::Settings,
}
/// x
#[derive(Clone, Debug)]
pub struct ScheduleSettings {
    /// x
    pub plan: Arc<Plan>,
    /// x
    pub timezone: chrono_tz::Tz,
    /// x
    pub concurrency: usize,
    /// x
    pub per_endpoint: usize,
}
/// x
#[derive(Clone, Debug)]
pub struct CredentialSettings {
    /// x
    pub name: String,
    /// x
    pub client: provider::Client,
    /// x
    pub seed: Option<SecretString>,
    /// x
    pub seed_source: Option<String>,
    /// x
    pub channels: Vec<ChannelRef>,
    /// x
    pub refresh_before: Duration,
}
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelRef {
    /// x
    pub id: i64,
    /// x
    pub line: Option<usize>,
}
/// x
#[derive(Clone, Debug)]
pub struct NotifierSettings {
    /// x
    pub name: String,
    /// x
    pub events: Vec<EventKind>,
    /// x
    pub service: Service,
}
/// x
#[derive(Clone, Debug)]
pub enum Service {
    /// x
    PushPlus(pushplus::Settings),
}
impl NotifierSettings {
    /// x
    #[must_use]
    pub fn notifier(&self) -> Box<dyn Notifier> {
        match &self.service {
            Service::PushPlus(settings) => Box::new(PushPlus::new(settings.clone())),
        }
    }
}
/// x
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// x
    pub listen: String,
}
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Problems;
/// x
#[derive(Clone, Debug)]
pub struct Environment {
    /// x
    pub journal: bool,
    /// x
    pub runtime_dir: Option<PathBuf>,
}
impl Environment {
    /// x
    pub fn of_process(_config: Option<PathBuf>) -> std::io::Result<Self> {
        Err(std::io::Error::other("x"))
    }
}
/// x
pub fn load(_: &Environment) -> Result<Config, Problems> {
    Err(Problems)
}
impl Config {
    /// x
    pub fn api_secrets(&self) -> Result<(), Problems> {
        Err(Problems)
    }
    /// x
    #[must_use]
    pub fn needs_restart(&self, _: &Self) -> Vec<&'static str> {
        Vec::new()
    }
}
