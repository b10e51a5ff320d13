//! What the server says of itself: its version, and its clock.

use std::time::Duration;

use http::{Request, header::DATE};
use http_body_util::{BodyExt as _, Limited};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, client::Body};
use serde::Deserialize;

use super::{Agent, Connection};
use crate::about::{self, Minor};

/// The server tells whole seconds, and an answer takes its time.
const EQUAL: SignedDuration = SignedDuration::from_secs(2);

/// For the version, once the clock is told: all else is there by then, and can do without.
const PATIENCE: Duration = Duration::from_secs(3);
/// Of an answer. A real one has some hundred bytes.
const LONGEST: usize = 64 << 10;
/// Of the name of a version that is shown. `v1.31.7-eks-bcf3d70` is a long one.
const SHOWN: usize = 40;

/// What the server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// Its version, `v1.36.3`, and which minor release that is. Nothing where it does not tell.
    pub version: Option<(String, Minor)>,
    /// How far its clock is ahead of this machine's: what it writes down is compared with that. Zero where they are the same by
    /// the second, and where the server does not tell.
    pub skew: SignedDuration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    major: String,
    minor: String,
    git_version: String,
}

impl Connection {
    /// The UID of the namespace `kube-system`, which stands for the cluster. `unknown` for who may not read it.
    pub async fn cluster_uid(&self) -> String {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_metadata("kube-system").await;
        let uid = found.ok().and_then(|namespace| namespace.metadata.uid);
        uid.unwrap_or_else(|| "unknown".into())
    }

    /// Asks for it. The clock has the time of every request, for ages are told by it; the version comes after it and is not waited
    /// for long. No answer is no error: whatever else is asked of such a server says what is wrong.
    pub async fn ask_server(&self) -> Server {
        let mut server = Server::default();
        let Ok(request) = Request::get("/version").body(Body::empty()) else {
            return server;
        };
        let sent = Timestamp::now();
        let Ok(answer) = self.client.send(request).await else {
            return server;
        };
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
        // The answer was written at some time between the two.
        let skew = date.map(|date| date.duration_since(date.clamp(sent, Timestamp::now().max(sent))));
        server.skew = skew.filter(|skew| skew.abs() > EQUAL).unwrap_or_default();
        let body = Limited::new(answer.into_body(), LONGEST).collect();
        if let Ok(Ok(body)) = tokio::time::timeout(PATIENCE, body).await {
            let version = serde_json::from_slice::<Version>(&body.to_bytes()).ok();
            server.version = version.and_then(|v| Some((plain(&v.git_version), Minor::parse(&v.major, &v.minor)?)));
        }
        server
    }
}

/// Nothing but what a version is made of.
fn plain(version: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    version.chars().filter(plain).take(SHOWN).collect()
}

impl Server {
    /// Whether it is this release or a later one. Not where it does not tell.
    pub fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let wanted = Minor::of(major, minor);
        self.version.as_ref().is_some_and(|(_, minor)| *minor >= wanted)
    }

    /// What to warn of, if it is not one that the plugin is tested with.
    pub fn untested(&self, agent: &Agent) -> Option<String> {
        let (text, minor) = self.version.as_ref()?;
        let outside = !about::KUBERNETES.contains(minor);
        outside.then(|| {
            let (first, last) = about::KUBERNETES.into_inner();
            let name = agent.name;
            format!("the server is Kubernetes {text}; {name} is tested with {first} to {last}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(major: &str, minor: &str) -> Option<String> {
        let version = Minor::parse(major, minor).map(|m| (format!("v{major}.{minor}.0"), m));
        let server = Server {
            version,
            ..Server::default()
        };
        let agent = Agent {
            name: "kubectl-x",
            version: "0.1.0",
        };
        server.untested(&agent)
    }

    #[test]
    fn a_server_outside_of_the_range_is_named() {
        let (first, last) = about::KUBERNETES.into_inner();
        let warning = format!("the server is Kubernetes v1.20.0; kubectl-x is tested with {first} to {last}");
        assert_eq!(said("1", "20"), Some(warning));
        assert!(said("2", "0").is_some());
    }

    #[test]
    fn a_release_and_those_after_it() {
        let server = |minor: &str| Server {
            version: Minor::parse("1", minor).map(|m| (String::new(), m)),
            ..Server::default()
        };
        assert!(server("30").is_at_least(1, 30) && server("31+").is_at_least(1, 30));
        assert!(!server("29").is_at_least(1, 30) && !server("").is_at_least(1, 30));
    }

    #[test]
    fn a_version_is_shown_without_what_is_none() {
        assert_eq!(plain("v1.31.7-eks-bcf3d70"), "v1.31.7-eks-bcf3d70");
        assert_eq!(plain("v1.2\nerror: \u{1b}[31mred\u{200b}"), "v1.2error31mred");
        assert_eq!(plain(&"1".repeat(1_000_000)).len(), SHOWN);
    }

    #[test]
    fn one_inside_is_not_and_neither_is_one_that_does_not_tell() {
        assert_eq!(said("1", "36"), None);
        // As hosted clusters say it.
        assert_eq!(said("1", "36+"), None);
        assert_eq!(said("1", "36-gke.1"), None);
        assert!(said("1", "20-gke.1").is_some());
        assert_eq!(said("", ""), None);
    }
}
