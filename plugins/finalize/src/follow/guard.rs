//! Beside everything else that a run does: as long as nodes are tainted as out of service, they are looked at.

use std::convert::Infallible;

use upkeep::{
    node::{LOOK_EVERY, WATCHED},
    ui::{escape, human_duration},
};

use super::{Case, step::Chosen};
use crate::{act::Hands, ladder::Mend};

impl Case<'_> {
    /// Before nodes are tainted, their Leases are watched.
    pub(super) async fn watch_leases(&self, chosen: &[Chosen], hands: &Hands<'_>) {
        for step in chosen {
            if let Mend::OutOfService {
                node, renewed: Some(_), ..
            } = &step.mend
            {
                let seconds = human_duration(WATCHED);
                let text = format!("watching for {seconds} whether the kubelet of node/{node} renews its Lease");
                self.look.ui.status(&escape(&text));
                hands.watch_lease(node).await;
            }
        }
    }

    /// Never ends by itself.
    pub(super) async fn guard(&self, hands: &Hands<'_>) -> Infallible {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for removed in hands.look_after_fences().await {
                match removed {
                    Ok(text) => self.look.ui.warning(&escape(&text)),
                    Err(error) => self.look.ui.error(&error),
                }
            }
        }
    }
}
