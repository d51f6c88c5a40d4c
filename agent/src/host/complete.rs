//! Completes an exec by what the kernel program could not tell: the user's name, a command line of which
//! a page was away or a chunk was lost, and on a kernel without BTF nearly everything.

use crate::pipeline::exec::{ArgvSource, ExePath, Exec, ProcessKey, Running, Time, Unknown};
use crate::pipeline::failed_exec::FailedExec;
use crate::pipeline::process_tree::TICK_NS;

use super::namespaces::HostNamespaces;
use super::procfs::Procfs;
use super::provenance::Provenances;
use super::users::Users;

/// Where the host is asked.
#[derive(Debug)]
pub struct Completer {
    procfs: Procfs,
    users: Users,
    namespaces: HostNamespaces,
    provenances: Provenances,
}

impl Completer {
    pub fn new(procfs: Procfs, provenances: Provenances) -> Self {
        Self {
            namespaces: HostNamespaces::read(&procfs),
            procfs,
            users: Users::default(),
            provenances,
        }
    }

    pub fn complete(&mut self, exec: &mut Exec, now: Time) {
        if exec.exe == ExePath::Unknown(Unknown::Unsupported) && exec.process.start_ns == 0 {
            self.complete_classic(exec);
        } else if exec.argv.source == ArgvSource::Unread || exec.argv.truncated() {
            self.repair_argv(exec);
        }
        exec.user = exec.uid.and_then(|uid| self.users.name(uid, now));
        self.compare_namespaces(exec);
        let process = exec.process;
        let lives = || self.is_same(process);
        self.provenances.complete(&self.procfs, exec, lives);
    }

    /// A process that `/proc` alone tells of.
    pub fn complete_from_procfs(&self, running: &mut Running) {
        self.provenances.complete_running(&self.procfs, running);
    }

    /// A failed exec lacks the user's name alone. What a kernel without BTF does not tell stays unknown.
    pub fn complete_failed(&mut self, failed: &mut FailedExec, now: Time) {
        failed.user = self.users.name(failed.uid, now);
    }

    pub fn procfs(&self) -> &Procfs {
        &self.procfs
    }

    /// Completes what a listing tells of a running process by its command line, which is not in reach of
    /// the kernel program, and by an executable whose path it did not follow to the end. Its cgroup must be known.
    pub fn complete_running(&mut self, exec: &mut Exec, now: Time) {
        let tgid = exec.process.tgid;
        if self.is_same(exec.process) {
            exec.argv = self.procfs.argv(tgid);
            let stopped = matches!(
                exec.exe,
                ExePath::Unknown(Unknown::Absent | Unknown::Unfinished)
            );
            if stopped {
                exec.exe = self.procfs.exe(tgid);
            }
        }
        exec.user = exec.uid.and_then(|uid| self.users.name(uid, now));
        self.compare_namespaces(exec);
        let process = exec.process;
        let lives = || self.is_same(process);
        self.provenances.complete_listed(&self.procfs, exec, lives);
    }

    fn compare_namespaces(&self, exec: &mut Exec) {
        let HostNamespaces {
            mount,
            pid,
            net,
            user,
        } = self.namespaces;
        let namespaces = &mut exec.namespaces;
        for (namespace, host) in [
            (&mut namespaces.mount, mount),
            (&mut namespaces.pid, pid),
            (&mut namespaces.net, net),
            (&mut namespaces.user, user),
        ] {
            if namespace.inum != 0 {
                namespace.is_host = host.map(|host| host == namespace.inum);
            }
        }
    }

    /// Whether the number still is that process's.
    fn is_same(&self, process: ProcessKey) -> bool {
        let started = self.procfs.stat(process.tgid).map(|stat| stat.start_ns);
        started.is_some_and(|start_ns| {
            process
                .start_ns
                .checked_sub(start_ns)
                .is_some_and(|late| late < TICK_NS)
        })
    }

    /// The process may have ended, its number may have been used again, or it may have changed what
    /// stands there: only what is certainly its own and goes on from what was read is taken.
    fn repair_argv(&self, exec: &mut Exec) {
        let tgid = exec.process.tgid;
        let argv = self.procfs.argv(tgid);
        let is_more = argv.bytes.len() > exec.argv.bytes.len();
        if is_more && self.is_same(exec.process) && argv.bytes.starts_with(&exec.argv.bytes) {
            exec.argv = argv;
        }
    }

    /// The classic tracepoints tell who and when; the rest is read while the process lives.
    fn complete_classic(&self, exec: &mut Exec) {
        let tgid = exec.process.tgid;
        let Some(stat) = self.procfs.stat(tgid) else {
            return;
        };
        if stat.start_ns > exec.time.boot_ns {
            return;
        }
        exec.process.start_ns = stat.start_ns;
        exec.exe = self.procfs.exe(tgid);
        exec.argv = self.procfs.argv(tgid);
        exec.login_uid = self.procfs.number(tgid, "loginuid");
        exec.session_id = self.procfs.number(tgid, "sessionid");
        exec.parent = ProcessKey {
            tgid: stat.parent_tgid,
            start_ns: self
                .procfs
                .stat(stat.parent_tgid)
                .map_or(0, |parent| parent.start_ns),
        };
        exec.parent_exe = self.procfs.exe(stat.parent_tgid);
    }
}
