//! One run from beginning to end: gather, decide, confirm, act, verify.

use std::{
    collections::BTreeSet,
    rc::Rc,
    time::{Duration, Instant},
};

use futures::{
    FutureExt as _, TryFutureExt as _,
    future::{join, try_join3},
};
use upkeep::{
    Error, Exit, Result,
    client::{Agent, Connection, connect, log_to_stderr},
    lock::Identity,
    output::{self, Format},
    report::{Finding, Severity},
    ui::Ui,
};

use crate::{
    after::After,
    cli::{Cli, DryRun, Order},
    confirm,
    drive::{self, Driver, Watcher, lock::Locks, moves::Moves, probe, publish::Wish, saving::Saving},
    dry_run,
    engine::{
        OnBlocked, Settings, State,
        event::{At, Verb},
    },
    facts::{Facts, Uid},
    gather::{self, Wanted, access},
    preflight::{
        self,
        duration::Pace,
        filters::{Allowed, Rules},
        jobs::{Losses, WaitJobs},
        preview::{Asked, Preview},
        surge::Mode,
    },
    render::{self, document, lines::Lines, live::View},
    uncordon,
};

const AGENT: Agent = Agent {
    name: "kubectl-evacuate",
    version: env!("CARGO_PKG_VERSION"),
};

