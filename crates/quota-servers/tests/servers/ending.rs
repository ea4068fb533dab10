//! No server outlives its owner.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use quota_servers::{PrivateServer, Server, private};

use crate::client::eventually;

/// The file in which [`owner_of_servers`] names the processes that it started.
const TOLD_IN: &str = "QUOTA_SERVERS_OWNER_TELLS";

const OWNED: [Server; 2] = [Server::Redis, Server::Postgres];

#[test]
fn a_server_that_is_dropped_ends_and_its_folder_is_gone() {
    for server in Server::ALL {
        let Some(running) = private(server) else { continue };
        let pids: Vec<u32> = pids(&running);
        let folders: Vec<PathBuf> = running.nodes().iter().map(|node| node.folder().to_owned()).collect();
        assert!(running.logs().all(Path::is_file));
        drop(running);
        assert!(!pids.into_iter().any(is_running), "{server} runs on");
        assert!(!folders.iter().any(|folder| folder.exists()), "{server} left its folder");
    }
}

#[test]
fn a_server_ends_with_an_owner_that_is_killed() {
    if OWNED.into_iter().any(|server| private(server).is_none()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let told_in = folder.path().join("pids");
    let mut owner = Command::new(std::env::current_exe().unwrap());
    owner.args(["--exact", "ending::owner_of_servers", "--nocapture"]).env(TOLD_IN, &told_in);
    // Its temporary folders go with this one: nobody is left to remove them.
    owner.env("TMPDIR", folder.path()).stdout(Stdio::null()).stdin(Stdio::piped());
    open_to_all(folder.path());
    let mut owner = owner.spawn().unwrap();
    let read = || std::fs::read_to_string(&told_in).unwrap_or_default();
    eventually("the owner has servers", || read().ends_with('\n'));
    let pids: Vec<u32> = read().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), OWNED.len());
    assert!(pids.iter().all(|pid| is_running(*pid)));

    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("the servers are gone", || !pids.iter().any(|pid| is_running(*pid)));
}

/// What [`a_server_ends_with_an_owner_that_is_killed`] runs; in a run of all tests it does nothing.
#[test]
fn owner_of_servers() {
    let Some(told_in) = std::env::var_os(TOLD_IN) else { return };
    // Each from a thread that has ended by the time.
    let start = |server| std::thread::spawn(move || PrivateServer::start(server).unwrap()).join().unwrap();
    let servers: Vec<PrivateServer> = OWNED.into_iter().map(start).collect();
    let pids: Vec<String> = servers.iter().flat_map(pids).map(|pid| pid.to_string()).collect();
    std::fs::write(told_in, pids.join(" ") + "\n").unwrap();
    // Until it is killed.
    std::io::stdin().lines().for_each(drop);
}

fn pids(server: &PrivateServer) -> Vec<u32> {
    server.nodes().iter().map(|node| node.pid().unwrap()).collect()
}

/// Those that ended and are not waited for yet do not run.
fn is_running(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(')').is_some_and(|(_, words)| !words.trim_start().starts_with('Z'))
}

/// Servers that refuse root run as another user.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}
