//! The match condition that leaves requests out of a webhook: of some users, for one namespace or one object, and no others.

use crate::facts::Key;

use super::Need;

/// True for every request that the webhook is still asked about. Each need is left out by itself. A field that a request does not
/// have would be an error, and a webhook that must answer refuses what its condition cannot be evaluated for.
pub fn expression(needed: &[Need]) -> String {
    let mut each: Vec<String> = needed.iter().map(one).collect();
    each.sort_unstable();
    each.dedup();
    format!("!({})", each.join(" || "))
}

fn one(need: &Need) -> String {
    let mut users = need.users.clone();
    users.sort_unstable();
    users.dedup();
    let users: Vec<String> = users.iter().map(|user| quoted(user)).collect();
    let who = format!("request.userInfo.username in [{}]", users.join(", "));
    match (&need.namespace, &need.only) {
        (Some(namespace), _) => {
            let name = quoted(namespace);
            // Kubelets end their own pods. The request about a namespace says its name in one place or in both.
            let kubelets =
                "request.resource.resource == \"pods\" && request.userInfo.username.startsWith(\"system:node:\")";
            let inside = format!("has(request.namespace) && request.namespace == {name}");
            let itself =
                format!("request.resource.resource == \"namespaces\" && has(request.name) && request.name == {name}");
            format!("(({inside}) || ({itself})) && ({who} || ({kubelets}))")
        }
        (None, Some(only)) => format!("{} && {who}", object(only)),
        (None, None) => "false".to_owned(),
    }
}

fn object(key: &Key) -> String {
    let Key {
        group, plural, name, ..
    } = key;
    let [group, plural, name] = [group, plural, name].map(|text| quoted(text));
    let named = format!("has(request.name) && request.name == {name}");
    format!("request.resource.group == {group} && request.resource.resource == {plural} && {named}")
}

/// The escapes of JSON are those of CEL as well.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use upkeep::lock::Identity;

    use super::{super::need, *};

    fn need_of(namespace: Option<&str>, only: Option<Key>, users: &[&str]) -> Need {
        Need {
            namespace: namespace.map(str::to_owned),
            only,
            users: users.iter().map(ToString::to_string).collect(),
            ..need("namespaces/s", &Identity::current(), Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn requests_of_these_users_for_this_namespace() {
        let text = expression(&[need_of(Some("s"), None, &["b", "a\"b\\"])]);
        assert!(text.contains(r#"request.namespace == "s""#), "{text}");
        assert!(
            text.contains(r#"request.userInfo.username in ["a\"b\\", "b"]"#),
            "{text}"
        );
        let volume = Key::cluster("", "persistentvolumes", "v");
        let text = expression(&[need_of(None, Some(volume), &["a"])]);
        assert_eq!(
            text,
            r#"!(request.resource.group == "" && request.resource.resource == "persistentvolumes" && has(request.name) && request.name == "v" && request.userInfo.username in ["a"])"#
        );
    }

    #[test]
    fn it_is_the_same_in_whatever_order_they_came() {
        let (a, b) = (need_of(Some("a"), None, &["u"]), need_of(Some("b"), None, &["u"]));
        assert_eq!(expression(&[a.clone(), b.clone()]), expression(&[b, a]));
    }
}
