//! Who should answer, and whether anything is there.

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
            (.., Some(url)) => Some(Self::Url(url.to_owned())),
            _ => None,
        }
    }

    /// Whether anything is behind it. Nothing while it is not known.
    pub fn state(&self, desk: &Desk<'_>) -> Option<(Life, String)> {
        let Self::Service { namespace, name } = self else {
            return Some((Life::Unknown, "it is outside of the cluster".into()));
        };
        match desk.raw(&Key::within("", "services", namespace, name))? {
            Err(said) if said.is_missing() => return Some((Life::Dead, "there is no such Service".into())),
            Err(said) => return Some((Life::Unknown, said.message.clone())),
            Ok(service) if service["spec"]["type"] == "ExternalName" => {
                let host = service["spec"]["externalName"].as_str().unwrap_or_default();
                return Some((Life::Unknown, format!("it stands for {host}, outside of the cluster")));
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
            ready => (Life::Unknown, format!("{ready} Ready behind it, and still no answer")),
        })
    }
}
