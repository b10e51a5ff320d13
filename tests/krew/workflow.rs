//! The release workflow: who runs what, and that only what the build jobs have made is signed.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use release::workspace::Workspace;
use serde_json::Value;

fn workflow() -> Value {
    let workspace = Workspace::here().unwrap();
    let text = fs::read_to_string(workspace.root.join(".github/workflows/release.yml")).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

fn steps(job: &Value) -> &[Value] {
    job["steps"].as_array().unwrap()
}

fn run_of<'a>(job: &'a Value, name: &str) -> &'a str {
    let step = steps(job).iter().find(|step| step["name"] == name);
    step.unwrap_or_else(|| panic!("no step {name:?}"))["run"]
        .as_str()
        .unwrap()
}

/// A release in a folder as `publish` finds it: two archives of each build job, and a manifest.
struct Release {
    folder: tempfile::TempDir,
    built: String,
}

impl Release {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["dist", "made"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let mut built = Vec::new();
        let mut sums = String::new();
        for job in [
            ["kubectl-a_linux.tar.gz", "kubectl-a_linux.cdx.json"],
            ["kubectl-a_darwin.tar.gz", "kubectl-b_darwin.tar.gz"],
        ] {
            for name in job {
                fs::write(folder.path().join("dist").join(name), format!("content of {name}")).unwrap();
            }
            let line = format!("sha256sum {} | tee -a ../sums | base64 | tr -d '\\n'", job.join(" "));
            let output = Command::new("bash")
                .args(["-c", &line])
                .current_dir(folder.path().join("dist"))
                .output()
                .unwrap();
            built.push(String::from_utf8(output.stdout).unwrap());
            sums = fs::read_to_string(folder.path().join("sums")).unwrap();
        }
        fs::remove_file(folder.path().join("sums")).unwrap();
        let archives = sums.lines().filter(|line| line.ends_with(".tar.gz"));
        let platforms: String = archives.map(|line| format!("    sha256: {}\n", &line[..64])).collect();
        fs::write(folder.path().join("made/a.yaml"), format!("platforms:\n{platforms}")).unwrap();
        Self {
            folder,
            built: built.join(" "),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The step of the workflow, as a runner runs it.
    fn checked(&self) -> Output {
        let workflow = workflow();
        let script = run_of(
            &workflow["jobs"]["publish"],
            "Only what the build jobs have made is signed",
        );
        let mut command = Command::new("bash");
        command
            .args(["-e", "-c", script])
            .env("BUILT", &self.built)
            .current_dir(self.path());
        command.output().unwrap()
    }
}

#[test]
fn r52_what_is_signed_is_what_the_build_jobs_have_made() {
    let release = Release::new();
    let output = release.checked();
    assert!(output.status.success(), "{output:?}");
    let signed = fs::read_to_string(release.path().join("dist/SHA256SUMS")).unwrap();
    let mut names: Vec<&str> = signed.lines().map(|line| &line[66..]).collect();
    names.sort_unstable();
    let expected = [
        "a.yaml",
        "kubectl-a_darwin.tar.gz",
        "kubectl-a_linux.cdx.json",
        "kubectl-a_linux.tar.gz",
        "kubectl-b_darwin.tar.gz",
    ];
    assert_eq!(names, expected);
}

#[test]
fn r52_anything_else_is_not_signed() {
    type Tamper = fn(&Path);
    let tampers: [(&str, Tamper); 6] = [
        ("another archive", |at| {
            fs::write(at.join("dist/kubectl-a_linux.tar.gz"), "other").unwrap()
        }),
        ("one more archive", |at| {
            fs::write(at.join("dist/kubectl-c_linux.tar.gz"), "more").unwrap()
        }),
        ("a hidden file", |at| {
            fs::write(at.join("dist/.kubectl"), "more").unwrap()
        }),
        ("a missing archive", |at| {
            fs::remove_file(at.join("dist/kubectl-b_darwin.tar.gz")).unwrap()
        }),
        ("a manifest of another archive", |at| {
            fs::write(at.join("made/a.yaml"), format!("    sha256: \"{}\"\n", "0".repeat(64))).unwrap();
        }),
        ("an archive in place of a manifest", |at| {
            fs::write(at.join("made/kubectl-a_linux.tar.gz"), "other").unwrap();
        }),
    ];
    for (what, tamper) in tampers {
        let release = Release::new();
        tamper(release.path());
        let output = release.checked();
        assert!(!output.status.success(), "{what}: {output:?}");
        assert!(!release.path().join("dist/SHA256SUMS").exists(), "{what}");
    }
}

#[test]
fn r52_the_job_that_signs_runs_no_programs_of_others() {
    let workflow = workflow();
    let publish = &workflow["jobs"]["publish"];
    assert_eq!(publish["environment"], "release");
    for step in steps(publish) {
        let text = step.to_string();
        assert!(
            !text.contains("checkout") && !text.contains("cargo") && !text.contains("make "),
            "{text}"
        );
        if let Some(action) = step["uses"].as_str() {
            assert!(action.starts_with("actions/"), "{action}");
        }
    }
    // Rights to write are with the job that signs alone.
    assert_eq!(workflow["permissions"], serde_json::json!({"contents": "read"}));
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        assert_eq!(job["permissions"].is_object(), name == "publish", "{name}");
    }
}

#[test]
fn r52_actions_and_images_cannot_change_under_their_name() {
    let pinned = regex::Regex::new(r"^[\w./-]+@[0-9a-f]{40}$").unwrap();
    let workspace = Workspace::here().unwrap();
    for file in fs::read_dir(workspace.root.join(".github/workflows")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let workflow: Value = serde_yaml::from_str(&text).unwrap();
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            if let Some(image) = job["container"].as_str() {
                assert!(
                    image
                        .split_once("@sha256:")
                        .is_some_and(|(_, digest)| digest.len() == 64),
                    "{name}: {image}"
                );
            }
            for action in steps(job).iter().filter_map(|step| step["uses"].as_str()) {
                assert!(pinned.is_match(action), "{name}: {action}");
            }
        }
    }
}
