//! What was asked for: one target, a look at the whole cluster, or what is known about a finalizer.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use upkeep::{
    Error, Exit, Result,
    client::{Agent, Connection, connect_with_managed_fields, log_to_stderr},
    discovery::Discovery,
    output,
    ui::{Ui, human_duration},
};

use crate::{
    cli::{Cli, Wanted},
    diagnose::{Desk, State},
    facts::{Facts, Key},
    follow::{Case, investigate},
    input,
    knowledge::Knowledge,
    ladder::{
        History, SYSTEM,
        plan::{self, Plan},
    },
    look::Look,
    render::{self, document::Document},
    restore::restore,
    scan::scan,
};

const AGENT: Agent = Agent {
    name: "kubectl-finalize",
    version: env!("CARGO_PKG_VERSION"),
};

/// The minor release since which webhooks have `matchConditions` (v1, on by default).
const MATCH_CONDITIONS: u32 = 30;

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from finding out what holds the target.
pub async fn run(cli: &Cli, ui: &Ui) -> Result<Exit> {
    log_to_stderr(cli.kube.verbosity, ui);
    let mut knowledge = Knowledge::built_in()?;
    if let Some(file) = &cli.knowledge {
        knowledge = knowledge.with_file(file)?;
    }
    let wanted = cli.wanted()?;
    if let Wanted::Explain(finalizer) = wanted {
        return render::explain::show(ui, cli.output.unwrap_or_default(), &knowledge, finalizer);
    }
    let began = Instant::now();
    let late = || {
        Error::new(
            Exit::Deadline,
            "the API server did not answer in time; nothing was changed",
        )
    };
    let patience = cli.patience();
    let connect = connect_with_managed_fields(&cli.kube, &AGENT, ui);
    let connected = tokio::time::timeout(patience, connect).await;
    let connection = connected.map_err(|_| late())??;
    let asked = async { futures::join!(Discovery::ask(&connection), connection.ask_server()) };
    let (discovery, server) = tokio::time::timeout(patience, asked).await.map_err(|_| late())?;
    server.untested(&AGENT).iter().for_each(|text| ui.warning(text));
    let discovery = discovery?;
    let skew = server.skew;
    if !skew.is_zero() {
        let (seconds, way) = (
            skew.as_secs().unsigned_abs(),
            if skew.is_negative() { "ahead of" } else { "behind" },
        );
        let seconds = human_duration(Duration::from_secs(seconds));
        ui.warning(&format!(
            "the clock of this machine is {seconds} {way} the API server's; the server's is used"
        ));
    }
    let look = Look {
        cli,
        ui,
        connection: &connection,
        discovery: &discovery,
        knowledge: &knowledge,
        skew,
        match_conditions: server.is_at_least(1, MATCH_CONDITIONS),
    };
    match wanted {
        Wanted::Object { kind, name } => {
            let target = target(&connection, &discovery, kind, name)?;
            Case::new(&look, &target, None).follow(began).await
        }
        Wanted::Apply(file) => {
            let plan = read_plan(file)?;
            let target = plan.target.clone();
            not_of_the_system(&target)?;
            if discovery.versions(&target.group, &target.plural).next().is_none() {
                let error = Error::failed(format!(
                    "the server does not serve {} now; nothing was changed",
                    target.plural
                ));
                return Err(error);
            }
            Case::new(&look, &target, Some(&plan)).follow(began).await
        }
        Wanted::Preflight(name) => look.preflight(name).await,
        Wanted::Orphans(namespaces) => look.orphans(&namespaces, began).await,
        Wanted::Restore(folder) => restore(&look, Path::new(folder)).await,
        Wanted::Explain(_) | Wanted::Scan => look.around().await,
    }
}

impl Look<'_> {
    /// `scan`.
    async fn around(&self) -> Result<Exit> {
        let cluster = self.cluster();
        let mut facts = Facts::of(self.discovery, Key::cluster("", "", ""), self.skew);
        loop {
            let desk = Desk::new(&facts, self.knowledge);
            let found = scan(&desk);
            let asks = desk.into_asks();
            if asks.is_empty() {
                return render::scan::show(self.ui, self.cli.output.unwrap_or_default(), &found, facts.now);
            }
            let answers = cluster.answer(asks).await;
            facts.learn(answers);
        }
    }

    /// `preflight`.
    async fn preflight(&self, name: &str) -> Result<Exit> {
        let target = Key::cluster("", "namespaces", name);
        let facts = Facts {
            preflight: true,
            ..Facts::of(self.discovery, target.clone(), self.skew)
        };
        let (_, diagnosis) = investigate(&self.cluster(), facts, self.knowledge).await;
        match &diagnosis.state {
            State::Unseen(said) => {
                return Err(Error::failed(format!("cannot read namespace {name}")).caused_by(&said.message));
            }
            State::Gone => return Err(Error::failed(format!("there is no namespace {name}"))),
            _ => {}
        }
        let exit = match (diagnosis.causes.is_empty(), diagnosis.notes.is_empty()) {
            (true, true) => Exit::Done,
            _ => Exit::Failed,
        };
        let form = self.cli.output.unwrap_or_default();
        if form.is_document() {
            let none = History::new();
            let document = Document::of(&diagnosis, &target, &none, exit);
            self.ui.document(&output::document(form, &document)?);
        } else {
            let text = render::diagnosis::beforehand(&diagnosis, &target, self.ui.styles());
            self.ui.data(&text);
        }
        Ok(exit)
    }
}

fn read_plan(file: &Path) -> Result<Plan> {
    let name = file.display();
    let text = input::read(file, Exit::Failed)?;
    let plan: Plan = serde_json::from_str(&text)
        .map_err(|e| Error::failed(format!("{name} is no plan of kubectl finalize")).caused_by(e))?;
    if plan.kind == plan::KIND && plan.version == 1 {
        return Ok(plan);
    }
    Err(Error::failed(format!("{name} is no plan that this version can read"))
        .caused_by(format!("it is of kind {} and version {}", plan.kind, plan.version)))
}

/// The object that was named.
fn target(connection: &Connection, discovery: &Discovery, kind: &str, name: &str) -> Result<Key> {
    if matches!(name, "." | "..") {
        return Err(Error::usage(format!("{name:?} is no name of an object")));
    }
    let found = discovery.find(kind).ok_or_else(|| {
        let error = Error::failed(format!("the server doesn't have a resource type {kind:?}"));
        discovery.dark.iter().fold(error, |error, dark| {
            error.hint(format!("{} does not answer: {}", dark.api_service(), dark.reason))
        })
    })?;
    let namespace = connection.namespace.as_str();
    // As a namespace it could never be there.
    if found.namespaced && !namespace.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(Error::usage(format!("{namespace:?} is no name of a namespace")));
    }
    let target = Key::new(found, Some(namespace), name);
    not_of_the_system(&target)?;
    Ok(target)
}

/// Namespaces of the cluster itself.
fn not_of_the_system(target: &Key) -> Result<()> {
    let Key {
        group, plural, name, ..
    } = target;
    if group.is_empty() && plural == "namespaces" && SYSTEM.contains(&name.as_str()) {
        let error = Error::refused(format!(
            "namespace/{name} belongs to the cluster itself and is never taken out; nothing was changed"
        ));
        return Err(error.hint("name the object in it that does not go away"));
    }
    Ok(())
}
