//! Nothing waits for ever.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::WatchParams;
use testsupport::Cluster;
use upkeep::args::KubeArgs;
use upkeep::client::{self, Agent, Limits, Options};
use upkeep::error;
use upkeep::ui::Ui;

use crate::bench::{Relay, apiserver, flags, probe_as_nobody, server_that_says, server_that_thinks};

fn within(limit: Duration, args: &[&str], expected: &str) {
    let ran = probe_as_nobody(args);
    assert!(ran.took < limit, "{ran:?}");
    assert_eq!(ran.stderr.lines().next(), Some(expected), "{ran:?}");
    assert_eq!(ran.code, 1);
}

#[test]
fn a_server_that_never_answers() {
    let server = format!("http://{}", server_that_says(None));
    within(
        Duration::from_secs(4),
        &["-s", &server, "--request-timeout", "1s"],
        "Unable to connect to the server: no answer within 1s (GET /api/v1/nodes)",
    );
}

#[test]
fn an_answer_that_stops_in_the_middle() {
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"items\":";
    let server = format!("http://{}", server_that_says(Some(half.to_owned())));
    within(
        Duration::from_secs(4),
        &["-s", &server, "--request-timeout", "1"],
        "Unable to connect to the server: the answer was not complete within 1s (GET /api/v1/nodes)",
    );
}

#[test]
fn a_connection_that_is_never_made() {
    // TLS begins and nobody goes on with it.
    let server = format!("https://{}", server_that_says(None));
    within(
        Duration::from_secs(4),
        &["-s", &server, "--request-timeout", "1s"],
        "Unable to connect to the server: no answer within 1s (GET /api/v1/nodes)",
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_watch_on_a_dead_connection_ends() {
    let relay = Relay::to(apiserver());
    let mut args = flags(Cluster::shared().kubeconfig());
    args.server = Some(format!("https://{}", relay.address));
    let limits = Limits {
        request: Some(Duration::from_secs(5)),
        idle: Duration::from_secs(2),
    };
    let agent = Agent {
        name: "kubectl-test",
        version: "0.1.0",
    };
    let options = Options {
        limits,
        interactive: false,
    };
    let connection = client::connect_with(&args, &agent, &Ui::captured().0, options)
        .await
        .unwrap();
    let api = Api::<Namespace>::all(connection.client.clone());
    let events = api.watch(&WatchParams::default().timeout(60), "0").await.unwrap();
    let mut events = std::pin::pin!(events);
    assert!(events.try_next().await.unwrap().is_some(), "the watch began");
    relay.freeze();
    let started = Instant::now();
    let end = loop {
        // Without a limit this would wait for ever.
        let next = tokio::time::timeout(Duration::from_secs(20), events.try_next());
        match next.await.expect("the dead connection is noticed") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the watch ended as if all was well"),
            Err(error) => break error,
        }
    };
    let took = started.elapsed();
    assert!(
        took > Duration::from_millis(1500) && took < Duration::from_secs(4),
        "{took:?}"
    );
    assert_eq!(
        error::describe(&end),
        "nothing heard for 2s, the connection is taken for dead (GET /api/v1/namespaces)"
    );
    assert!(error::is_transient(&end));
}

#[tokio::test(flavor = "current_thread")]
async fn a_quiet_watch_is_ended_by_the_server_before_the_limit() {
    let mut args = flags(Cluster::shared().kubeconfig());
    args.request_timeout = Some(Duration::from_secs(1));
    let limits = Limits {
        idle: Duration::from_secs(5),
        ..Limits::from_args(&args)
    };
    let agent = Agent {
        name: "kubectl-test",
        version: "0.1.0",
    };
    let options = Options {
        limits,
        interactive: false,
    };
    let connection = client::connect_with(&args, &agent, &Ui::captured().0, options)
        .await
        .unwrap();
    let api = Api::<Namespace>::all(connection.client.clone());
    let params = WatchParams::default().timeout(3).fields("metadata.name=nobody");
    let started = Instant::now();
    let events: Vec<_> = api.watch(&params, "0").await.unwrap().try_collect().await.unwrap();
    // Longer than the request timeout, which is not for watches.
    assert!(started.elapsed() > Duration::from_secs(2), "{:?}", started.elapsed());
    drop(events);
}

/// Ages are told by the server's clock, so that it is not given up with the version.
#[tokio::test(flavor = "current_thread")]
async fn a_slow_server_has_its_clock_heard() {
    let ahead = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&ahead)
        .unwrap();
    // The version never comes.
    let head = format!("HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: 100\r\n\r\n{{");
    let address = server_that_thinks(Duration::from_secs(4), Some(head));
    let args = KubeArgs {
        server: Some(format!("http://{address}")),
        ..KubeArgs::default()
    };
    let agent = Agent {
        name: "kubectl-test",
        version: "0.1.0",
    };
    let connection = client::connect(&args, &agent, &Ui::captured().0).await.unwrap();
    let began = Instant::now();
    let server = connection.ask_server().await;
    let minutes = server.skew.as_mins();
    assert!((59..=60).contains(&minutes), "{minutes}");
    assert_eq!(server.version, None);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// An answer as gzip: `length` bytes of JSON that are nothing but blanks.
fn bomb(length: usize) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let blanks = vec![b' '; 1 << 20];
    encoder.write_all(b"{\"items\":[").unwrap();
    for _ in 0..length >> 20 {
        encoder.write_all(&blanks).unwrap();
    }
    encoder.write_all(b"]}").unwrap();
    encoder.finish().unwrap()
}

