//! Who is a member of the virtual cluster: what the servers' files say, and what clients ask for.
//!
//! Whoever is in no configuration has been told of the others and itself, as ZooKeeper's manual has it: joiners, and
//! servers that were removed and start again. It follows without a vote.

use super::world::port_of;
use super::*;
use crate::zab::Member;

/// `server.N=…` with all its ports.
pub fn member_line(node: usize, is_voter: bool) -> String {
    let role = if is_voter { "participant" } else { "observer" };
    let (quorum, election) = (port_of(node, true), port_of(node, false));
    format!("server.{}=127.0.0.1:{quorum}:{election}:{role};127.0.0.1:{}", node + 1, 4000 + node)
}

impl World {
    /// What this server's configuration files say.
    pub fn members_told(&self, node: usize) -> Arc<Config> {
        let own = self.nodes[node].members.as_ref().unwrap_or(self.judge.first_config());
        if own.member(ServerId(node as i64 + 1)).is_some() {
            return own.clone();
        }
        let mut text: String =
            own.members().map(|member| format!("server.{}={member}\n", member.id.0)).collect();
        text += &member_line(node, node.is_multiple_of(2));
        Arc::new(Config::parse(&text).expect("a configuration"))
    }

    /// The configuration in force, and those that are in somebody's log and may come.
    pub fn open_configs(&self) -> Vec<Arc<Config>> {
        let behind = self.logged.range(self.judge.last().next()..);
        let proposed = behind.filter_map(|(_, payload)| judge::reconfigured(payload));
        [self.judge.config().clone()].into_iter().chain(proposed).collect()
    }

    /// One or two servers come, go, or get another role.
    pub fn random_reconfiguration(&mut self) -> Op {
        let config = self.judge.config().clone();
        let (mut joining, mut leaving) = (vec![], vec![]);
        for _ in 0..1 + self.prng.below(4) / 3 {
            let node = self.prng.below(self.nodes.len() as u64) as usize;
            let is_voter = config.member(ServerId(node as i64 + 1)).map(Member::is_voter);
            match is_voter {
                Some(_) if self.prng.chance(1, 2) => leaving.push((node + 1).to_string()),
                Some(is_voter) => joining.push(member_line(node, !is_voter)),
                // More come than go.
                None => joining.push(member_line(node, self.prng.chance(3, 4))),
            }
        }
        Op::Reconfig { joining: joining.join(","), leaving: leaving.join(",") }
    }
}
