//! Credentials that change during a run: token files and credential plugins. All others are kube-rs' business.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use kube::config::{AuthInfo, Cluster, ExecConfig};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::exec::{self, Credential};
use super::kubeconfig::reason;
use crate::error::{Error, Result};

/// How often a token file is read again. A projected service account token changes hourly; client-go's interval.
const FILE_AGE: Duration = Duration::from_secs(60);

enum Source {
    /// Nothing that changes.
    Fixed,
    File {
        path: PathBuf,
        fallback: Option<String>,
    },
    Exec {
        exec: Box<ExecConfig>,
        cluster: Box<Cluster>,
        may_ask: bool,
    },
}

/// Certificate and key, in PEM.
pub(super) type Identity = (String, String);

/// What goes with a request.
#[derive(Clone, Default)]
pub(super) struct Current {
    /// The value of `Authorization`.
    pub header: Option<HeaderValue>,
    /// The client certificate, where a plugin hands it out.
    pub identity: Option<Identity>,
    /// Counts the credentials, so that of many requests that are refused at once only one fetches new ones.
    pub generation: u64,
}

struct State {
    current: Current,
    good_until: Until,
}

enum Until {
    Never,
    Age(Instant),
    Time(Timestamp),
}

/// Holds the credentials and fetches new ones, one fetch at a time.
pub(super) struct Credentials {
    source: Source,
    state: Mutex<Option<State>>,
}

impl Credentials {
    /// Takes what changes out of `user`; kube-rs handles what is left in it.
    pub(super) fn take(user: &mut AuthInfo, cluster: &Cluster, may_ask: bool) -> Self {
        let fixed = user.auth_provider.is_some() || user.username.is_some();
        let source = if let Some(path) = user.token_file.take().filter(|path| !path.is_empty() && !fixed) {
            // Where both are given the file wins while it can be read, as in client-go.
            let fallback = user.token.take().map(|token| token.expose_secret().to_owned());
            Source::File {
                path: path.into(),
                fallback,
            }
        } else if let Some(exec) = user.exec.take().filter(|_| !fixed && user.token.is_none()) {
            Source::Exec {
                exec: Box::new(exec),
                cluster: Box::new(cluster.clone()),
                may_ask,
            }
        } else {
            Source::Fixed
        };
        Self {
            source,
            state: Mutex::new(None),
        }
    }

    /// Whether there is any use in asking again.
    pub(super) fn can_change(&self) -> bool {
        !matches!(self.source, Source::Fixed)
    }

    /// The credentials to use now, fetched if there are none or if they are about to expire.
    pub(super) async fn current(&self) -> Result<Current> {
        let mut state = self.state.lock().await;
        match &*state {
            Some(State { current, good_until }) if good_until.holds() => Ok(current.clone()),
            _ => self.fetch(&mut state).await,
        }
    }

    /// New credentials after the server refused those of `generation`. `None` where there are no others.
    pub(super) async fn renew(&self, generation: u64) -> Result<Option<Current>> {
        if !self.can_change() {
            return Ok(None);
        }
        let mut state = self.state.lock().await;
        if let Some(State { current, .. }) = &*state
            && current.generation != generation
        {
            return Ok(Some(current.clone()));
        }
        let old = state.as_ref().and_then(|state| state.current.header.clone());
        let new = self.fetch(&mut state).await?;
        // The same token again, from a file nobody has changed: the server would say the same.
        let same_file = matches!(self.source, Source::File { .. }) && new.header == old;
        Ok((!same_file).then_some(new))
    }

    async fn fetch(&self, state: &mut Option<State>) -> Result<Current> {
        let generation = state.as_ref().map_or(0, |state| state.current.generation) + 1;
        let (header, identity, good_until) = match &self.source {
            Source::Fixed => (None, None, Until::Never),
            Source::File { path, fallback } => {
                let last = state.as_ref().and_then(|state| state.current.header.clone());
                (
                    Some(read_token(path, fallback.as_deref(), last).await?),
                    None,
                    Until::Age(Instant::now() + FILE_AGE),
                )
            }
            Source::Exec { exec, cluster, may_ask } => {
                let Credential {
                    token,
                    identity,
                    expires,
                } = exec::run(exec, cluster, *may_ask).await?;
                let header = token.map(|token| bearer(&token)).transpose()?;
                (
                    header,
                    identity,
                    expires.map_or(Until::Never, |at| Until::Time(before(Timestamp::now(), at))),
                )
            }
        };
        let current = Current {
            header,
            identity,
            generation,
        };
        *state = Some(State {
            current: current.clone(),
            good_until,
        });
        Ok(current)
    }
}

impl Until {
    fn holds(&self) -> bool {
        match self {
            Self::Never => true,
            Self::Age(at) => Instant::now() < *at,
            Self::Time(at) => Timestamp::now() < *at,
        }
    }
}

/// When to fetch again: a little before the end, and for short-lived credentials not much before it, or the plugin would run
/// for every request.
fn before(now: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(now);
    let margin = (life / 10).clamp(SignedDuration::ZERO, SignedDuration::from_secs(10));
    expires.checked_sub(margin).unwrap_or(expires)
}

/// Reads a token and trims it: editors and `echo` leave a line break at the end, which no header may hold. If the file is
/// gone, the last token that was read still counts: some programs take it away on purpose after the start.
async fn read_token(path: &Path, fallback: Option<&str>, last: Option<HeaderValue>) -> Result<HeaderValue> {
    let unable = |why: &str| Error::failed(format!("unable to read the token file {}: {why}", path.display()));
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(owned)).await;
    let why = match read {
        Ok(Ok(text)) if !text.trim().is_empty() => return bearer(text.trim()),
        Ok(Ok(_)) => "it is empty".to_owned(),
        Ok(Err(error)) => reason(&error),
        Err(_) => "interrupted".to_owned(),
    };
    match (last, fallback) {
        (Some(last), _) => Ok(last),
        (None, Some(token)) => bearer(token),
        (None, None) => Err(unable(&why)),
    }
}

pub(super) fn bearer(token: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Error::failed("the token holds characters that cannot be sent in a header"))?;
    // Keeps it out of every log.
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(path: &std::path::Path) -> Credentials {
        let mut user = AuthInfo {
            token_file: Some(path.to_string_lossy().into_owned()),
            ..AuthInfo::default()
        };
        Credentials::take(&mut user, &Cluster::default(), false)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_token_file_may_end_in_a_line_break_and_may_go_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let credentials = file(&path);
        let first = credentials.current().await.unwrap();
        assert_eq!(first.header.unwrap().to_str().unwrap(), "Bearer one");
        assert!(credentials.renew(first.generation).await.unwrap().is_none());
        std::fs::write(&path, "two\n").unwrap();
        let second = credentials.renew(first.generation + 1).await.unwrap().unwrap();
        assert_eq!(second.header.unwrap().to_str().unwrap(), "Bearer two");
        std::fs::remove_file(&path).unwrap();
        assert!(credentials.renew(second.generation).await.unwrap().is_none());
        assert!(credentials.current().await.unwrap().header.is_some());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_token_file_that_never_was_is_an_error() {
        let error = file(std::path::Path::new("/nope/token")).current().await.err().unwrap();
        assert_eq!(
            error.headline(),
            "error: unable to read the token file /nope/token: no such file or directory"
        );
    }

    #[test]
    fn credentials_are_renewed_shortly_before_they_expire() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let after = |seconds| now + SignedDuration::from_secs(seconds);
        assert_eq!(before(now, after(900)), after(890));
        assert_eq!(before(now, after(10)), after(9));
        assert_eq!(before(now, after(-5)), after(-5));
    }
}
