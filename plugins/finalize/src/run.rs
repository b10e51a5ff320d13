//! What was asked for: one target, a look at the whole cluster, or what is known about a finalizer.

use std::{collections::BTreeMap, time::Instant};

use k8s_openapi::jiff::Timestamp;
use upkeep::{
    Error, Exit, Result,
    client::{Agent, Connection, connect, log_to_stderr},
    discovery::Discovery,
    ui::Ui,
};

use crate::{
    cli::{Cli, Wanted},
    diagnose::Desk,
    facts::{Facts, Key},
    follow::Case,
    gather::Cluster,
    knowledge::Knowledge,
    render,
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
    let Wanted::Object { kind, name } = wanted else {
        return look_around(cli, ui, &connection, discovery, &knowledge).await;
    };
    let target = target(&connection, &discovery, kind, name)?;
    let case = Case {
        cli,
        connection: &connection,
        discovery: &discovery,
        knowledge: &knowledge,
        target: &target,
    };
    case.follow(ui, began).await
}

/// `scan`.
async fn look_around(
    cli: &Cli,
    ui: &Ui,
    connection: &Connection,
    discovery: Discovery,
    knowledge: &Knowledge,
) -> Result<Exit> {
    let cluster = Cluster::new(connection, &discovery, cli.chunk_size);
    let mut facts = Facts {
        now: Timestamp::now(),
        discovery: discovery.clone(),
        target: Key::cluster("", "", ""),
        answers: BTreeMap::new(),
        refused: BTreeMap::new(),
    };
    loop {
        let desk = Desk::new(&facts, knowledge);
        let found = scan(&desk);
        let asks = desk.into_asks();
        if asks.is_empty() {
            return render::scan::show(ui, cli.output.unwrap_or_default(), &found, facts.now);
        }
        facts.answers.extend(cluster.answer(asks).await);
        facts.now = Timestamp::now();
    }
}

/// The object that was named.
fn target(connection: &Connection, discovery: &Discovery, kind: &str, name: &str) -> Result<Key> {
    let found = discovery.find(kind).ok_or_else(|| {
        let error = Error::failed(format!("the server doesn't have a resource type {kind:?}"));
        discovery.dark.iter().fold(error, |error, dark| {
            error.hint(format!("{} does not answer: {}", dark.api_service(), dark.reason))
        })
    })?;
    Ok(Key::new(found, Some(&connection.namespace), name))
}
