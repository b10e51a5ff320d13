//! The clock of the server: what it writes down is compared with that, not with the clock of this machine.

use http::{Request, header::DATE};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use kube::client::Body;

use super::Connection;

/// The server tells whole seconds, and an answer takes its time.
const EQUAL: SignedDuration = SignedDuration::from_secs(2);

impl Connection {
    /// How far the server's clock is ahead of this machine's. Zero where they are the same by the second, and where the server
    /// does not tell.
    pub async fn skew(&self) -> SignedDuration {
        let Ok(request) = Request::get("/version").body(Body::empty()) else {
            return SignedDuration::ZERO;
        };
        let Ok(answer) = self.client.send(request).await else {
            return SignedDuration::ZERO;
        };
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
        let skew = date.map_or(SignedDuration::ZERO, |date| date.duration_since(Timestamp::now()));
        if skew.abs() <= EQUAL {
            SignedDuration::ZERO
        } else {
            skew
        }
    }
}