/// Runs the command.
///
/// # Errors
/// Whatever ends it before it has begun; what happens later is reported and becomes the exit code.
pub async fn run(cli: &Cli, ui: &Ui) -> Result<Exit> {
    log_to_stderr(cli.kube.verbosity, ui);
    let names = cli.node_names()?;
    let began = Instant::now();
    let base = drive::base();
    if cli.dry_run == DryRun::Unchanged {
        ui.warning("--dry-run without a value is deprecated and means --dry-run=client");
    }
    let form = cli.output.unwrap_or_default();
    let time = Time {
        began,
        limit: Some(cli.timeout).filter(|t| !t.is_zero()),
    };
    let connection = time.within(READING, connect(&cli.kube, &AGENT, ui)).await?;
    let wanted = Wanted {
        names,
        selector: cli.selector.clone().filter(|_| cli.nodes.is_empty()),
        pod_selector: cli.pod_selector.clone().filter(|s| !s.is_empty()),
        chunk: cli.chunk_size,
        surge: cli.surge != Mode::Off,
        delete: cli.switches.delete,
    };
    let me = Identity::current();
    let locks = Locks::new(&connection.client, &me, &cli.take_over);
    if cli.switches.uncordon {
        let back = join(
            uncordon::run(cli, ui, &connection, &wanted, &locks),
            greet(ui, &connection),
        );
        return time.within(BACK, back.map(|(exit, ())| exit)).await;
    }
    let (facts, support) = time.within(READING, gathered(ui, &connection, &wanted, &locks)).await?;
    if facts.targets.is_empty() {
        ui.status("No resources found");
        if form.is_document() {
            let empty = Preview::default();
            ui.document(&output::document(
                form,
                &document::of_preview(&empty, "none", "done", Exit::Done),
            )?);
        }
        return Ok(Exit::Done);
    }
    let verb = match support {
        access::Eviction::Served(_) if !cli.switches.disable_eviction => Verb::Evict,
        _ => Verb::Delete,
    };
    let asked = Asked {
        rules: Rules {
            allowed: Allowed {
                force: cli.switches.force,
                delete_empty_dir: cli.switches.delete_emptydir_data,
                skip_deleted_after: cli.skip_wait_for_delete_timeout,
                wait_jobs: cli.wait_jobs.unwrap_or_default(),
            },
            daemon_sets: facts
                .daemon_sets
                .clone()
                .map(|sets| sets.into_iter().map(|s| s.uid).collect::<BTreeSet<Uid>>()),
            gone: preflight::owners::all_gone(&facts),
            losses: Losses::new(
                facts.jobs.known().into_iter().flat_map(|jobs| jobs.values()),
                &preflight::jobs::leaving(&facts),
                verb,
            ),
        },
        verb,
        on_blocked: cli.on_blocked.unwrap_or(OnBlocked::Patient),
        grace: Some(cli.grace_period).filter(|g| *g >= 0),
        surge: cli.surge,
        powered_off: cli.powered_off(),
        delete: cli.switches.delete,
        pace: Pace {
            by_priority: cli.order == Order::Priority,
            parallel: usize::from(cli.parallel),
            timeout: time.limit,
            jobs: match cli.wait_jobs {
                Some(WaitJobs::For(millis)) => u64::try_from(millis).ok().map(Duration::from_millis),
                _ => None,
            },
        },
    };
    let mut preview = preflight::preview::preview(&facts, &asked);
    preview.findings.extend(gather::gaps(&facts));
    // Who is at work there already is more than all that this run might do.
    preview
        .findings
        .sort_by_key(|f| (std::cmp::Reverse(f.severity), f.id != "claimed"));
    let wish = Wish {
        reason: cli.reason.clone(),
        exclude_lb: cli.switches.exclude_lb,
        surges: preview.surges.iter().map(|s| s.deployment.uid.clone()).collect(),
    };
    // Both at the same time: the answer to the cordon is needed only where the rights are there.
    let cordons = async {
        match cli.dry_run {
            DryRun::None if preview.refusals().next().is_none() => {
                probe::cordons(&connection, &locks, &facts, &wish).await
            }
            _ => Vec::new(),
        }
    };
    let permitted = join(rights(&connection, &preview, &asked), cordons);
    let permitted = permitted.map(|(rights, denied)| rights.map(|()| denied));
    let permitted = time.within(READING, permitted).await;
    match permitted {
        // Who may only look may see what others would do.
        Err(error) if matches!(cli.dry_run, DryRun::Client | DryRun::Unchanged) && !error.causes().is_empty() => {
            let missing = error.causes().join("; ");
            ui.warning(&format!("you may not do this yourself: {missing}"));
        }
        Ok(denied) => {
            if let Some(error) = probe::uncordonable(&denied) {
                if form.is_document() {
                    let findings: Vec<Finding> = preview
                        .findings
                        .iter()
                        .cloned()
                        .chain(probe::findings(&denied))
                        .collect();
                    let failed =
                        document::of_preview(&preview, "none", "failed", Exit::Failed).with_findings(&findings);
                    ui.document(&output::document(form, &failed)?);
                }
                return Err(error);
            }
        }
        Err(error) => return Err(error),
    }

    let moves = Moves {
        grace: asked.grace,
        support,
    };
    let saving = Rc::new(Saving::new(&connection));
    let warnings = confirm::warnings(cli, &facts, &preview);
    if cli.dry_run != DryRun::None {
        warnings.iter().for_each(|text| ui.warning(text));
        let asks = dry_run::Asks {
            connection: &connection,
            locks: &locks,
            wish: &wish,
            moves,
            saving: &saving,
            verb,
        };
        let shown = dry_run::show(cli, ui, &facts, &preview, &asks);
        return time.within("the dry run had ended", shown).await;
    }
    if let Some(refused) = confirm::refusal(ui, &preview, cli.powered_off(), form)? {
        return Err(refused);
    }
    let prepared = confirm::place_to_save(cli, &preview, &saving);
    if let Err(error) = time.within(READING, prepared).await {
        confirm::refused_document(ui, &preview, form)?;
        return Err(error);
    }
    render::preview::findings(ui, &important(&preview.findings), Severity::Info);
    warnings.iter().for_each(|text| ui.warning(text));
    confirm::confirm(cli, ui, &preview)?;

    let rules = Rc::new(asked.rules.clone());
    let plan = preflight::plan::plan(&facts, &asked, &preview);
    let settings = settings(cli, asked, base, me.run.clone());
    let mut state = State::new(plan, settings, base);
    let before = preflight::plan::existing(&facts, &preview);
    let watch_budgets = facts.counted_budgets().is_some() && verb == Verb::Evict;
    // Only the engine's own view is needed from here on.
    drop(facts);
    let driver = Driver {
        connection: &connection,
        moves,
        saving: Rc::clone(&saving),
        rules,
        pod_selector: wanted.pod_selector.clone(),
        chunk: cli.chunk_size,
        locks,
        wish,
        watch_budgets,
    };
    // Only talk, no results: stdout is one document, or names.
    let quiet = form.is_document() || form == Format::Name;
    let mut watcher: Box<dyn Watcher + '_> = if ui.can_redraw() && (quiet || ui.is_stdout_tty()) {
        Box::new(View::new(ui, quiet))
    } else {
        Box::new(Lines::new(ui, cli.skip_wait_for_delete_timeout, quiet))
    };
    let ended = driver.drive(&mut state, began, base, watcher.as_mut()).await;
    drop(watcher);

    let after = After {
        cli,
        ui,
        connection: &connection,
        preview: &preview,
        before: &before,
        saving: &saving,
        verb,
    };
    after.show(&state, &ended, time.left()).await
}

