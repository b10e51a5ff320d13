//! One server process: start, readiness, faults, end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use kube::{Client, Config};
use tokio::runtime::Handle;

const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How a server is started and asked whether it is ready.
pub struct Plan {
    /// The name of program and log file.
    pub name: &'static str,
    /// The program.
    pub program: PathBuf,
    /// All arguments, ports included, so that a restart comes back at the same place.
    pub args: Vec<String>,
    /// Answers 200 when the server is ready.
    pub probe: http::Uri,
    /// Who signed the certificate of the probe's server.
    pub ca: PathBuf,
}

/// A server process of the test bed, and what can be done to it.
///
/// The process dies with the program that started it, also when that is killed.
pub struct Server {
    plan: Arc<Plan>,
    log: PathBuf,
    child: Arc<Mutex<Option<Child>>>,
    runtime: Handle,
}

impl Server {
    /// Starts the server; it is not ready yet.
    pub(crate) fn start(plan: Plan, logs: &Path, runtime: Handle) -> Result<Self> {
        let log = logs.join(format!("{}.log", plan.name));
        let server = Self {
            plan: Arc::new(plan),
            log,
            child: Arc::default(),
            runtime,
        };
        server.spawn()?;
        Ok(server)
    }

    /// Starts it again from now on when it ends by itself, as the kubelet does with static pods: a scheduler that has lost
    /// track of a pod over a restart of the API server leaves the rest to its successor.
    pub(crate) fn supervise(&self) {
        let (plan, log, child) = (Arc::clone(&self.plan), self.log.clone(), Arc::downgrade(&self.child));
        std::thread::spawn(move || {
            while let Some(child) = child.upgrade() {
                let mut held = child.lock().unwrap_or_else(PoisonError::into_inner);
                let ended = held
                    .as_mut()
                    .is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
                if ended && let Ok(fresh) = launch(&plan, &log) {
                    *held = Some(fresh);
                }
                drop(held);
                drop(child);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        self.plan.name
    }

    /// Where it answers: `http://127.0.0.1:2379`.
    pub fn address(&self) -> String {
        let probe = &self.plan.probe;
        let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
        format!(
            "{}://{}",
            part(probe.scheme_str()),
            part(probe.authority().map(http::uri::Authority::as_str))
        )
    }

    /// Where standard output and standard error of all runs go.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process id, if the process was not killed.
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Whether the process lives. A stopped process lives.
    pub fn is_running(&self) -> bool {
        matches!(self.child().as_mut().map(Child::try_wait), Some(Ok(None)))
    }

    /// Ends the process at once (SIGKILL) and waits until it is gone.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Freezes the process (SIGSTOP): its connections stay open and nothing answers.
    pub fn stop(&self) {
        self.signal("STOP");
    }

    /// Lets a stopped process go on (SIGCONT).
    pub fn cont(&self) {
        self.signal("CONT");
    }

    /// Kills the process if it lives, starts it on the same port and waits until it is ready.
    pub fn restart(&self) {
        self.kill();
        self.spawn()
            .and_then(|()| self.try_wait_ready())
            .unwrap_or_else(|e| panic!("{e:#}"));
    }

    /// The same for a server that will not say that it is ready, for it cannot read what is stored.
    pub fn relaunch(&self) {
        self.kill();
        self.spawn().unwrap_or_else(|e| panic!("{e:#}"));
    }

    /// Waits until the server says that it is ready.
    pub fn wait_ready(&self) {
        self.try_wait_ready().unwrap_or_else(|e| panic!("{e:#}"));
    }

    pub(crate) fn try_wait_ready(&self) -> Result<()> {
        let started = Instant::now();
        let name = self.name();
        loop {
            if self.is_ready() {
                return Ok(());
            }
            if !self.is_running() {
                bail!("{name} ended while starting:\n{}", self.log_tail());
            }
            if started.elapsed() > READY_TIMEOUT {
                bail!("{name} was not ready within {READY_TIMEOUT:?}:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks the server whether it is ready.
    pub fn is_ready(&self) -> bool {
        // On a thread of its own, so that a test may call this from within its own async runtime.
        std::thread::scope(|scope| {
            scope
                .spawn(|| self.runtime.block_on(self.probe()).is_ok())
                .join()
                .unwrap_or(false)
        })
    }

    /// The end of the log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    async fn probe(&self) -> Result<()> {
        let mut config = Config::new(self.plan.probe.clone());
        config.root_cert_file = Some(self.plan.ca.clone());
        config.connect_timeout = Some(Duration::from_secs(1));
        config.read_timeout = Some(Duration::from_secs(2));
        config.default_retry = false;
        let request = http::Request::get(self.plan.probe.path()).body(Vec::new())?;
        // The path is in the request; a base path in the address would be put before it once more.
        config.cluster_url = http::Uri::builder()
            .scheme(self.plan.probe.scheme_str().unwrap_or("https"))
            .authority(self.plan.probe.authority().context("a probe has a host")?.as_str())
            .path_and_query("/")
            .build()?;
        Client::try_from(config)?.request_text(request).await?;
        Ok(())
    }

    fn spawn(&self) -> Result<()> {
        let child = launch(&self.plan, &self.log)?;
        *self.child() = Some(child);
        Ok(())
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().unwrap_or_else(|| panic!("{} does not run", self.name()));
        // The shell's own kill: the standard library can only send SIGKILL, and this workspace has no unsafe code.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {pid}")])
            .status();
        assert!(
            status.is_ok_and(|s| s.success()),
            "failed to send SIG{signal} to {}",
            self.name()
        );
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(plan: &Plan, log: &Path) -> Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(&plan.program)
        .args(&plan.args)
        // Less garbage collection: on a small machine cores are short, memory is not.
        .env("GOGC", "400");
    spawn_logged(command, log)
        .with_context(|| format!("failed to start {} (setpriv of util-linux is needed)", plan.name))
}

fn spawn_logged(mut command: Command, log: File) -> Result<Child> {
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A Ctrl-C at the terminal is for the parent, which ends its servers in its own time.
    command.process_group(0);
    spawn(command).context("spawn failed")
}

/// Starts `command` from one thread that lives as long as this process.
///
/// The kernel sends the parent-death signal when the *thread* that started a child ends, and a test's thread ends with its test.
pub fn spawn(command: Command) -> Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in receiver {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, answer) = mpsc::channel();
    orders
        .send((command, reply))
        .map_err(|_| anyhow!("the spawning thread is gone"))?;
    Ok(answer.recv()??)
}
