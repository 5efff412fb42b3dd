//! Child processes that never outlive the test: not after a panic, not after Ctrl-C, not after a kill.
//!
//! Does not: restart anything.
//!
//! Decision: each child leads its own process group and asks for SIGKILL at its parent's death (`setpriv`, part of
//! util-linux). That signal is bound to the *thread* that spawned, so one thread that lives as long as the process
//! does all spawning. Rejected: a pre-exec hook, which needs `unsafe`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};

type Order = (Command, Sender<std::io::Result<Child>>);

/// A running child; killed with its group when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, output appended to `log`.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start(program: &Path, arguments: &[&str], env: &[(String, String)], log: &Path) -> Result<Self> {
        let mut command = if has_setpriv() {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let out = File::options().create(true).append(true).open(log)?;
        command.args(arguments).envs(env.iter().cloned()).stdin(Stdio::null());
        command.stdout(out.try_clone()?).stderr(out);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = spawn(command).with_context(|| format!("{} does not start", program.display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `Some` once it has ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// SIGTERM, and then its end.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let _ = self.child.wait();
    }

    /// SIGSTOP: it is there and answers nothing, until [`Process::go_on`].
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        // Its threads stop one by one; on a busy machine one of them may still answer.
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = waitpid(id, WaitOptions::UNTRACED);
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Resident memory in bytes; 0 where the kernel does not say.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() * 1024
    }

    /// The last lines it wrote.
    pub fn tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }
}

/// The last lines of a file.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (reply, answer) = channel();
    spawner.lock().unwrap().send((command, reply))?;
    Ok(answer.recv()??)
}

fn has_setpriv() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let probe = Command::new("setpriv").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        probe.is_ok_and(|status| status.success())
    })
}
