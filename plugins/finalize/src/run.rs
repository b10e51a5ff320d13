//! What was asked for: one target, a look at the whole cluster, or what is known about a finalizer.

use std::{path::Path, time::Instant};

use k8s_openapi::jiff::Timestamp;
use upkeep::{
    Error, Exit, Result,
    client::{Agent, Connection, connect, log_to_stderr},
    discovery::Discovery,
    output,
    ui::Ui,
};

use crate::{
    cli::{Cli, Wanted},
    diagnose::{Desk, State},
    facts::{Facts, Key},
    follow::{Case, investigate},
    knowledge::Knowledge,
    ladder::{
        History, SYSTEM,
        plan::{self, Plan},
    },
    look::Look,
    render,
    restore::restore,
    scan::scan,
};

const AGENT: Agent = Agent {
    name: "kubectl-finalize",
    version: env!("CARGO_PKG_VERSION"),
};

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from finding out what holds the target.
pub async fn run(cli: &Cli, ui: &Ui) -> Result<Exit> {
    log_to_stderr(cli.kube.verbosity);
    let mut knowledge = Knowledge::built_in()?;
    if let Some(file) = &cli.knowledge {
        knowledge = knowledge.with_file(file)?;
    }
    let wanted = cli.wanted()?;
    if let Wanted::Explain(finalizer) = wanted {
        return render::explain::show(ui, &knowledge, finalizer);
    }
    let began = Instant::now();
    let connection = connect(&cli.kube, &AGENT, ui).await?;
    let discovery = Discovery::ask(&connection).await?;
    let look = Look {
        cli,
        ui,
        connection: &connection,
        discovery: &discovery,
        knowledge: &knowledge,
    };
    match wanted {
        Wanted::Object { kind, name } => {
            let target = target(&connection, &discovery, kind, name)?;
            Case::new(&look, &target, None).follow(began).await
        }
        Wanted::Apply(file) => {
            let plan = read_plan(file)?;
            let target = plan.target.clone();
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
        let mut facts = Facts::of(self.discovery, Key::cluster("", "", ""));
        loop {
            let desk = Desk::new(&facts, self.knowledge);
            let found = scan(&desk);
            let asks = desk.into_asks();
            if asks.is_empty() {
                return render::scan::show(self.ui, self.cli.output.unwrap_or_default(), &found, facts.now);
            }
            facts.answers.extend(cluster.answer(asks).await);
            facts.now = Timestamp::now();
        }
    }

    /// `preflight`.
    async fn preflight(&self, name: &str) -> Result<Exit> {
        let target = Key::cluster("", "namespaces", name);
        let facts = Facts {
            preflight: true,
            ..Facts::of(self.discovery, target.clone())
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
            let document = render::document::of(&diagnosis, &target, &History::new(), exit);
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
    let text = std::fs::read_to_string(file).map_err(|e| Error::failed(format!("cannot read {name}")).caused_by(e))?;
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
    if found.is("", "Namespace") && SYSTEM.contains(&name) {
        let error = Error::refused(format!(
            "namespace/{name} belongs to the cluster itself and is never taken out; nothing was changed"
        ));
        return Err(error.hint("name the object in it that does not go away"));
    }
    let namespace = connection.namespace.as_str();
    // As a namespace it could never be there.
    if found.namespaced && !namespace.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(Error::usage(format!("{namespace:?} is no name of a namespace")));
    }
    Ok(Key::new(found, Some(namespace), name))
}
