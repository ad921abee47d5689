//! Machines in network namespaces of their own, joined by networks whose cables can be pulled out. All of it is removed with its value.

use super::needs::tools;
use std::process::{Command, Stdio};

/// What the machines are joined by: a network for each kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Queue,
    Store,
    Rooms,
}

const NETWORKS: [Network; 3] = [Network::Queue, Network::Store, Network::Rooms];

/// Machines by number. 0 is this one: the namespace of the tests.
pub struct Networks {
    /// What the names of all its namespaces and devices begin with.
    tag: String,
    /// The third number of all addresses: 198.18.0.0/15 is for tests (RFC 2544).
    third: u8,
    /// Namespaces by machine; none for this one.
    machines: Vec<Option<String>>,
}

impl Networks {
    /// Three networks with this machine on them.
    ///
    /// # Errors
    /// This user may not make namespaces, or `ip` is missing.
    pub fn make() -> Result<Networks, String> {
        tools(&["ip"])?;
        let pid = std::process::id();
        let taken = said("ip -4 -o address").unwrap_or_default();
        let free =
            (0..=255u8).map(|step| (pid as u8).wrapping_add(step)).find(|n| !taken.contains(&format!("198.18.{n}.")));
        let third = free.ok_or("all networks for tests are taken")?;
        let mut networks = Networks { tag: format!("rb{pid:x}"), third, machines: Vec::new() };
        let hub = networks.hub();
        said(&format!("ip netns add {hub}"))
            .map_err(|words| format!("this user may not make network namespaces: {words}"))?;
        for network in NETWORKS {
            run(&format!("ip -n {hub} link add net{} type bridge", network as u8));
            run(&format!("ip -n {hub} link set net{} up", network as u8));
        }
        networks.join(None);
        Ok(networks)
    }

    /// Another machine on all of them; returns its number.
    pub fn machine(&mut self) -> usize {
        let name = format!("{}-{}", self.tag, self.machines.len());
        run(&format!("ip netns add {name}"));
        run(&format!("ip -n {name} link set lo up"));
        self.join(Some(name))
    }

    fn join(&mut self, namespace: Option<String>) -> usize {
        let (machine, hub) = (self.machines.len(), self.hub());
        let inside = namespace.as_ref().map(|name| format!("-n {name}")).unwrap_or_default();
        self.machines.push(namespace.clone());
        for network in NETWORKS {
            let (near, far) = (format!("{}e{}", self.tag, network as u8), far(machine, network));
            let place = namespace.clone().unwrap_or_else(|| std::process::id().to_string());
            run(&format!("ip -n {hub} link add {far} type veth peer name {near}x"));
            run(&format!("ip -n {hub} link set {far} master net{} up", network as u8));
            run(&format!("ip -n {hub} link set {near}x netns {place}"));
            run(&format!("ip {inside} link set {near}x name {near}"));
            run(&format!("ip {inside} address add {}/26 dev {near}", self.address(machine, network)));
            run(&format!("ip {inside} link set {near} up"));
        }
        machine
    }

    /// A machine's address on a network.
    pub fn address(&self, machine: usize, network: Network) -> String {
        format!("198.18.{}.{}", self.third, (network as usize) * 64 + 1 + machine)
    }

    /// What a command on that machine begins with.
    pub fn on(&self, machine: usize) -> Vec<String> {
        let namespace = self.machines[machine].iter().map(String::as_str);
        namespace.flat_map(|name| ["ip", "netns", "exec", name]).map(str::to_owned).collect()
    }

    /// Pulls a machine's cable out of a network, or puts it back.
    pub fn set_plugged(&self, machine: usize, network: Network, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        run(&format!("ip -n {} link set {} {state}", self.hub(), far(machine, network)));
    }

    /// The namespace with the networks themselves.
    fn hub(&self) -> String {
        format!("{}-hub", self.tag)
    }
}

/// The network's end of a cable.
fn far(machine: usize, network: Network) -> String {
    format!("m{machine}n{}", network as u8)
}

impl Drop for Networks {
    fn drop(&mut self) {
        // The other ends of the cables go with it.
        for name in self.machines.iter().flatten().chain([&self.hub()]) {
            let _ = said(&format!("ip netns delete {name}"));
        }
    }
}

/// Runs a command; what it said, or what was wrong with it.
fn said(command: &str) -> Result<String, String> {
    let mut words = command.split(' ').filter(|word| !word.is_empty());
    let program = words.next().unwrap_or_default();
    let output = Command::new(program).args(words).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn run(command: &str) {
    said(command).unwrap_or_else(|words| panic!("{command}: {words}"));
}
