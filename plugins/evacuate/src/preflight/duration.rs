//! How long the run may take, as far as grace periods tell.

use std::{collections::BTreeMap, time::Duration};

use upkeep::{
    report::{Finding, Severity},
    ui::human_duration,
};

use super::{budgets::When, preview::PodPlan};

/// From so many seconds on a person is told before a run, not only in a dry run.
const LONG: i64 = 600;

/// What sets the pace of a run, besides its pods.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// `--order=priority`.
    pub by_priority: bool,
    /// `--parallel`.
    pub parallel: usize,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--wait-jobs=DURATION`.
    pub jobs: Option<Duration>,
}

/// The longest time that grace periods allow, and what may take longer than that. `silent`: a kubelet that is to stop pods has
/// stopped reporting.
pub fn duration(pods: &[PodPlan], pace: Pace, silent: bool) -> Option<Finding> {
    let stopping = || pods.iter().filter(|p| p.judgement.goes && p.stops_in > 0);
    let longest = stopping().rev().max_by_key(|p| p.stops_in)?;
    // One priority of one node after another.
    let mut steps = BTreeMap::<(&str, i32), i64>::new();
    for pod in stopping() {
        let priority = if pace.by_priority { pod.priority } else { 0 };
        let step = steps.entry((pod.node.as_str(), priority)).or_default();
        *step = (*step).max(pod.stops_in);
    }
    let mut nodes = BTreeMap::<&str, i64>::new();
    for ((node, _), seconds) in &steps {
        let whole = nodes.entry(node).or_default();
        *whole = whole.saturating_add(*seconds);
    }
    let sum = nodes.values().fold(0_i64, |sum, one| sum.saturating_add(*one));
    let slowest = nodes.values().copied().max().unwrap_or(0);
    // However nodes are shared out, the last one begins when the others have kept all places busy.
    let places = i64::try_from(pace.parallel.max(1)).unwrap_or(i64::MAX);
    let most = if nodes.len() <= pace.parallel {
        slowest
    } else {
        slowest.saturating_add(sum.saturating_sub(slowest) / places)
    };
    let each = match (nodes.len() > 1 && most > slowest, steps.len() > nodes.len()) {
        (false, false) => "the longest grace period of a pod",
        (true, false) => "the longest grace periods of the nodes after one another",
        (_, true) => "the longest grace periods of all priorities after one another",
    };
    let time = human(most);
    let longer = longer(pods, pace, silent);
    let mut evidence = if longer.is_empty() {
        format!("the run takes at most {time}, {each}")
    } else {
        format!(
            "the run can take longer than {time}, {each}, because {}",
            longer.join(" and ")
        )
    };
    if let Some(timeout) = pace
        .timeout
        .filter(|t| i64::try_from(t.as_secs()).is_ok_and(|t| t < most))
    {
        evidence += &format!("; --timeout ends it after {}", human_duration(timeout));
    }
    let is_long = longest.stops_in > LONG;
    Some(Finding {
        id: "duration",
        severity: if is_long { Severity::Warning } else { Severity::Info },
        subjects: vec![longest.pod.clone()],
        evidence,
        hint: is_long.then(|| "--grace-period gives every pod less time to stop, --timeout limits the run".into()),
    })
}

/// What no grace period limits.
fn longer(pods: &[PodPlan], pace: Pace, silent: bool) -> Vec<String> {
    let jobs = pace.jobs.map_or_else(
        || "Jobs finish first".to_owned(),
        |limit| format!("Jobs finish first, for up to {}", human_duration(limit)),
    );
    let any = |test: fn(&PodPlan) -> bool| pods.iter().any(|p| p.judgement.goes && test(p));
    let causes = [
        (
            any(|p| p.when == When::Later),
            "budgets allow only some evictions at a time",
        ),
        (any(|p| p.when == When::Blocked), "budgets allow no eviction now"),
        (any(|p| p.when == When::Surge), "new pods must be Ready first"),
        (any(|p| p.when == When::AfterJob), jobs.as_str()),
        (any(|p| p.has_finalizers), "finalizers keep pods"),
        (silent, "a kubelet has stopped reporting"),
    ];
    causes
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, why)| why.to_owned())
        .collect()
}

fn human(seconds: i64) -> String {
    human_duration(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use upkeep::report::ObjRef;

    use super::*;
    use crate::{engine::event::Verb, preflight::filters::Judgement};

    fn plan(name: &str, node: &str, seconds: i64, priority: i32, when: When) -> PodPlan {
        PodPlan {
            pod: ObjRef::namespaced("pod", "ns", name, name),
            to_save: None,
            node: node.into(),
            judgement: Judgement {
                goes: true,
                reasons: Vec::new(),
            },
            verb: Verb::Evict,
            when,
            budget: None,
            fit: None,
            grace: seconds,
            stops_in: seconds,
            priority,
            has_finalizers: false,
        }
    }

    #[test]
    fn r12_how_long_at_most_and_why() {
        const WEEK: i64 = 7 * 86_400;
        let pace = |by_priority, parallel| Pace {
            by_priority,
            parallel,
            timeout: None,
            jobs: None,
        };
        let now = |name, node, seconds, priority| plan(name, node, seconds, priority, When::Now);
        let two = || vec![now("a", "n0", 30, 0), now("b", "n0", WEEK, 0)];
        let nodes = || vec![now("a", "n0", 60, 0), now("b", "n1", 60, 0), now("c", "n2", 60, 0)];
        let table = [
            (
                two(),
                pace(false, 1),
                "the run takes at most 7d, the longest grace period of a pod",
                "b",
            ),
            (
                nodes(),
                pace(false, 1),
                "the run takes at most 3m, the longest grace periods of the nodes after one another",
                "a",
            ),
            (
                nodes(),
                pace(false, 2),
                "the run takes at most 2m, the longest grace periods of the nodes after one another",
                "a",
            ),
            (
                nodes(),
                pace(false, 3),
                "the run takes at most 60s, the longest grace period of a pod",
                "a",
            ),
            (
                vec![now("a", "n0", 60, 0), now("b", "n0", 60, 5)],
                pace(true, 1),
                "the run takes at most 2m, the longest grace periods of all priorities after one another",
                "a",
            ),
            (
                vec![plan("a", "n0", 30, 0, When::Later)],
                pace(false, 1),
                "the run can take longer than 30s, the longest grace period of a pod, because budgets allow only some \
                 evictions at a time",
                "a",
            ),
        ];
        for (pods, pace, text, longest) in table {
            let found = duration(&pods, pace, false).unwrap();
            assert_eq!(found.evidence, text);
            assert_eq!(found.subjects[0].name, longest);
        }
        assert_eq!(
            duration(&two(), pace(false, 1), false).unwrap().severity,
            Severity::Warning
        );
        assert_eq!(duration(&[now("a", "n0", 0, 0)], pace(false, 1), false), None);
        let limited = Pace {
            timeout: Some(Duration::from_secs(300)),
            ..pace(false, 1)
        };
        let an_hour = Pace {
            jobs: Some(Duration::from_secs(3_600)),
            ..pace(false, 1)
        };
        let job = duration(&[plan("a", "n0", 30, 0, When::AfterJob)], an_hour, false).unwrap();
        assert!(
            job.evidence.ends_with(", because Jobs finish first, for up to 60m"),
            "{}",
            job.evidence
        );
        let text = duration(&two(), limited, true).unwrap().evidence;
        assert!(text.ends_with("; --timeout ends it after 5m"), "{text}");
    }
}
