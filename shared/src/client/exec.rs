//! Credential plugins: a command that prints an `ExecCredential`. The contract and the words are client-go's.
//!
//! Run through tokio, so that timers, watches and Ctrl-C go on while a plugin thinks.

use std::io::IsTerminal;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use jiff::Timestamp;
use kube::config::{Cluster, ExecConfig, ExecInteractiveMode};
use serde::{Deserialize, Serialize};

use super::tls::authority;
use crate::error::{Error, Result};

/// For a plugin that nobody can be talking to.
const SILENT_LIMIT: Duration = Duration::from_secs(120);
/// For a plugin that may wait for a person: a browser, a second factor.
const INTERACTIVE_LIMIT: Duration = Duration::from_secs(600);

const GROUP: &str = "client.authentication.k8s.io/";

/// What a plugin handed out.
#[derive(Clone)]
pub(super) struct Credential {
    pub token: Option<String>,
    /// Certificate and key in PEM.
    pub identity: Option<(String, String)>,
    pub expires: Option<Timestamp>,
}

/// Runs the plugin once.
pub(super) async fn run(exec: &ExecConfig, cluster: &Cluster, may_ask: bool) -> Result<Credential> {
    let version = exec.api_version.clone().unwrap_or_default();
    if !matches!(version.strip_prefix(GROUP), Some("v1" | "v1beta1")) {
        return Err(Error::failed(format!("exec plugin: invalid apiVersion {version:?}")));
    }
    let name = exec.command.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(Error::failed("exec plugin: command must be specified"));
    }
    let interactive = interactive(exec, may_ask)?;
    let mut command = tokio::process::Command::new(name);
    command.args(exec.args.iter().flatten());
    for pair in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (pair.get("name"), pair.get("value")) {
            command.env(name, value);
        }
    }
    command.env("KUBERNETES_EXEC_INFO", exec_info(exec, cluster, &version, interactive)?);
    command.stdin(if interactive { Stdio::inherit() } else { Stdio::null() });
    command.stdout(Stdio::piped());
    command.stderr(if may_ask { Stdio::inherit() } else { Stdio::null() });
    command.kill_on_drop(true);

    let child = command.spawn().map_err(|error| not_started(exec, name, &error))?;
    let limit = if interactive { INTERACTIVE_LIMIT } else { SILENT_LIMIT };
    let output = tokio::time::timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| failed(format!("executable {name} did not end within {limit:?}")))?
        .map_err(|error| failed(format!("executable {name}: {error}")))?;
    if !output.status.success() {
        let how = output.status.code().map_or("ended by a signal".to_owned(), |code| {
            format!("failed with exit code {code}")
        });
        return Err(failed(format!("executable {name} {how}")));
    }
    parse(&output.stdout, &version)
}

/// Whether the plugin gets our stdin.
fn interactive(exec: &ExecConfig, may_ask: bool) -> Result<bool> {
    let terminal = may_ask && std::io::stdin().is_terminal();
    match exec.interactive_mode {
        Some(ExecInteractiveMode::Never) => Ok(false),
        Some(ExecInteractiveMode::Always) if !terminal => Err(failed(
            "exec plugin cannot support interactive mode: standard input is not a terminal".to_owned(),
        )),
        Some(ExecInteractiveMode::Always) => Ok(true),
        Some(ExecInteractiveMode::IfAvailable) | None => Ok(terminal),
    }
}

fn failed(what: String) -> Error {
    Error::failed(format!("getting credentials: exec: {what}"))
}

fn not_started(exec: &ExecConfig, name: &str, error: &std::io::Error) -> Error {
    let hint = exec.install_hint.clone().unwrap_or_default();
    if error.kind() == std::io::ErrorKind::NotFound {
        return failed(format!("executable {name} not found")).hint(hint.trim());
    }
    failed(format!("executable {name}: {}", super::kubeconfig::reason(error))).hint(hint.trim())
}

/// The object in `KUBERNETES_EXEC_INFO`.
fn exec_info(exec: &ExecConfig, cluster: &Cluster, version: &str, interactive: bool) -> Result<String> {
    #[derive(Serialize)]
    struct Info<'a> {
        kind: &'a str,
        #[serde(rename = "apiVersion")]
        api_version: &'a str,
        spec: Spec,
    }
    #[derive(Serialize)]
    struct Spec {
        #[serde(skip_serializing_if = "Option::is_none")]
        cluster: Option<serde_json::Value>,
        interactive: bool,
    }
    let cluster = exec.provide_cluster_info.then(|| {
        let extensions = cluster.extensions.iter().flatten();
        let config = extensions
            .into_iter()
            .find(|entry| entry.name == "client.authentication.k8s.io/exec");
        let mut value = serde_json::json!({ "server": cluster.server, "config": config.map(|entry| &entry.extension) });
        let encoded = authority(cluster)
            .ok()
            .flatten()
            .map(|pem| base64::engine::general_purpose::STANDARD.encode(pem));
        for (key, field) in [
            ("tls-server-name", serde_json::json!(cluster.tls_server_name)),
            (
                "insecure-skip-tls-verify",
                serde_json::json!(cluster.insecure_skip_tls_verify),
            ),
            ("certificate-authority-data", serde_json::json!(encoded)),
            ("proxy-url", serde_json::json!(cluster.proxy_url)),
        ] {
            if !field.is_null() {
                value[key] = field;
            }
        }
        value
    });
    let info = Info {
        kind: "ExecCredential",
        api_version: version,
        spec: Spec { cluster, interactive },
    };
    serde_json::to_string(&info).map_err(|error| failed(format!("cannot write the cluster info: {error}")))
}

