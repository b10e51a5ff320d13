//! The smallest plugin: prints nodes. The tests run it to see what a user sees.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::engine::ArgValueCompleter;
use k8s_openapi::api::core::v1::{Endpoints, Node};
use kube::api::{Api, ListParams};
use upkeep::args::KubeArgs;
use upkeep::client::{self, Agent};
use upkeep::output::{self, Format};
use upkeep::ui::{Ui, escape};
use upkeep::{Exit, Result, complete};

/// Prints nodes
#[derive(Parser)]
#[command(name = "kubectl-probe", bin_name = "kubectl probe", version)]
struct Cli {
    /// The nodes to print; all of them if not given
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    nodes: Vec<String>,

    /// Output format
    #[arg(long, short = 'o', value_name = "FORMAT")]
    output: Option<Format>,

    /// Also read something deprecated, twice
    #[arg(long)]
    deprecated: bool,

    #[command(flatten)]
    kube: KubeArgs,
}

fn main() -> ExitCode {
    if let Some(code) = complete::intercept(Cli::command()) {
        return code;
    }
    let cli = Cli::parse();
    let ui = Ui::from_env();
    client::log_to_stderr(cli.kube.verbosity, &ui);
    upkeep::run(&ui, run(&cli, &ui))
}

async fn run(cli: &Cli, ui: &Ui) -> Result<Exit> {
    let agent = Agent {
        name: "kubectl-probe",
        version: env!("CARGO_PKG_VERSION"),
    };
    let connection = client::connect(&cli.kube, &agent, ui).await?;
    let explain = |error: kube::Error| connection.explain(&error);
    if cli.deprecated {
        let api = Api::<Endpoints>::namespaced(connection.client.clone(), &connection.namespace);
        for _ in 0..2 {
            api.list(&ListParams::default()).await.map_err(explain)?;
        }
    }
    let api = Api::<Node>::all(connection.client.clone());
    let mut names = Vec::new();
    for name in &cli.nodes {
        names.extend(api.get(name).await.map_err(explain)?.metadata.name);
    }
    if cli.nodes.is_empty() {
        let list = api.list(&ListParams::default()).await.map_err(explain)?;
        names.extend(list.items.into_iter().filter_map(|node| node.metadata.name));
    }
    let format = cli.output.unwrap_or_default();
    if format.is_document() {
        ui.document(&output::document(format, &names)?);
    } else {
        let rows = names.iter().map(|name| vec![escape(name)]).collect();
        ui.data(&output::table(&["NAME"], rows));
    }
    Ok(Exit::Done)
}
