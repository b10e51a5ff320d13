//! What the engine hears and what it asks for. The driver translates both; it decides nothing.

use upkeep::report::ObjRef;

pub use super::note::{Departed, Note, Outcome, Stage, Verb};
use super::{
    fence::machine as fence,
    surge::sight::{Act, Sight},
};
use crate::facts::{Budget, Node, Pod, Uid, Workloads};

/// Milliseconds since the Unix epoch, on a clock that never jumps: the start of the run plus what has elapsed since.
pub type At = i64;

/// One thing that happened, and when.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: At,
    /// What happened.
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone)]
pub enum What {
    /// Time has passed: something may be due.
    Tick,
    /// News about pods that are (or were) bound to this node.
    Pods {
        /// Name of the node that is watched.
        node: String,
        /// The news.
        change: Change<Pod>,
        /// The call that asked, where this list is the answer to a [`Command::List`].
        call: Option<Call>,
    },
    /// The pods of this node that `--pod-selector` leaves out, from a fresh list.
    LeftOut {
        /// Name of the node.
        node: String,
        /// The pods.
        pods: Vec<Pod>,
    },
    /// The pods of this node cannot be watched: lists in an interval must do.
    WatchUnavailable {
        /// Name of the node.
        node: String,
    },
    /// Something else cannot be watched: not allowed.
    Unwatchable {
        /// The resource, as RBAC spells it.
        resource: &'static str,
        /// What this means for the run.
        consequence: &'static str,
    },
    /// A watch has failed several times; it is tried further.
    Unwell(String),
    /// News about budgets of the whole cluster.
    Budgets(Change<Budget>),
    /// News about one of our nodes.
    Node(Change<Node>),
    /// The VolumeAttachments of a node that are still there, by name of the volume. `None`: they cannot be read.
    Attachments {
        /// Name of the node.
        node: String,
        /// Names of the attached PersistentVolumes.
        volumes: Option<Vec<String>>,
    },
    /// Pods anywhere that belong to owners whose pods were moved.
    Elsewhere(Change<Pod>),
    /// Answer to a command that carries a call number.
    Reply {
        /// The number that the command carried.
        call: Call,
        /// The answer.
        reply: Reply,
    },
    /// All pods of a budget's namespace, freshly listed, in answer to [`Command::Inspect`].
    BudgetPods {
        /// UID of the budget.
        budget: Uid,
        /// The pods, and their controllers where these were asked for. `None`: they cannot be read.
        found: Option<(Vec<Pod>, Option<Workloads>)>,
    },
    /// Something of a Deployment that is surged has changed.
    Stirred {
        /// UID of the Deployment.
        deployment: Uid,
    },
    /// What a look at a Deployment found, in answer to [`Command::Surge`]; nothing where it does not exist any more.
    Sight {
        /// The number that the command carried.
        call: Call,
        /// What was found.
        sight: Option<Box<Sight>>,
    },
    /// What a look at a node found whose machine is off, in answer to [`Command::Fence`]; nothing where it does not exist
    /// any more.
    FenceSight {
        /// The number that the command carried.
        call: Call,
        /// What was found.
        sight: Option<fence::Sight>,
    },
    /// The watch of a node's pods fails again and again.
    WatchFailing {
        /// Name of the node.
        node: String,
    },
    /// Another run has taken the node over, or somebody has removed the claim of this one.
    LockLost {
        /// Name of the node.
        node: String,
        /// Who holds it now; nobody where it was removed.
        holder: Option<String>,
    },
    /// The claim of another run looks stale; it is watched for a while before it is replaced.
    LockDoubted {
        /// Name of the node.
        node: String,
        /// Who holds it.
        holder: String,
    },
    /// The claim of another run was replaced by ours.
    LockReplaced {
        /// Name of the node.
        node: String,
        /// Who held it, and why it does not any more.
        holder: String,
    },
    /// The server has refused something that the work can do without.
    Degraded {
        /// What is missing now, and why.
        text: String,
    },
    /// A person or the system wants the run to end.
    Interrupt,
}

/// News from a list or watch.
#[derive(Debug, Clone)]
pub enum Change<T> {
    /// A complete and consistent list; what is not in it is gone.
    Listed(Vec<T>),
    /// Added or modified.
    Applied(T),
    /// Deleted.
    Gone(T),
}

/// Number of a call; replies carry it back.
pub type Call = u64;

