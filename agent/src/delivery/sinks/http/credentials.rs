//! Who we are: the header `Authorization`, made of a secret that is never shown.

use std::fmt::Display;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::Secret;
use crate::delivery::sink::Trouble;
use crate::delivery::sinks::named_file;

/// Stands where a secret stood.
const CENSORED: &str = "[secret]";

/// How the secret is said.
#[derive(Clone, Debug)]
pub(in crate::delivery::sinks) enum Scheme {
    /// `WORD SECRET`, as `Bearer` (RFC 6750), `Splunk` and `ApiKey`.
    Token(&'static str),
    /// RFC 7617.
    Basic { user: String },
}

#[derive(Clone, Debug)]
pub(in crate::delivery::sinks) struct Credentials {
    pub(in crate::delivery::sinks) scheme: Scheme,
    pub(in crate::delivery::sinks) secret: Secret,
}

impl Credentials {
    pub(super) fn read(&self) -> Result<Authorization, Trouble> {
        let secret = read_secret(&self.secret)?;
        let (word, said) = match &self.scheme {
            Scheme::Token(word) => (*word, secret.clone()),
            Scheme::Basic { user } => ("Basic", STANDARD.encode(format!("{user}:{secret}"))),
        };
        Ok(Authorization {
            header: format!("{word} {said}"),
            secrets: [said, secret],
        })
    }
}

/// The text of a secret, fit for a header.
fn read_secret(secret: &Secret) -> Result<String, Trouble> {
    let path = match secret {
        Secret::Inline(text) => return Ok(text.clone()),
        Secret::File(path) => path,
    };
    let bytes = named_file::read(path).map_err(|error| unfit(path, &error))?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let text = text.trim_end();
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || !is_visible {
        return Err(unfit(path, &"no secret of visible ASCII characters"));
    }
    Ok(text.to_owned())
}

/// Somebody has to change the file first. What is in it is not told.
fn unfit(path: &Path, why: &dyn Display) -> Trouble {
    Trouble::Hold {
        why: format!("{}: {why}", path.display()),
    }
}

/// Has no `Debug`: a secret is never shown.
pub(super) struct Authorization {
    header: String,
    /// As it is sent, and as it was read.
    secrets: [String; 2],
}

impl Authorization {
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    /// `text` without the secret, which a receiver may repeat in an answer.
    pub(super) fn censored(&self, text: String) -> String {
        let mut text = text;
        for secret in &self.secrets {
            text = text.replace(secret, CENSORED);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn why(credentials: &Credentials) -> String {
        match credentials.read() {
            Err(Trouble::Hold { why }) => why,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it was read"),
        }
    }

    #[test]
    fn a_secret_is_read_anew_each_time_without_the_whitespace_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let credentials = Credentials {
            scheme: Scheme::Token("Splunk"),
            secret: Secret::File(path.clone()),
        };
        for (text, header) in [("abc\r\n", "Splunk abc"), ("other", "Splunk other")] {
            fs::write(&path, text).unwrap();
            let authorization = credentials.read().ok().unwrap();
            assert_eq!(authorization.header(), header);
        }
    }

    #[test]
    fn a_file_that_is_no_secret_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let credentials = Credentials {
            scheme: Scheme::Token("Bearer"),
            secret: Secret::File(path.clone()),
        };
        let named = |why: &str| why.starts_with(&format!("{}: ", path.display()));
        assert!(named(&why(&credentials)) && why(&credentials).contains("No such file"));
        for text in [&b""[..], b" \n", b"hush\nhush", b"hush\0", b"hush\xff"] {
            fs::write(&path, text).unwrap();
            let why = why(&credentials);
            assert!(named(&why) && !why.contains("hush"), "{why}");
        }
        fs::write(&path, vec![b'x'; 2 << 20]).unwrap();
        assert!(why(&credentials).ends_with("longer than 1 MiB"));
        let folder = Credentials {
            secret: Secret::File(folder.path().to_owned()),
            ..credentials
        };
        assert!(why(&folder).ends_with("not a regular file"));
    }

    #[test]
    fn what_a_receiver_repeats_is_censored_however_it_was_said() {
        let credentials = Credentials {
            scheme: Scheme::Basic {
                user: "wallwatch".to_owned(),
            },
            secret: Secret::Inline("hush".to_owned()),
        };
        let authorization = credentials.read().ok().unwrap();
        // `printf wallwatch:hush | base64`
        assert_eq!(authorization.header(), "Basic d2FsbHdhdGNoOmh1c2g=");
        let text = "no d2FsbHdhdGNoOmh1c2g=, no hush".to_owned();
        assert_eq!(authorization.censored(text), "no [secret], no [secret]");
    }
}
