//! The stack below a session: TCP, maybe a proxy, TLS by the rules of [`super::tls`], HTTP/1.1, gzip. It is kube-rs' own stack with
//! another TLS, and it counts what comes over the wire.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use base64::Engine;
use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper_rustls::{DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, ResolveServerName};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::{Service, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;

use super::tls::Settings;
use crate::error::Result;

/// Builds the client. Blocks where certificates of the machine or a credential helper of kube-rs are asked.
pub(super) fn build(config: Config, tls: &Settings) -> std::result::Result<Client, super::session::OpenError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let tls = Tls::new(tls).map_err(super::session::OpenError::Ours)?;
    let built = match config.proxy_url.clone() {
        None => stack(config, tls.over(tcp)),
        Some(proxy) if proxy.scheme_str() == Some("socks5") => stack(config, tls.over(SocksV5::new(proxy, tcp))),
        Some(proxy) if proxy.scheme_str() == Some("https") => {
            let secure = tls.over(tcp);
            stack(config, tls.over(tunnel(proxy, secure)))
        }
        Some(proxy) => stack(config, tls.over(tunnel(proxy, tcp))),
    };
    built.map_err(super::session::OpenError::Kube)
}

/// The configuration of TLS and the name to ask for.
struct Tls {
    config: Arc<rustls::ClientConfig>,
    names: Arc<dyn ResolveServerName + Send + Sync>,
}

impl Tls {
    fn new(settings: &Settings) -> Result<Self> {
        let names: Arc<dyn ResolveServerName + Send + Sync> = match &settings.server_name {
            Some(name) => Arc::new(FixedServerNameResolver::new(name.clone())),
            None => Arc::new(DefaultServerNameResolver::default()),
        };
        Ok(Self {
            config: Arc::new(settings.client_config()?),
            names,
        })
    }

    fn over<H>(&self, connector: H) -> HttpsConnector<H> {
        HttpsConnector::new(connector, Arc::clone(&self.config), false, Arc::clone(&self.names))
    }
}

/// A tunnel through an HTTP proxy. The address may hold a user and a password.
fn tunnel<C>(proxy: Uri, connector: C) -> Tunnel<C> {
    let authority = proxy.authority().map_or("", |authority| authority.as_str());
    let basic = authority.rsplit_once('@').and_then(|(user, _)| {
        let plain: Vec<u8> = percent_encoding::percent_decode_str(user).collect();
        let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
        HeaderValue::try_from(format!("Basic {encoded}")).ok()
    });
    let tunnel = Tunnel::new(proxy, connector);
    match basic {
        Some(basic) => tunnel.with_auth(basic),
        None => tunnel,
    }
}

fn stack<H>(config: Config, connector: H) -> kube::Result<Client>
where
    H: Service<Uri> + Clone + Send + Sync + 'static,
    H::Response: Connection + Read + Write + Send + Unpin + 'static,
    H::Future: Send + 'static,
    H::Error: Into<tower::BoxError> + Send + Sync,
{
    let mut connector = TimeoutConnector::new(connector);
    connector.set_connect_timeout(config.connect_timeout);
    let http: legacy::Client<_, Body> = legacy::Builder::new(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .layer(DecompressionLayer::new().gzip(!config.disable_compression))
        .map_err(tower::BoxError::from)
        .map_response(counted)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

/// How many bytes of an answer's body have come, before they were decompressed. Among the extensions of the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Received(Arc<AtomicU64>);

impl Received {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn counted(response: Response<Incoming>) -> Response<Counted> {
    let received = Received::default();
    let (mut parts, body) = response.into_parts();
    parts.extensions.insert(received.clone());
    Response::from_parts(parts, Counted { body, received })
}

/// A body that counts.
struct Counted {
    body: Incoming,
    received: Received,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.received.0.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
