//! The way of every request: credentials, a bound in time, the server's warnings, a second try after a 401, a line in the log.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tower::BoxError;

use super::bounds::{Bound, BoundedBody, is_stream};
use super::choice::Choice;
use super::config::shown;
use super::credentials::{Credentials, Current, Identity};
use super::pace::Pace;
use super::proxy::hide_password;
use super::warnings::Warnings;
use super::{Limits, Options};
use crate::error::{self, Error};
use crate::ui::Ui;

/// Why a session could not be opened.
pub(super) enum OpenError {
    Ours(Error),
    Kube(kube::Error),
}

/// Builds the client. Credentials are fetched here for the first time, so that what is wrong with them is said at once.
pub(super) async fn open(
    mut config: Config,
    choice: &Choice,
    options: Options,
    ui: &Ui,
) -> std::result::Result<Client, OpenError> {
    let credentials = Credentials::take(&mut config.auth_info, &choice.cluster, options.interactive);
    let namespace = config.default_namespace.clone();
    let session = Session {
        server: shown(&config.cluster_url),
        config,
        credentials,
        transport: Mutex::new(None),
        limits: options.limits,
        pace: Pace::default(),
        warnings: Warnings::new(ui.clone()),
    };
    let current = session.credentials.current().await.map_err(OpenError::Ours)?;
    session.transport(&current).await.map_err(OpenError::Kube)?;
    Ok(Client::new(Carrier(Arc::new(session)), namespace))
}

struct Session {
    server: String,
    config: Config,
    credentials: Credentials,
    /// kube-rs' client, which knows the client certificate; a new one is made when a plugin hands out another certificate.
    transport: Mutex<Option<(Option<Identity>, Client)>>,
    limits: Limits,
    pace: Pace,
    warnings: Warnings,
}

impl Session {
    async fn transport(&self, current: &Current) -> std::result::Result<Client, kube::Error> {
        let mut transport = self.transport.lock().await;
        if let Some((identity, client)) = &*transport
            && *identity == current.identity
        {
            return Ok(client.clone());
        }
        let mut config = self.config.clone();
        if let Some((certificate, key)) = &current.identity {
            let encode = |pem: &str| base64::engine::general_purpose::STANDARD.encode(pem);
            config.auth_info.client_certificate = None;
            config.auth_info.client_certificate_data = Some(encode(certificate));
            config.auth_info.client_key = None;
            config.auth_info.client_key_data = Some(SecretString::from(encode(key)));
        }
        // Reading certificate stores blocks, and so do the credential helpers that kube-rs runs by itself.
        let built = tokio::task::spawn_blocking(|| ClientBuilder::try_from(config).map(ClientBuilder::build)).await;
        let client = built.map_err(|error| kube::Error::Service(error.into()))??;
        *transport = Some((current.identity.clone(), client.clone()));
        Ok(client)
    }

    async fn carry(&self, request: Request<Body>) -> std::result::Result<Response<BoundedBody>, BoxError> {
        let (parts, body) = request.into_parts();
        // A body that is a stream cannot be sent twice; kube-rs has none.
        let again = body.try_clone().filter(|_| self.credentials.can_change());
        let current = self.credentials.current().await?;
        let response = self.send(Request::from_parts(parts.clone(), body), &current).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let Some(body) = again else { return Ok(response) };
        match self.credentials.renew(current.generation).await? {
            // The request was not looked at, so sending it again cannot do anything twice.
            Some(renewed) => self.send(Request::from_parts(parts, body), &renewed).await,
            None => Ok(response),
        }
    }

    /// One request on the wire.
    async fn send(
        &self,
        mut request: Request<Body>,
        current: &Current,
    ) -> std::result::Result<Response<BoundedBody>, BoxError> {
        if let Some(header) = &current.header {
            request.headers_mut().insert(AUTHORIZATION, header.clone());
        }
        let client = self.transport(current).await?;
        if is_stream(&request) {
            self.pace.wait(request.uri()).await;
        }
        let started = Instant::now();
        let line = format!("{} {}{}", request.method(), self.server, request.uri());
        let bound = Bound::new(&request, self.limits);
        let answer = bound.wait(client.send(request)).await;
        let took = started.elapsed().as_millis();
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::debug!("{line} failed in {took} milliseconds: {}", error::describe(&error));
                return Err(self.blame(error));
            }
            Err(no_answer) => {
                tracing::debug!("{line} {no_answer}");
                return Err(no_answer.into());
            }
        };
        tracing::debug!("{line} {} in {took} milliseconds", response.status());
        self.warnings.show(response.headers());
        if let Some(error) = self.foreign(&response) {
            return Err(error.into());
        }
        let response = with_retry_after(response);
        Ok(response.map(|body| bound.body(body)))
    }

    /// Adds the proxy to what went wrong, where there is one.
    fn blame(&self, source: kube::Error) -> BoxError {
        match &self.config.proxy_url {
            Some(proxy) => error::ViaProxy {
                proxy: hide_password(proxy),
                source,
            }
            .into(),
            None => source.into(),
        }
    }

    /// A good answer that no API server gives: a login page, or the way to one.
    fn foreign(&self, response: &Response<Body>) -> Option<Error> {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if status.is_redirection() {
            let to = header(LOCATION)
                .map(|to| format!("a redirect to {to}"))
                .unwrap_or_default();
            return Some(error::not_kubernetes(&self.server, status.as_u16(), &to));
        }
        let page = header(CONTENT_TYPE).is_some_and(|value| value.starts_with("text/html"));
        (page && status.is_success()).then(|| error::not_kubernetes(&self.server, status.as_u16(), "<html>"))
    }
}

/// An API server that sheds load says in a header how long to wait, and the body is plain text; kube-rs keeps neither. Put
/// into a Status, it is where everything else of that kind is.
fn with_retry_after(response: Response<Body>) -> Response<Body> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let json = header(CONTENT_TYPE).is_some_and(|value| value.starts_with("application/json"));
    let seconds = header(RETRY_AFTER).and_then(|value| value.trim().parse::<u32>().ok());
    let Some(seconds) = seconds.filter(|_| !json && response.status() == StatusCode::TOO_MANY_REQUESTS) else {
        return response;
    };
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429, "reason": "TooManyRequests",
        "message": "Too many requests, please try again later.",
        "details": { "retryAfterSeconds": seconds },
    });
    response.map(|_| Body::from(status.to_string().into_bytes()))
}

/// The session as the service that kube-rs' client wants.
struct Carrier(Arc<Session>);

impl tower::Service<Request<Body>> for Carrier {
    type Response = Response<BoundedBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let session = Arc::clone(&self.0);
        Box::pin(async move { session.carry(request).await })
    }
}
