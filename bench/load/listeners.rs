//! Which process of this host listens at an address: so that servers' processor time is told without their ids being typed.
//!
//! Called by `run`, once. The kernel's tables name sockets by inode (`/proc/net/tcp`), and processes by the inodes they hold
//! (`/proc/PID/fd`); those of other users only root may read. Format: proc(5). Tested: `listeners_test.rs`.

use std::net::{IpAddr, SocketAddr, TcpListener};

/// The processes that listen at `servers`, each once, in their order. Those of other hosts, and those that may not be seen,
/// are left out.
pub fn pids(servers: &[SocketAddr]) -> Vec<u32> {
    let tables: String = ["tcp", "tcp6"]
        .map(|name| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default())
        .concat();
    let local: Vec<&SocketAddr> = servers.iter().filter(|server| is_of_this_host(server.ip())).collect();
    let inodes: Vec<u64> = local.iter().filter_map(|server| inode(&tables, server)).collect();
    if inodes.is_empty() {
        return Vec::new();
    }
    let owners = owners(&inodes);
    let mut found = Vec::new();
    for inode in inodes {
        let owner = owners.iter().find(|(held, _)| *held == inode).map(|(_, pid)| *pid);
        if let Some(pid) = owner.filter(|pid| !found.contains(pid)) {
            found.push(pid);
        }
    }
    found
}

/// An address can be bound where it is.
fn is_of_this_host(ip: IpAddr) -> bool {
    TcpListener::bind((ip, 0)).is_ok()
}

/// Of the socket that listens at `server`, or at its port on all addresses.
fn inode(tables: &str, server: &SocketAddr) -> Option<u64> {
    const LISTEN: &str = "0A";
    let rows = tables.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (ip, port) = fields.get(1)?.split_once(':')?;
        let listens = fields.get(3) == Some(&LISTEN) && u16::from_str_radix(port, 16) == Ok(server.port());
        listens.then_some((address(ip)?, fields.get(9)?.parse::<u64>().ok()?))
    });
    let wanted = server.ip().to_canonical();
    let mut everywhere = None;
    for (ip, inode) in rows {
        if ip == wanted {
            return Some(inode);
        }
        // [::] takes both kinds of addresses unless it was told otherwise.
        if ip.is_unspecified() && (ip.is_ipv6() || wanted.is_ipv4()) {
            everywhere = Some(inode);
        }
    }
    everywhere
}

/// `0100007F` is 127.0.0.1: each group of four bytes in the machine's order, of which the kernel prints the number.
fn address(hex: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = (0..hex.len() / 8)
        .map(|at| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes()))
        .collect();
    let bytes = words?.concat();
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()),
        _ => None,
    }
}

/// Who holds which of `inodes`.
fn owners(inodes: &[u64]) -> Vec<(u64, u32)> {
    let links: Vec<(u64, String)> =
        inodes.iter().map(|inode| (*inode, format!("socket:[{inode}]"))).collect();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        for descriptor in std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(target) = std::fs::read_link(descriptor.path()) else { continue };
            if let Some((inode, _)) = links.iter().find(|(_, link)| target.as_os_str() == link.as_str()) {
                found.push((*inode, pid));
            }
        }
    }
    found
}

#[cfg(test)]
#[path = "listeners_test.rs"]
mod tests;