/// A server that answers each request with this body.
fn server_that_sends(head: &'static str, body: Vec<u8>) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 8192]);
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{head}content-length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    format!("http://{address}")
}

/// The probe with no more address space than this, in MiB.
fn within_memory(mib: u32, server: &str) -> (i32, String) {
    let script = format!("ulimit -v {}; exec \"$PROBE\" -s \"$SERVER\"", mib << 10);
    let output = std::process::Command::new("bash")
        .env_clear()
        .envs(Cluster::shared().env())
        .env("PROBE", crate::bench::probe_path())
        .env("SERVER", server)
        .env("KUBECONFIG", "/nope")
        .args(["-c", &script])
        .output()
        .unwrap();
    let code = output.status.code().unwrap_or(-1);
    (code, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn r53_an_answer_is_bounded_while_it_is_decompressed() {
    let body = bomb(300 << 20);
    let kb = body.len() / 1000;
    assert!((250..350).contains(&kb), "{kb} kB");
    let server = server_that_sends("content-encoding: gzip\r\n", body);
    // Without a bound it takes 1.1 GB.
    let (code, stderr) = within_memory(600, &server);
    let (first, hint) = stderr.split_once('\n').unwrap();
    let start = "error: the answer to GET /api/v1/nodes is too large: more than 64 MiB were decompressed from ";
    assert!(first.starts_with(start), "{stderr}");
    assert_eq!(code, 1);
    assert!(hint.contains("hint: no API server compresses that much"), "{stderr}");
}

#[test]
fn r53_a_large_answer_that_is_no_bomb_is_read() {
    let body = format!("{{\"metadata\":{{}},\"items\":[{}]}}", " ".repeat(100 << 20));
    let server = server_that_sends("", body.into_bytes());
    let ran = probe_as_nobody(&["-s", &server]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[tokio::test(flavor = "current_thread")]
async fn r53_an_event_of_a_watch_is_bounded() {
    let server = server_that_sends("content-encoding: gzip\r\n", bomb(300 << 20));
    let args = KubeArgs {
        server: Some(server),
        ..KubeArgs::default()
    };
    let (connection, _) = crate::bench::connect_with(&args).await;
    let api = Api::<Namespace>::all(connection.client.clone());
    let events = api.watch(&WatchParams::default(), "0").await.unwrap();
    let error = events.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(
        connection.explain(&error).headline(),
        "error: an event of GET /api/v1/namespaces is too large: more than 16 MiB"
    );
}
