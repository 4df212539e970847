//! A directory and variables to load a configuration from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use keyfresh::config::{Config, Environment, Problems, load};
use tempfile::TempDir;

/// The process's surroundings.
pub(super) struct Place {
    pub(super) directory: TempDir,
    pub(super) environment: Environment,
}

impl Place {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment {
            config: None,
            variables: Vec::new(),
            credentials_directory: None,
            working_directory: directory.path().to_owned(),
            system_directory: directory.path().join("etc"),
            runtime_dir: None,
            journal: false,
        };
        Self {
            directory,
            environment,
        }
    }

    pub(super) fn with(config: &str) -> Self {
        Self::new().file("config.toml", config)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn file(self, name: &str, content: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.mode(name, 0o600)
    }

    pub(super) fn mode(self, name: &str, mode: u32) -> Self {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.variables.push((name.into(), value.into()));
        self
    }

    pub(super) fn credentials_directory(mut self, name: &str) -> Self {
        self.environment.credentials_directory = Some(self.path(name));
        self
    }

    pub(super) fn load(&self) -> Result<Config, Problems> {
        load(&self.environment)
    }

    pub(super) fn config(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Every problem, with `DIR` for the directory.
    pub(super) fn problems(&self) -> String {
        let problems = self.load().expect_err("a problem").to_string();
        problems.replace(&self.directory.path().display().to_string(), "DIR")
    }
}
