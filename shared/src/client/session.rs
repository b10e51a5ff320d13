//! The way of every request: credentials, a bound in time, the server's warnings, a second try after a 401, a line in the log.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use kube::client::Body;
use kube::{Client, Config};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tower::BoxError;

use super::bounds::{Bound, BoundedBody, is_stream};
use super::choice::Choice;
use super::config::shown;
use super::credentials::{Credentials, Current, Identity};
use super::managed::{ManagedFields, Trimmed};
use super::pace::Pace;
use super::proxy::hide_password;
use super::tls::Settings;
use super::transport::{self, Received};
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
    tls: Settings,
    choice: &Choice,
    options: Options,
    managed_fields: ManagedFields,
    ui: &Ui,
) -> std::result::Result<Client, OpenError> {
    let credentials = Credentials::take(&mut config.auth_info, &choice.cluster, options.interactive);
    let namespace = config.default_namespace.clone();
    let session = Session {
        server: shown(&config.cluster_url),
        config,
        tls,
        credentials,
        transport: Mutex::new(None),
        limits: options.limits,
        managed_fields,
        pace: Pace::default(),
        warnings: Warnings::new(ui.clone()),
    };
    let current = session.credentials.current().await.map_err(OpenError::Ours)?;
    session.transport(&current).await?;
    Ok(Client::new(Carrier(Arc::new(session)), namespace))
}

/// An answer as the caller reads it.
type Answer = Trimmed<BoundedBody>;

struct Session {
    server: String,
    config: Config,
    tls: Settings,
    credentials: Credentials,
    /// The stack below, which knows the client certificate; a new one is made when a plugin hands out another certificate.
    transport: Mutex<Option<(Option<Identity>, Client)>>,
    limits: Limits,
    managed_fields: ManagedFields,
    pace: Pace,
    warnings: Warnings,
}

impl Session {
    async fn transport(&self, current: &Current) -> std::result::Result<Client, OpenError> {
        let mut transport = self.transport.lock().await;
        if let Some((identity, client)) = &*transport
            && *identity == current.identity
        {
            return Ok(client.clone());
        }
        let tls = match &current.identity {
            Some((certificate, key)) => self.tls.with_identity(certificate, key).map_err(OpenError::Ours)?,
            None => self.tls.clone(),
        };
        let config = self.config.clone();
        // Reading certificate stores blocks, and so do the credential helpers that kube-rs runs by itself.
        let built = tokio::task::spawn_blocking(move || transport::build(config, &tls)).await;
        let client = built.map_err(|error| OpenError::Kube(kube::Error::Service(error.into())))??;
        *transport = Some((current.identity.clone(), client.clone()));
        Ok(client)
    }

    async fn carry(&self, request: Request<Body>) -> std::result::Result<Response<Answer>, BoxError> {
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
    ) -> std::result::Result<Response<Answer>, BoxError> {
        if let Some(header) = &current.header {
            request.headers_mut().insert(AUTHORIZATION, header.clone());
        }
        let client = self.transport(current).await.map_err(|error| match error {
            OpenError::Ours(error) => BoxError::from(error),
            OpenError::Kube(error) => error.into(),
        })?;
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
        let received = response.extensions().get::<Received>().cloned().unwrap_or_default();
        let response = with_retry_after(response);
        let is_json = is_json(&response);
        Ok(response.map(|body| Trimmed::new(bound.body(body, received), self.managed_fields, is_json)))
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

fn is_json(response: &Response<Body>) -> bool {
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

/// An API server that sheds load says in a header how long to wait, and the body is plain text; kube-rs keeps neither. Put
/// into a Status, it is where everything else of that kind is.
fn with_retry_after(response: Response<Body>) -> Response<Body> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let json = is_json(&response);
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
    type Response = Response<Answer>;
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
