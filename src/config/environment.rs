//! Where a configuration comes from: defaults < file < `.env` < environment, merged by figment.
//!
//! [`read`] makes one [`Document`] of them. Variables come through a provider of our own: figment's
//! reads `0012` as a number and strips quotes, ours yields every value as the text it is. Parser
//! messages are rewritten, since they quote the line.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::private_file::{Places, Refusal};
use super::problem::{Problem, Problems};
use super::raw::Document;

/// Variables known by their bare names, and the keys they stand for.
const BARE: [(&str, [&str; 2]); 3] = [
    ("TOKEN_SECRET", ["api", "token_secret"]),
    ("HASHIDS_SALT", ["api", "hashids_salt"]),
    ("USER_TOKEN_SECRET", ["gateway", "user_token_secret"]),
];

const PREFIX: &str = "KEYFRESH_";
const CONFIG: &str = "KEYFRESH_CONFIG";

/// What the process was started with, as far as a configuration depends on it; and where systemd put it.
#[derive(Clone, Debug)]
pub struct Environment {
    /// `--config PATH`.
    pub config: Option<PathBuf>,
    /// The environment's variables.
    pub variables: Vec<(String, String)>,
    /// systemd's `$CREDENTIALS_DIRECTORY`.
    pub credentials_directory: Option<PathBuf>,
    /// Where `config.toml` and `.env` are looked for first.
    pub working_directory: PathBuf,
    /// Where `config.toml` is looked for last: `/etc/keyfresh`.
    pub system_directory: PathBuf,
    /// systemd's `$RUNTIME_DIRECTORY`.
    pub runtime_dir: Option<PathBuf>,
    /// Whether standard error goes to systemd's journal.
    pub journal: bool,
}

impl Environment {
    /// Those of the running process.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub fn of_process(config: Option<PathBuf>) -> std::io::Result<Self> {
        // Names and values that are not UTF-8 cannot be ours.
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let journal = match variable(&variables, "JOURNAL_STREAM") {
            Some(stream) => is_standard_error(stream)?,
            None => false,
        };
        Ok(Self {
            config,
            credentials_directory: variable(&variables, "CREDENTIALS_DIRECTORY").map(PathBuf::from),
            working_directory: std::env::current_dir()?,
            system_directory: "/etc/keyfresh".into(),
            // Several are separated by colons; the unit names ours first.
            runtime_dir: variable(&variables, "RUNTIME_DIRECTORY")
                .and_then(|list| list.split(':').next())
                .map(PathBuf::from),
            journal,
            variables,
        })
    }

    /// The configuration file that somebody named, in words of `--config` or `KEYFRESH_CONFIG`.
    pub(super) fn named(&self) -> Option<(PathBuf, &'static str)> {
        let typed = self.config.clone().map(|path| (path, "--config"));
        typed
            .or_else(|| variable(&self.variables, CONFIG).map(|path| (path.into(), CONFIG)))
            .map(|(path, by)| (self.working_directory.join(path), by))
    }

    /// The configuration file to read, if there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.named().map(|(path, _)| path).or_else(|| {
            [&self.working_directory, &self.system_directory]
                .map(|directory| directory.join("config.toml"))
                .into_iter()
                // One that may not be looked at is there: reading it will say so.
                .find(|path| path.try_exists().unwrap_or(true))
        })
    }
}

/// `$JOURNAL_STREAM` is the device and inode of the journal's socket; children that are redirected inherit it.
fn is_standard_error(stream: &str) -> std::io::Result<bool> {
    let own = File::from(std::io::stderr().as_fd().try_clone_to_owned()?).metadata()?;
    Ok(stream == format!("{}:{}", own.dev(), own.ino()))
}

/// An empty variable counts as unset: compose files pass `${X:-}`.
fn variable<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    variables
        .iter()
        .find(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

/// Everything that was typed, merged.
pub(super) fn read(environment: &Environment) -> Result<Document, Problems> {
    let file = environment.file();
    let base = file
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(&environment.working_directory);
    let places = Places {
        credentials_directory: environment.credentials_directory.clone(),
        base: base.to_path_buf(),
    };
    let mut problems = Vec::new();
    let mut figment = Figment::new();
    if let Some(path) = &file {
        match read_toml(environment, &places, path) {
            Ok(typed) => figment = figment.merge(typed),
            Err(problem) => problems.push(problem),
        }
    }
    match read_dotenv(environment, &places) {
        Ok(variables) => figment = variables.into_iter().fold(figment, Figment::merge),
        Err(problem) => problems.push(problem),
    }
    figment = ours(&environment.variables, None)
        .into_iter()
        .fold(figment, Figment::merge);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    Ok(Document::new(figment, file, places))
}

/// The configuration file.
struct Typed {
    path: PathBuf,
    entries: Dict,
}

impl Provider for Typed {
    fn metadata(&self) -> Metadata {
        Metadata::from("", &*self.path)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.entries.clone()))
    }
}

fn read_toml(environment: &Environment, places: &Places, path: &Path) -> Result<Typed, Problem> {
    let problem = |fault: String, remedy: String| Problem {
        source: path.display().to_string(),
        key: String::new(),
        fault,
        remedy,
    };
    let text = places
        .read(path)
        .map_err(|refusal| match (refusal, environment.named()) {
            (Refusal::Missing, Some((_, by))) => problem(
                format!("the file named by {by} does not exist"),
                format!("correct {by}, or make the file with `keyfresh init`"),
            ),
            (refusal, _) => {
                let (fault, remedy) = refusal.explain(path);
                problem(fault, remedy)
            }
        })?;
    let entries = Toml::from_str(&text).map_err(|error| {
        let (line, column) = position(&text, error.span().map_or(0, |span| span.start));
        problem(
            format!(
                "line {line}, column {column} is not TOML: {}",
                unquoted(error.message())
            ),
            "correct the line (it is not shown, it may hold a secret); text stands in \"quotes\""
                .to_owned(),
        )
    })?;
    Ok(Typed {
        path: path.to_owned(),
        entries,
    })
}