/// What a server answered, as far as the engine cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 2xx.
    Accepted,
    /// 404: the object is gone.
    NotFound,
    /// 409: the name now belongs to another object (or another writer came first).
    Conflict(String),
    /// 429 with the cause DisruptionBudget.
    OverBudget {
        /// The server's words about the budget.
        message: String,
        /// Seconds of Retry-After, where the server named any.
        retry_after: Option<u64>,
    },
    /// 429 without such a cause: the API server sheds load.
    Throttled {
        /// Seconds of Retry-After, where the server named any.
        retry_after: Option<u64>,
    },
    /// 500 because more than one budget matches.
    Overlap(String),
    /// 403 with the cause NamespaceTerminating.
    NamespaceTerminating,
    /// 504: the server gave up on conflicting writes of the budget; nothing was evicted.
    Contended(String),
    /// An admission webhook or policy said no.
    Denied(String),
    /// 403 by authorization.
    Forbidden(String),
    /// Another answer that trying again will not change.
    Rejected(String),
    /// It has begun, and others have to act before it is done.
    Underway(String),
    /// A 5xx that may pass.
    Unavailable(String),
    /// No answer: whether the request took effect is not known.
    Lost(String),
}

/// What the driver is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Mark the node unschedulable and claim it for this run.
    Cordon {
        /// Number of the call.
        call: Call,
        /// Name of the node.
        node: String,
        /// The node that preflight has looked at; another one of the same name is not touched.
        uid: Uid,
    },
    /// Take back the own cordon, if it is still ours.
    Uncordon {
        /// Number of the call.
        call: Call,
        /// Name of the node.
        node: String,
    },
    /// Tell others where the work on a node stands. Nothing depends on the answer.
    Publish {
        /// Number of the call.
        call: Call,
        /// Name of the node.
        node: String,
        /// Its UID.
        uid: Uid,
        /// Where it stands.
        stage: Stage,
    },
    /// Save a node and remove it from the cluster, unless volumes are attached to it or it is not cordoned any more.
    Remove {
        /// Number of the call.
        call: Call,
        /// Name of the node.
        node: String,
        /// Its UID.
        uid: Uid,
    },
    /// Begin to watch a node and its pods; the first news of each is a complete consistent list.
    Watch {
        /// Name of the node.
        node: String,
    },
    /// End that watch.
    Unwatch {
        /// Name of the node.
        node: String,
    },
    /// Ask for a fresh consistent list of a node's pods. The answer is [`What::Pods`], after [`What::LeftOut`] where pods are
    /// selected; a reply comes only on failure.
    List {
        /// Number of the call.
        call: Call,
        /// Name of the node.
        node: String,
    },
    /// Evict one pod through the eviction subresource, with its UID as a precondition.
    Evict {
        /// Number of the call.
        call: Call,
        /// The pod.
        pod: ObjRef,
        /// What is saved first, because nothing would bring it back: the pod, or its Job.
        save: Option<ObjRef>,
    },
    /// Delete one pod, with its UID as a precondition: budgets are not asked.
    Delete {
        /// Number of the call.
        call: Call,
        /// The pod.
        pod: ObjRef,
        /// Seconds of grace where the deadline leaves less than the pod's own.
        grace: Option<i64>,
        /// What is saved first, because nothing would bring it back: the pod, or its Job.
        save: Option<ObjRef>,
    },
    /// List the pods of a budget's namespace.
    Inspect {
        /// Namespace of the budget.
        namespace: String,
        /// UID of the budget.
        budget: Uid,
        /// List their controllers, too.
        controllers: bool,
    },
    /// One request of a surge. A look is answered by [`What::Sight`], by a reply only on failure.
    Surge {
        /// Number of the call.
        call: Call,
        /// The Deployment.
        deployment: ObjRef,
        /// The request.
        act: Act,
    },
    /// Begin to say when something of a Deployment changes.
    WatchSurge {
        /// The Deployment.
        deployment: ObjRef,
    },
    /// End that.
    UnwatchSurge {
        /// The Deployment.
        deployment: ObjRef,
    },
    /// One request of a fence. A look is answered by [`What::FenceSight`], by a reply only on failure.
    Fence {
        /// Number of the call.
        call: Call,
        /// Name of the node.
        node: String,
        /// Its UID.
        uid: Uid,
        /// The request.
        act: fence::Act,
    },
    /// Begin to report the VolumeAttachments of a node.
    WatchAttachments {
        /// Name of the node.
        node: String,
    },
    /// Begin to report pods of these namespaces.
    WatchElsewhere {
        /// The namespaces.
        namespaces: Vec<String>,
    },
    /// Something a person may want to know.
    Tell(Note),
    /// The run is over; nothing is asked for after this.
    Finish(Outcome),
}
