//! Flags for a command that goes on from this run: the force that it needs, and what was given to this one.

use upkeep::ui::quoted;

use crate::{
    cli::Cli,
    ladder::{Cap, Rung},
    render::diagnosis::word,
};

/// How much force, with what a person has confirmed.
pub(super) fn force(rung: Option<Rung>, cap: &Cap) -> Vec<String> {
    let mut flags: Vec<String> = rung
        .map(|rung| format!("--force-up-to={}", word(rung)))
        .into_iter()
        .collect();
    let lists = [("powered-off", &cap.powered_off), ("leave-behind", &cap.leave_behind)];
    let lists = lists.iter().filter(|(_, names)| !names.is_empty());
    flags.extend(lists.map(|(flag, names)| format!("--{flag}={}", names.join(","))));
    flags.extend(cap.even_if_alive.then(|| "--even-if-alive".to_owned()));
    flags
}

/// What says where the object is and what is known about its finalizers. `namespace`: nothing else names it.
pub(super) fn place(cli: &Cli, namespace: bool) -> Vec<String> {
    let given = cli.kube.namespace.as_ref().filter(|_| namespace);
    let mut flags: Vec<String> = given.map(|name| format!("--namespace={name}")).into_iter().collect();
    flags.extend(cli.kube.context.iter().map(|name| format!("--context={name}")));
    let files = [("kubeconfig", &cli.kube.kubeconfig), ("knowledge", &cli.knowledge)];
    let files = files
        .iter()
        .filter_map(|(flag, file)| Some((flag, file.as_ref()?.display())));
    flags.extend(files.map(|(flag, file)| format!("--{flag}={file}")));
    flags
}

/// As a shell reads them.
pub(super) fn line(flags: impl IntoIterator<Item = String>) -> String {
    let flags: Vec<String> = flags.into_iter().map(|flag| quoted(&flag)).collect();
    flags.join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn what_was_given_is_given_again() {
        let words = "kubectl-finalize cm/a -n shop --context=prod --powered-off=n1 --even-if-alive --knowledge";
        let cli = Cli::parse_from(words.split(' ').chain(["/tmp/p 3;id"]));
        let cap = Cap {
            rung: Rung::Wait,
            even_if_alive: cli.switches.even_if_alive,
            powered_off: cli.powered_off.clone(),
            leave_behind: vec!["a.example.com".into(), "b.example.com".into()],
            planned: None,
        };
        let flags = force(Some(Rung::Neutralise), &cap).into_iter();
        assert_eq!(
            line(flags.chain(place(&cli, true))),
            "--force-up-to=neutralise --powered-off=n1 --leave-behind=a.example.com,b.example.com --even-if-alive \
             --namespace=shop --context=prod '--knowledge=/tmp/p 3;id'"
        );
        assert_eq!(line(place(&cli, false)), "--context=prod '--knowledge=/tmp/p 3;id'");
    }
}