/// Line and column, counted from one in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// The parser's message without what it quotes from the file: keys between backticks.
fn unquoted(message: &str) -> String {
    message
        .replace('\n', ", ")
        .split('`')
        .enumerate()
        .map(|(index, part)| match index % 2 {
            1 if part.chars().any(char::is_alphanumeric) => "…",
            _ => part,
        })
        .collect::<Vec<_>>()
        .join("`")
}

/// One variable of the environment or of `.env`; a provider each, so that every value knows its own.
struct Variable {
    name: String,
    dotenv: Option<PathBuf>,
    path: Vec<String>,
    value: String,
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        match &self.dotenv {
            Some(path) => Metadata::from(self.name.clone(), &**path),
            None => Metadata::named(self.name.clone()),
        }
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let leaf = Value::from(self.value.clone());
        let nested = self.path.iter().rev().fold(leaf, |inner, key| {
            Value::from(Dict::from([(key.clone(), inner)]))
        });
        Ok(Profile::Default.collect(nested.into_dict().unwrap_or_default()))
    }
}

/// Those of `variables` that are ours, bare names first.
fn ours(variables: &[(String, String)], dotenv: Option<&Path>) -> Vec<Variable> {
    let mut found: Vec<Variable> = variables
        .iter()
        .filter(|(name, value)| name != CONFIG && !value.is_empty())
        .filter_map(|(name, value)| {
            let bare = BARE.iter().find(|(bare, _)| bare == name);
            let path = match bare {
                Some((_, path)) => path.map(str::to_owned).to_vec(),
                None => name
                    .strip_prefix(PREFIX)?
                    .to_lowercase()
                    .split("__")
                    .map(str::to_owned)
                    .collect(),
            };
            Some(Variable {
                name: name.clone(),
                dotenv: dotenv.map(Path::to_path_buf),
                path,
                value: value.clone(),
            })
        })
        .collect();
    found.sort_by_key(|variable| (variable.name.starts_with(PREFIX), variable.name.clone()));
    found
}

/// `.env` of the working directory, or else the one beside the configuration file; many programs leave one
/// there, so that it is taken (and has to be private) only if it holds something of ours.
fn read_dotenv(environment: &Environment, places: &Places) -> Result<Vec<Variable>, Problem> {
    let found = [&environment.working_directory, &places.base]
        .map(|directory| directory.join(".env"))
        .into_iter()
        .find(|path| path.is_file());
    let Some(path) = found else {
        return Ok(Vec::new());
    };
    let problem = |(fault, remedy): (String, String)| Problem {
        source: path.display().to_string(),
        key: String::new(),
        fault,
        remedy,
    };
    let bytes =
        std::fs::read(&path).map_err(|error| problem(Refusal::from(error).explain(&path)))?;
    let taken = String::from_utf8_lossy(&bytes).lines().any(names_ours);
    if !taken {
        return Ok(Vec::new());
    }
    let text = places
        .read(&path)
        .map_err(|refusal| problem(refusal.explain(&path)))?;
    let pairs = dotenvy::from_read_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| {
            let line = match &error {
                dotenvy::Error::LineParse(line, _) => text.find(line.as_str()),
                _ => None,
            };
            problem((
                format!(
                    "line {} is not NAME=VALUE",
                    position(&text, line.unwrap_or(0)).0
                ),
                "correct it; a value with blanks, # or $ stands in 'single quotes'".to_owned(),
            ))
        })?;
    Ok(ours(&pairs, Some(&path)))
}

fn names_ours(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    line.starts_with(PREFIX) || BARE.iter().any(|(name, _)| line.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_message_loses_what_it_quotes() {
        let check = |message: &str, shown: &str| assert_eq!(unquoted(message), shown);
        check(
            "duplicate key `s3cret` in table `a.b`",
            "duplicate key `…` in table `…`",
        );
        check("expected `.`, `=`", "expected `.`, `=`");
        check(
            "invalid string\nexpected `\"`, `'`",
            "invalid string, expected `\"`, `'`",
        );
    }

    #[test]
    fn positions_count_from_one_in_characters() {
        let check = |offset, expected| assert_eq!(position("a\n密钥=x", offset), expected);
        check(0, (1, 1));
        check(2, (2, 1));
        check(8, (2, 3));
        check(99, (2, 5));
    }

    #[test]
    fn variables_name_keys_and_stay_text() {
        let check = |name: &str, value: &str, expected: &[&str]| {
            let found = ours(&[(name.into(), value.into())], None);
            let paths: Vec<String> = found.iter().map(|one| one.path.join(".")).collect();
            assert_eq!(paths, expected);
            assert!(found.iter().all(|one| one.value == value));
        };
        check("KEYFRESH_GATEWAY__URL", "'q'", &["gateway.url"]);
        check(
            "KEYFRESH_CREDENTIALS__MY_ONE__CHANNELS",
            "1,2",
            &["credentials.my_one.channels"],
        );
        check("TOKEN_SECRET", "0012", &["api.token_secret"]);
        check("USER_TOKEN_SECRET", "1", &["gateway.user_token_secret"]);
        check("KEYFRESH_CONFIG", "/x", &[]);
        check("TOKEN_SECRET", "", &[]);
        check("PATH", "/bin", &[]);
    }
}
