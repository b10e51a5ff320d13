#![allow(clippy::unwrap_used)]

use super::*;

fn built_in() -> Knowledge {
    Knowledge::built_in().unwrap()
}

#[test]
fn the_files_can_be_read_and_every_entry_is_whole() {
    let knowledge = built_in();
    assert!(knowledge.entries().len() > 150, "{}", knowledge.entries().len());
    for entry in knowledge.entries().iter().chain(&knowledge.rules) {
        let name = &entry.finalizers[0];
        let users = |of: &Use| [&of.at, &of.unless].into_iter().flatten().all(|at| at.starts_with('/'));
        assert!(entry.used_by.iter().all(users), "{name}: {:?}", entry.used_by);
        for text in [&entry.remover, &entry.protects, &entry.stripped, &entry.right] {
            assert!(
                text.len() > 3 && !text.ends_with('.') && !text.contains('\n'),
                "{name}: {text:?}"
            );
        }
        assert!(entry.source.starts_with("https://"), "{name}: {}", entry.source);
        let pointer = |leak: &Leak| leak.at.starts_with('/') && !leak.what.is_empty();
        assert!(entry.leaks.iter().all(pointer), "{name}");
        let plain = |kind: &String| kind.chars().all(char::is_alphanumeric);
        assert!(entry.kinds.iter().all(plain), "{name}: {:?}", entry.kinds);
        let home = entry.part_of.is_none()
            || entry.workloads.is_empty()
            || entry.part_of == Some(Part::CloudControllerManager);
        assert!(home, "{name} has two removers");
    }
}

#[test]
fn no_entry_hides_behind_another() {
    let knowledge = built_in();
    for (at, entry) in knowledge.entries().iter().enumerate() {
        for name in &entry.finalizers {
            let kind = entry.kinds.first().map_or("AnotherKind", String::as_str);
            let found = knowledge.of(&name.replace('*', "x"), Some(kind), entry.field).unwrap();
            assert_eq!(
                found, entry,
                "{name} of entry {at} is answered by {:?}",
                found.finalizers
            );
        }
    }
}

#[test]
fn names_made_from_those_of_their_kind() {
    let knowledge = built_in();
    let kind = |group: &str, kind: &str| Kind {
        group: group.into(),
        kind: kind.into(),
        plural: format!("{}s", kind.to_lowercase()),
        ..Kind::default()
    };
    let cases = [
        (
            "openstackmachine.infrastructure.cluster.x-k8s.io",
            "infrastructure.cluster.x-k8s.io",
            "OpenStackMachine",
            Some("Cluster API provider"),
        ),
        (
            "infrastructure.cluster.x-k8s.io/hcloudmachine",
            "infrastructure.cluster.x-k8s.io",
            "HCloudMachine",
            Some("Cluster API provider"),
        ),
        (
            "helmchartproxy.addons.cluster.x-k8s.io",
            "addons.cluster.x-k8s.io",
            "HelmChartProxy",
            Some("Cluster API controller"),
        ),
        (
            "tektonpipelines.operator.tekton.dev",
            "operator.tekton.dev",
            "TektonPipeline",
            Some("knative reconciler"),
        ),
        (
            "grant.k8s.mariadb.com/finalizer",
            "k8s.mariadb.com",
            "Grant",
            Some("mariadb-operator"),
        ),
        (
            "shop.example.com/cleanup",
            "shop.example.com",
            "Order",
            Some("controller of this kind"),
        ),
        (
            "orders.shop.example.com",
            "shop.example.com",
            "Order",
            Some("controller of this kind"),
        ),
        // Of another kind, of another group, and of a kind of Kubernetes itself.
        ("invoices.shop.example.com", "shop.example.com", "Order", None),
        ("evilshop.example.com/cleanup", "shop.example.com", "Order", None),
        ("apps/cleanup", "apps", "Deployment", None),
        // An entry comes first.
        (
            "awsmachine.infrastructure.cluster.x-k8s.io",
            "infrastructure.cluster.x-k8s.io",
            "AWSMachine",
            Some("capa"),
        ),
    ];
    for (finalizer, group, name, wanted) in cases {
        let found = knowledge
            .of_kind(finalizer, &kind(group, name))
            .map(|entry| entry.remover.as_str());
        assert_eq!(found.is_some(), wanted.is_some(), "{finalizer}: {found:?}");
        assert!(
            found.unwrap_or_default().contains(wanted.unwrap_or_default()),
            "{finalizer}: {found:?}"
        );
    }
    // Without a kind only rules for named groups say something.
    assert_eq!(knowledge.all_of("gcpmachine.infrastructure.cluster.x-k8s.io").len(), 1);
    assert!(knowledge.all_of("shop.example.com/cleanup").is_empty());
}

#[test]
fn the_kind_and_the_place_decide() {
    let knowledge = built_in();
    let of = |name: &str, kind: &str, field| knowledge.of(name, Some(kind), field).map(|e| e.risk);
    let pvc = "kubernetes.io/pvc-protection";
    assert_eq!(of(pvc, "PersistentVolumeClaim", Field::Metadata), Some(Risk::Data));
    assert_eq!(of(pvc, "Pod", Field::Metadata), None);
    assert_eq!(of("kubernetes", "Namespace", Field::Spec), Some(Risk::Data));
    assert_eq!(of("kubernetes", "Namespace", Field::Metadata), None);
    assert!(of("external-attacher/ebs-csi-aws-com", "VolumeAttachment", Field::Metadata).is_some());
    assert_eq!(of("example.com/unheard-of", "ConfigMap", Field::Metadata), None);
}

#[test]
fn a_users_own_entries_win() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.yaml");
    let own = "- finalizers: [kubernetes.io/pvc-protection]\n  remover: me\n  protects: that\n  stripped: this\n  right: so\n  \
               risk: bookkeeping\n  source: https://example.com\n  checked: true\n";
    std::fs::write(&file, own).unwrap();
    let knowledge = built_in().with_file(&file).unwrap();
    let found = knowledge.of(
        "kubernetes.io/pvc-protection",
        Some("PersistentVolumeClaim"),
        Field::Metadata,
    );
    assert_eq!(found.unwrap().remover, "me");
    std::fs::write(&file, "- finalizers: [x]\n  colour: red\n").unwrap();
    let error = built_in().with_file(&file).unwrap_err();
    assert_eq!(error.exit(), upkeep::Exit::Usage);
    assert!(built_in().with_file(&folder.path().join("none")).is_err());
}

/// What the documentation shows can be read.
#[test]
fn the_example_of_the_documentation() {
    let page = include_str!("../../../../docs/finalize.md");
    let (_, section) = page.split_once("## Finalizers of your own").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let example: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.yaml");
    std::fs::write(&file, example.join("\n")).unwrap();
    let knowledge = Knowledge::built_in().unwrap().with_file(&file).unwrap();
    let entry = knowledge
        .of("shop.example.com/payment", Some("Order"), Field::Metadata)
        .unwrap();
    assert_eq!(entry.remover, "shop-operator");
}