/// What is under way until the preview can be shown.
const READING: &str = "the cluster had been read";
const BACK: &str = "every node had been brought back";

/// What `--timeout` leaves: it begins with the run, not with the first eviction.
struct Time {
    began: Instant,
    limit: Option<Duration>,
}

impl Time {
    fn left(&self) -> Duration {
        self.limit
            .map_or(Duration::MAX, |limit| limit.saturating_sub(self.began.elapsed()))
    }

    /// What comes before the first change.
    async fn within<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.limit.is_none() {
            return work.await;
        }
        tokio::time::timeout(self.left(), work).await.map_err(|_| {
            let nothing = if what == BACK {
                "run it again to go on"
            } else {
                "nothing was changed"
            };
            let text = format!("the time of --timeout was up before {what}; {nothing}");
            Error::new(Exit::Deadline, text)
        })?
    }
}

/// Warns of a server that this is not tested with. Nothing depends on it, and nothing waits long for it.
async fn greet(ui: &Ui, connection: &Connection) {
    let asked = tokio::time::timeout(Duration::from_secs(3), connection.ask_server()).await;
    let server = asked.unwrap_or_default();
    server.untested(&AGENT).iter().for_each(|text| ui.warning(text));
}

/// Reads the cluster, and says so where that takes longer than a second.
async fn gathered(
    ui: &Ui,
    connection: &Connection,
    wanted: &Wanted,
    locks: &Locks,
) -> Result<(Facts, access::Eviction)> {
    let greeted = greet(ui, connection).map(Ok);
    let support = access::eviction_support(connection);
    let reading = try_join3(gather::gather(connection, wanted, locks), support, greeted);
    let mut reading = std::pin::pin!(reading.map_ok(|(facts, support, ())| (facts, support)));
    let patience = Duration::from_secs(1);
    if let Ok(done) = tokio::time::timeout(patience, &mut reading).await {
        return done;
    }
    let live = ui.live();
    live.set(&format!("reading the cluster at {}", connection.server));
    let done = reading.await;
    live.clear();
    done
}

/// The rights that the plan needs; whatever is only nice to have has degraded already.
async fn rights(connection: &Connection, preview: &Preview, asked: &Asked) -> Result<()> {
    let mut rights = vec![access::PATCH_NODES];
    if asked.delete {
        rights.push(access::DELETE_NODES);
    }
    let namespaces: BTreeSet<String> = preview.going().filter_map(|p| p.pod.namespace.clone()).collect();
    if !namespaces.is_empty() {
        if asked.verb == Verb::Evict {
            rights.push(access::EVICT_PODS);
        }
        let forces = !preview.fences.is_empty();
        if asked.verb == Verb::Delete || forces || matches!(asked.on_blocked, OnBlocked::DeleteAfter(_)) {
            rights.push(access::DELETE_PODS);
        }
    }
    if !preview.surges.is_empty() {
        rights.extend(access::SURGE);
        if preview.surges.iter().any(|s| s.autoscaled) {
            rights.push(access::PATCH_AUTOSCALERS);
        }
    }
    access::require(connection, &rights, &preview.nodes, &namespaces).await
}

/// What is worth a line before the work begins: warnings, and the pods that stay.
fn important(findings: &[Finding]) -> Vec<Finding> {
    findings
        .iter()
        .filter(|f| f.severity >= Severity::Warning || f.id == "daemonset")
        .cloned()
        .collect()
}

fn settings(cli: &Cli, asked: Asked, base: At, run: String) -> Settings {
    let milliseconds = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    Settings {
        run,
        rules: asked.rules,
        verb: asked.verb,
        grace: asked.grace,
        deadline: Some(cli.timeout)
            .filter(|t| !t.is_zero())
            .map(|t| base.saturating_add(milliseconds(t))),
        on_blocked: asked.on_blocked,
        by_priority: cli.order == Order::Priority,
        parallel: usize::from(cli.parallel),
        in_flight: usize::from(cli.concurrency),
        wait_detach: cli.switches.wait_detach,
        wait_replacements: cli.wait_replacements.filter(|d| !d.is_zero()).map(milliseconds),
        delete: asked.delete,
        uncordon_on_abort: cli.switches.uncordon_on_abort,
        seed: u64::from(std::process::id()) ^ u64::try_from(base).unwrap_or(1),
    }
}
