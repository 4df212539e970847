//! Secret keys: typed in place or in a file of their own, `x` or `x_file`.

use secrecy::SecretString;

use super::private_file::Refusal;
use super::raw::{Origin, Table};

/// A secret and where it was found.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The secret.
    pub value: SecretString,
    /// The file or the variable, for people.
    pub source: String,
}

impl Table<'_> {
    /// The secret typed for `key`, or the content of the file that `key_file` names.
    pub(super) fn secret(&mut self, key: &str) -> Option<Secret> {
        self.secret_or_file(key, None)
    }

    /// As [`secret`](Self::secret); if neither was typed, the file called `fallback`, if there is one.
    pub(super) fn secret_or_file(&mut self, key: &str, fallback: Option<&str>) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let inline = self.origin(key);
        let named = self.origin(&file_key);
        // Both count as known, whichever is read.
        self.value(key);
        self.value(&file_key);
        match (inline, named) {
            (Some(inline), Some(named)) if inline.rank() == named.rank() => {
                self.report(
                    key,
                    format!("both {key} and {file_key} are given"),
                    "keep one of them",
                );
                None
            }
            (Some(inline), named)
                if named
                    .as_ref()
                    .is_none_or(|other| other.rank() < inline.rank()) =>
            {
                self.inline_secret(key, &inline)
            }
            (_, Some(_)) => {
                let name = self.text(&file_key)?;
                self.secret_file(&file_key, &name)
            }
            _ => {
                let name = fallback?;
                let path = self.document.places.locate(name);
                path.try_exists()
                    .unwrap_or(true)
                    .then(|| self.secret_file(&file_key, name))?
            }
        }
    }

    fn inline_secret(&mut self, key: &str, origin: &Origin) -> Option<Secret> {
        Some(Secret {
            value: self.text(key)?.into(),
            source: origin.to_string(),
        })
    }

    fn secret_file(&self, file_key: &str, name: &str) -> Option<Secret> {
        let places = &self.document.places;
        let path = places.locate(name);
        let text = match places.read(&path) {
            Ok(text) => text,
            Err(Refusal::Missing) => {
                let fault = format!("there is no such file in {}", places.shown());
                self.report(file_key, fault, "create it, mode 0600, or correct its name");
                return None;
            }
            Err(refusal) => {
                let (fault, remedy) = refusal.explain(&path);
                self.report(file_key, fault, remedy);
                return None;
            }
        };
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let secret = line.strip_suffix('\r').unwrap_or(line);
        if secret.is_empty() {
            let fault = format!("{} is empty", path.display());
            self.report(
                file_key,
                fault,
                "write the secret itself into it, nothing else",
            );
            return None;
        }
        Some(Secret {
            value: secret.into(),
            source: path.display().to_string(),
        })
    }
}
