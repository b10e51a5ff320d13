//! What should answer for a webhook, and whether anything is there.

use serde_json::Value;

use super::super::{Life, desk::Desk};
use crate::facts::{Ask, Key};

/// Who should answer for a webhook, a conversion or an aggregated API.
#[derive(Debug, PartialEq, Eq)]
pub enum Backend {
    /// A Service in the cluster.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Something anywhere.
    Url(String),
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service { namespace, name } => write!(f, "service {namespace}/{name}"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

impl Backend {
    /// From a `clientConfig`.
    pub fn of(config: &Value) -> Option<Self> {
        let service = &config["service"];
        match (
            service["namespace"].as_str(),
            service["name"].as_str(),
            config["url"].as_str(),
        ) {
            (Some(namespace), Some(name), _) => Some(Self::Service {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            (.., Some(url)) => Some(in_cluster(url).unwrap_or_else(|| Self::Url(url.to_owned()))),
            _ => None,
        }
    }

    /// Whether this is what is called at an address, as [`super::call::Call::address`] reads it.
    pub fn is_at(&self, address: &str) -> bool {
        match self {
            Self::Service { namespace, name } => {
                let host = address.split(':').next().unwrap_or_default();
                let rest = host.strip_prefix(&format!("{name}.{namespace}.svc"));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
            Self::Url(url) => {
                let authority = url
                    .split_once("://")
                    .and_then(|(_, rest)| rest.split(['/', '?']).next());
                authority.is_some_and(|authority| authority.eq_ignore_ascii_case(address))
            }
        }
    }

    /// Whether anything is behind it. Nothing while it is not known.
    pub fn state(&self, desk: &Desk<'_>) -> Option<(Life, String)> {
        let Self::Service { namespace, name } = self else {
            return Some((Life::Unknown, "the API server calls it by its URL".into()));
        };
        match desk.raw(&Key::within("", "services", namespace, name))? {
            Err(said) if said.is_missing() => return Some((Life::Dead, "there is no such Service".into())),
            Err(said) => return Some((Life::Unknown, said.message.clone())),
            Ok(service) if service["spec"]["type"] == "ExternalName" => {
                let host = service["spec"]["externalName"].as_str().unwrap_or_default();
                return Some((Life::Unknown, format!("it is an alias of {host}")));
            }
            Ok(_) => {}
        }
        let slices = match desk.all::<Value>(&Ask::list("discovery.k8s.io", "endpointslices", Some(namespace)))? {
            Ok(slices) => slices,
            Err(said) => return Some((Life::Unknown, said.message.clone())),
        };
        let of_it = slices
            .iter()
            .filter(|s| s["metadata"]["labels"]["kubernetes.io/service-name"] == name.as_str());
        let endpoints: Vec<&Value> = of_it.filter_map(|s| s["endpoints"].as_array()).flatten().collect();
        let ready = endpoints
            .iter()
            .filter(|e| e["conditions"]["ready"] != Value::Bool(false))
            .count();
        Some(match ready {
            0 => (Life::Dead, "no pod behind it is Ready".into()),
            1 => (Life::Unknown, "1 pod behind it is Ready".into()),
            ready => (Life::Unknown, format!("{ready} pods behind it are Ready")),
        })
    }
}

/// A URL may name a Service as well: `https://NAME.NAMESPACE.svc:443/path`.
fn in_cluster(url: &str) -> Option<Backend> {
    let host = url.strip_prefix("https://")?.split(['/', ':', '?']).next()?;
    let mut labels = host.split('.');
    let (name, namespace) = (labels.next()?, labels.next()?);
    (labels.next()? == "svc").then(|| Backend::Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whether_a_backend_is_at_an_address() {
        let service = Backend::of(&json!({"service": {"namespace": "shop", "name": "guard"}}));
        let at = |address: &str| service.as_ref().is_some_and(|service| service.is_at(address));
        assert!(at("guard.shop.svc:443") && at("guard.shop.svc.cluster.local:8443"));
        assert!(!at("guard.shop.svcs:443") && !at("guard.other.svc:443"));
        let url = Backend::Url("https://Guard.example.com:8443/check".into());
        assert!(url.is_at("guard.example.com:8443") && !url.is_at("guard.example.com"));
        assert!(Backend::Url("https://127.0.0.1:4711".into()).is_at("127.0.0.1:4711"));
    }

    #[test]
    fn a_url_of_a_service_is_a_service() {
        let of = |url: &str| Backend::of(&json!({"url": url})).map(|b| b.to_string());
        assert_eq!(
            of("https://guard.shop.svc:8443/check").as_deref(),
            Some("service shop/guard")
        );
        assert_eq!(
            of("https://guard.shop.svc.cluster.local").as_deref(),
            Some("service shop/guard")
        );
        assert_eq!(
            of("https://guard.example.com/svc").as_deref(),
            Some("https://guard.example.com/svc")
        );
    }
}