/// Reads what the plugin printed, JSON or YAML. What it printed is never repeated: it holds a secret.
fn parse(output: &[u8], version: &str) -> Result<Credential> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        kind: Option<String>,
        api_version: Option<String>,
        status: Option<Status>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Status {
        expiration_timestamp: Option<String>,
        token: Option<String>,
        client_certificate_data: Option<String>,
        client_key_data: Option<String>,
    }
    let text = String::from_utf8_lossy(output);
    let answer: Answer = match serde_json::from_str(&text) {
        Ok(answer) => answer,
        Err(_) => {
            serde_yaml::from_str(&text).map_err(|_| failed("the plugin did not print an ExecCredential".to_owned()))?
        }
    };
    if answer.kind.as_deref() != Some("ExecCredential") {
        return Err(failed("the plugin did not print an ExecCredential".to_owned()));
    }
    let returned = answer.api_version.unwrap_or_default();
    if returned != version {
        return Err(failed(format!(
            "exec plugin is configured to use API version {version}, plugin returned version {returned:?}"
        )));
    }
    let status = answer
        .status
        .ok_or_else(|| failed("exec plugin didn't return a status field".to_owned()))?;
    let present = |text: Option<String>| text.filter(|text| !text.is_empty());
    let token = present(status.token);
    let identity = match (present(status.client_certificate_data), present(status.client_key_data)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) if token.is_none() => {
            return Err(failed("exec plugin didn't return a token or cert/key pair".to_owned()));
        }
        (None, None) => None,
        _ => {
            return Err(failed(
                "exec plugin returned only certificate or key, not both".to_owned(),
            ));
        }
    };
    let expires = status
        .expiration_timestamp
        .map(|text| text.parse::<Timestamp>())
        .transpose();
    let expires =
        expires.map_err(|_| failed("exec plugin returned an expirationTimestamp that is no time".to_owned()))?;
    Ok(Credential {
        token,
        identity,
        expires,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const V1: &str = "client.authentication.k8s.io/v1";

    fn answer(status: &str) -> Result<Credential> {
        parse(
            format!(r#"{{"kind":"ExecCredential","apiVersion":"{V1}","status":{status}}}"#).as_bytes(),
            V1,
        )
    }

    #[test]
    fn the_answer_of_a_plugin_is_checked() {
        let good = answer(r#"{"token":"t","expirationTimestamp":"2026-01-02T03:04:05Z"}"#).unwrap();
        assert_eq!(
            (good.token.as_deref(), good.expires.unwrap().to_string().as_str()),
            (Some("t"), "2026-01-02T03:04:05Z")
        );
        assert!(
            answer(r#"{"clientCertificateData":"c","clientKeyData":"k"}"#)
                .unwrap()
                .identity
                .is_some()
        );
        let yaml = format!("kind: ExecCredential\napiVersion: {V1}\nstatus: {{token: t}}\n");
        assert!(parse(yaml.as_bytes(), V1).is_ok());
        for bad in [
            "null",
            "{}",
            r#"{"token":""}"#,
            r#"{"clientKeyData":"k"}"#,
            r#"{"token":"t","expirationTimestamp":"soon"}"#,
        ] {
            assert!(answer(bad).is_err(), "{bad}");
        }
        let error = parse(b"oops s3cret", V1).err().unwrap();
        assert_eq!(
            error.headline(),
            "error: getting credentials: exec: the plugin did not print an ExecCredential"
        );
        assert!(parse(br#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"t"}}"#, V1).is_err());
    }

    #[test]
    fn a_plugin_is_told_about_the_cluster_only_when_it_asked() {
        let cluster = Cluster {
            server: Some("https://h".into()),
            tls_server_name: Some("n".into()),
            ..Cluster::default()
        };
        let mut exec = ExecConfig::default();
        assert!(!exec_info(&exec, &cluster, V1, false).unwrap().contains("https://h"));
        exec.provide_cluster_info = true;
        let info: serde_json::Value = serde_json::from_str(&exec_info(&exec, &cluster, V1, true).unwrap()).unwrap();
        assert_eq!(info["spec"]["cluster"]["tls-server-name"], "n");
        assert_eq!(info["spec"]["interactive"], true);
        assert_eq!(info["apiVersion"], V1);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_missing_command_comes_with_its_install_hint() {
        let exec = ExecConfig {
            api_version: Some(V1.into()),
            command: Some("no-such-command-here".into()),
            install_hint: Some("install it\n".into()),
            interactive_mode: Some(ExecInteractiveMode::Never),
            ..ExecConfig::default()
        };
        let error = run(&exec, &Cluster::default(), false).await.err().unwrap();
        assert_eq!(
            error.headline(),
            "error: getting credentials: exec: executable no-such-command-here not found"
        );
        assert_eq!(error.hints(), ["install it"]);
    }
}
