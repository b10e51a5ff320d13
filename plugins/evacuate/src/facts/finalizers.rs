//! Finalizers of pods: who removes them.

/// Finalizers that are seen on pods, and the program that removes each. From the sources of Kubernetes
/// (`JobTrackingFinalizer`, `FinalizerDeleteDependents`, `FinalizerOrphanDependents`), kueue
/// (`pkg/controller/jobs/pod/constants`) and Argo Workflows (`FinalizerPodStatus`).
const REMOVERS: [(&str, &str); 5] = [
    (JOB_TRACKING, "the Job controller in kube-controller-manager"),
    ("foregroundDeletion", "the garbage collector in kube-controller-manager"),
    ("orphan", "the garbage collector in kube-controller-manager"),
    ("kueue.x-k8s.io/managed", "kueue-controller-manager"),
    (
        "workflows.argoproj.io/status",
        "the workflow-controller of Argo Workflows",
    ),
];

/// The Job controller removes it as soon as it has counted the pod.
pub const JOB_TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// `finalizer x (removed by y)`, or `finalizer x (owner unknown)`; several with commas.
pub fn with_removers(finalizers: &[String]) -> String {
    let each = finalizers.iter().map(|name| {
        let known = REMOVERS.iter().find(|(finalizer, _)| finalizer == name);
        match known {
            Some((_, remover)) => format!("{name} (removed by {remover})"),
            None => format!("{name} (owner unknown)"),
        }
    });
    let each: Vec<String> = each.collect();
    let noun = if each.len() == 1 { "finalizer" } else { "finalizers" };
    format!("{noun} {}", each.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_who_removes_a_finalizer() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            with_removers(&names(&["kueue.x-k8s.io/managed"])),
            "finalizer kueue.x-k8s.io/managed (removed by kueue-controller-manager)"
        );
        assert_eq!(
            with_removers(&names(&["example.com/a", JOB_TRACKING])),
            "finalizers example.com/a (owner unknown), batch.kubernetes.io/job-tracking (removed by the Job controller in \
             kube-controller-manager)"
        );
    }
}
