//! Which proxy goes before a server: the environment as Go reads it (`golang.org/x/net/http/httpproxy`).

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

use crate::error::{Error, Result};

/// The proxy variables of the environment.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    /// `HTTP_PROXY`, for servers with `http://`.
    pub http: String,
    /// `HTTPS_PROXY`, for servers with `https://`.
    pub https: String,
    /// `NO_PROXY`, a list of servers that are reached directly.
    pub no: String,
}

impl Proxies {
    /// The upper-case variable goes before the lower-case one; an empty one counts as not set.
    pub(super) fn from_env() -> Self {
        let var = |names: [&str; 2]| {
            names
                .into_iter()
                .filter_map(|name| std::env::var(name).ok())
                .find(|value| !value.is_empty())
                .unwrap_or_default()
        };
        Self {
            http: var(["HTTP_PROXY", "http_proxy"]),
            https: var(["HTTPS_PROXY", "https_proxy"]),
            no: var(["NO_PROXY", "no_proxy"]),
        }
    }

    /// The proxy for this server, if it is to be reached through one.
    pub(super) fn for_server(&self, server: &Uri) -> Result<Option<Uri>> {
        let secure = server.scheme_str() == Some("https");
        let (name, proxy) = if secure {
            ("HTTPS_PROXY", &self.https)
        } else {
            ("HTTP_PROXY", &self.http)
        };
        if proxy.is_empty() || self.is_direct(server) {
            return Ok(None);
        }
        parse(proxy)
            .map(Some)
            .map_err(|why| Error::failed(format!("invalid {name}: {why}")))
    }

    fn is_direct(&self, server: &Uri) -> bool {
        let host = server
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_ascii_lowercase();
        let port = server
            .port_u16()
            .unwrap_or(if server.scheme_str() == Some("https") { 443 } else { 80 });
        let ip: Option<IpAddr> = host.parse().ok();
        // Never through a proxy, whatever the list says: it would be the proxy's own loopback.
        if host.is_empty() || host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
            return true;
        }
        self.no
            .split(',')
            .any(|entry| matches(&entry.trim().to_ascii_lowercase(), &host, ip, port))
    }
}

/// One entry of `NO_PROXY` against one server: `*`, `10.0.0.0/8`, `10.1.2.3:6443`, `example.com` with all below it,
/// `.example.com` or `*.example.com` for only what is below. An entry without sense is skipped, as Go does.
fn matches(entry: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(range) = entry.parse::<IpNet>() {
        return ip.is_some_and(|ip| range.contains(&ip));
    }
    let (name, entry_port) = split_port(entry);
    if name.is_empty() || entry_port.is_some_and(|entry_port| !entry_port.is_empty() && entry_port != port.to_string())
    {
        return false;
    }
    if let Ok(address) = name.parse::<IpAddr>() {
        return ip == Some(address);
    }
    let below = name
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(name);
    if ip.is_some() {
        return false;
    }
    match below.strip_prefix('.') {
        Some(_) => host.ends_with(below),
        None => host == below || host.strip_suffix(below).is_some_and(|rest| rest.ends_with('.')),
    }
}

/// `host:port`, `[v6]:port` or a bare host, which may be a bare IPv6 address.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some(rest) = entry.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, tail)) => (host, tail.strip_prefix(':')),
            None => (entry, None),
        };
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

/// The address of a proxy. Without a scheme it is `http`, as in Go; `socks5h` is what Go makes of `socks5` anyway.
pub(super) fn parse(text: &str) -> std::result::Result<Uri, String> {
    let full = match text.split_once("://") {
        Some(("socks5h", rest)) => format!("socks5://{rest}"),
        Some(_) => text.to_owned(),
        None => format!("http://{text}"),
    };
    // A proxy address may hold a password, so the text itself is not repeated.
    let uri: Uri = full.parse().map_err(|_| "it is not a URL".to_owned())?;
    match uri.scheme_str() {
        Some("http" | "https" | "socks5") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err(format!(
            "{} is not http, https or socks5 with a host",
            hide_password(&uri)
        )),
    }
}

/// The address without the user and the password that may be in it.
pub(super) fn hide_password(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}", uri.scheme_str().unwrap_or("http"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn direct(no: &str, server: &str) -> bool {
        let proxies = Proxies {
            http: "http://p".into(),
            https: "http://p".into(),
            no: no.into(),
        };
        proxies.for_server(&server.parse().unwrap()).unwrap().is_none()
    }

    #[test]
    fn no_proxy_is_compared_with_the_server() {
        let yes = [
            ("*", "https://h"),
            ("10.0.0.0/8", "https://10.1.2.3:6443"),
            ("10.1.2.3", "https://10.1.2.3:6443"),
            ("10.1.2.3:6443", "https://10.1.2.3:6443"),
            ("fd00::/8", "https://[fd00::1]:6443"),
            ("[fd00::1]:6443", "https://[fd00::1]:6443"),
            ("fd00::1", "https://[fd00::1]"),
            ("example.com", "https://example.com"),
            ("example.com", "https://api.example.com:6443"),
            ("EXAMPLE.com", "https://Api.Example.COM"),
            (".example.com", "https://api.example.com"),
            ("*.example.com", "https://api.example.com"),
            ("example.com:443", "https://example.com"),
            ("example.com:80", "http://example.com"),
            ("example.com:", "http://example.com"),
            ("localhost,127.0.0.1,.svc,", "https://kubernetes.default.svc"),
            (" a , example.com ,", "https://example.com"),
            // Never through a proxy.
            ("", "https://localhost:6443"),
            ("", "https://127.0.0.2:6443"),
            ("", "https://[::1]:6443"),
        ];
        for (no, server) in yes {
            assert!(direct(no, server), "{no:?} {server}");
        }
        let no = [
            ("", "https://h"),
            (",,", "https://h"),
            ("10.0.0.0/8", "https://11.1.2.3"),
            ("10.0.0.0/8", "https://ten.example"),
            ("10.1.2.3:443", "https://10.1.2.3:6443"),
            (".example.com", "https://example.com"),
            ("*.example.com", "https://example.com"),
            ("ample.com", "https://example.com"),
            ("example.com:443", "https://example.com:6443"),
            ("a b", "https://a"),
            ("[fd00::1", "https://[fd00::1]"),
        ];
        for (no, server) in no {
            assert!(!direct(no, server), "{no:?} {server}");
        }
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let proxies = Proxies {
            http: "plain:1".into(),
            https: "https://secure:2".into(),
            no: String::new(),
        };
        let of = |server: &str| {
            proxies
                .for_server(&server.parse().unwrap())
                .unwrap()
                .unwrap()
                .to_string()
        };
        assert_eq!(of("http://h"), "http://plain:1/");
        assert_eq!(of("https://h"), "https://secure:2/");
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_its_password() {
        let why = parse("ftp://user:s3cret@h").unwrap_err();
        assert_eq!(why, "ftp://h is not http, https or socks5 with a host");
        assert!(!parse("http://user:s3cret@a b").unwrap_err().contains("s3cret"));
        assert_eq!(parse("socks5h://h:1080").unwrap().to_string(), "socks5://h:1080/");
    }

    proptest::proptest! {
        #[test]
        fn no_list_stops_the_reader(list in "[*.:,/\\[\\]a0-9 ]{0,30}|.*") {
            direct(&list, "https://[fd00::1]:6443");
            direct(&list, "https://example.com");
        }
    }
}
