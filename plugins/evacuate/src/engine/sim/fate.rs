//! What happens next: anything, in any order, and after a while everything in time.

use std::collections::VecDeque;

use proptest::test_runner::TestCaseError;

use super::world::{World, node};
use crate::engine::event::{Change, What};

impl World {
    pub fn chaos(&mut self) -> Result<(), TestCaseError> {
        if self.keep_prompt()? {
            return Ok(());
        }
        match self.roll(20) {
            0..=5 => self.answer_one(true),
            6..=10 => self.deliver_one(),
            11..=12 => {
                // Surges are meant for servers that answer.
                let most = if self.surged.is_some() { 300 } else { 3_000 };
                self.now += i64::try_from(self.roll(most)).unwrap();
                self.feed(What::Tick)
            }
            13 => self.terminate_one(),
            14 => self.budget_moves(),
            15 => {
                let node = format!("n{}", self.roll(u64::try_from(self.shape.nodes).unwrap()));
                if self.one_in(3) {
                    self.spawn(&node);
                }
                Ok(())
            }
            16 => self.relist(),
            17 if self.shape.hostile && self.one_in(40) => {
                self.interrupted = true;
                self.feed(What::Interrupt)
            }
            18 if self.shape.hostile && self.one_in(30) => {
                self.cordoned.insert("n0".into());
                let change = match self.roll(3) {
                    0 => Change::Applied(node("n0", "n0", false)),
                    1 => Change::Applied(node("n0", "another", true)),
                    _ => Change::Gone(node("n0", "n0", false)),
                };
                self.feed(What::Node(change))
            }
            19 if !self.off.is_empty() && self.one_in(8) => self.comes_back(),
            19 if self.surged.is_some() => self.surge_moves(),
            _ => self.answer_one(false),
        }
    }

    /// Everything is answered and delivered in time, budgets recover, pods stop.
    pub fn fair(&mut self) -> Result<(), TestCaseError> {
        for i in 0..self.budgets.len() {
            if self.budgets[i].allowed == 0 {
                self.budgets[i].allowed = 1;
                self.budgets[i].changed = true;
            }
        }
        if !self.open.is_empty() {
            return self.answer_one(false);
        }
        if self.news.values().any(|q| !q.is_empty()) {
            return self.deliver_one();
        }
        if let Some(i) = self.budgets.iter().position(|b| b.changed) {
            self.budgets[i].changed = false;
            self.under[i].told(self.budgets[i].allowed);
            return self.feed(What::Budgets(Change::Applied(self.budget(i))));
        }
        self.surge_settles()?;
        self.evict_tainted();
        if self
            .pods
            .values()
            .any(|p| p.pod.deletion.is_some() && self.ends_pods(&p.pod.node))
        {
            return self.terminate_one();
        }
        self.now = self.state.wake().unwrap_or(self.now + 1_000).max(self.now + 1);
        self.feed(What::Tick)
    }

    fn deliver_one(&mut self) -> Result<(), TestCaseError> {
        let nodes: Vec<String> = self
            .news
            .iter()
            .filter(|(_, q)| !q.is_empty())
            .map(|(n, _)| n.clone())
            .collect();
        if nodes.is_empty() {
            return Ok(());
        }
        let node = nodes[usize::try_from(self.roll(8)).unwrap() % nodes.len()].clone();
        let change = self.news.get_mut(&node).and_then(VecDeque::pop_front).unwrap();
        self.feed(What::Pods {
            node,
            change,
            call: None,
        })
    }

    /// The watch breaks: what was not delivered is lost, and a fresh list comes instead.
    fn relist(&mut self) -> Result<(), TestCaseError> {
        let node = format!("n{}", self.roll(u64::try_from(self.shape.nodes).unwrap()));
        if !self.news.contains_key(&node) {
            return Ok(());
        }
        let list = self.on(&node);
        self.news.insert(node, VecDeque::from([Change::Listed(list)]));
        Ok(())
    }

    fn terminate_one(&mut self) -> Result<(), TestCaseError> {
        let dying: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, p)| p.pod.deletion.is_some() && self.ends_pods(&p.pod.node))
            .map(|(u, _)| u.clone())
            .collect();
        let Some(uid) = dying.first() else { return Ok(()) };
        let gone = self.pods.remove(uid).unwrap();
        self.tell(&gone.pod.node.clone(), Change::Gone(gone.pod));
        Ok(())
    }

    fn budget_moves(&mut self) -> Result<(), TestCaseError> {
        if self.budgets.is_empty() {
            return Ok(());
        }
        let i = usize::try_from(self.roll(8)).unwrap() % self.budgets.len();
        if self.one_in(2) {
            self.budgets[i].allowed = i32::try_from(self.roll(4)).unwrap();
        }
        self.under[i].told(self.budgets[i].allowed);
        self.budgets[i].changed = false;
        self.feed(What::Budgets(Change::Applied(self.budget(i))))
    }
}
