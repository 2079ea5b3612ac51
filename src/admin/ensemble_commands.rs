//! Commands of the admin port which ask a member for its ensemble.

use serde_json::{Value, json};

use super::commands::{Answer, Fields, fields};
use super::facts::{EnsembleFacts, Facts, LearnerFacts, MemberFacts, Mode, ServerFacts};

/// Of the page at `/`: ZooKeeper has no such command, so it is in no list of them.
pub const ENSEMBLE: &str = "ringkeeper_ensemble";

/// All that this server knows of its ensemble, itself included; with zxids as text, as a browser's numbers have 53 bits.
/// `learner` is told by the leader only.
pub fn ensemble(facts: &Facts<'_>) -> Answer {
    let mode = facts.server.map(|server| server.mode.name());
    let last = facts.server.map(|server| server.last_zxid);
    let mut body = json!({
        "server_state": mode,
        "last_zxid": last.map(|zxid| zxid.to_string()),
        "members": [],
    });
    if let Some(ensemble) = facts.ensemble {
        let learner = |id| ensemble.learners.iter().find(|learner| learner.id == id);
        let shown = |of: &LearnerFacts| {
            json!({
                "synced": of.is_synced,
                "acked": of.votes.then(|| of.acked.to_string()),
                "behind": last.and_then(|last| EnsembleFacts::lag(of, last)),
            })
        };
        let member = |member: &MemberFacts| {
            let own = facts.server.filter(|_| member.id == ensemble.me);
            json!({
                "id": member.id,
                "votes": member.votes,
                "quorum": member.quorum,
                "election": member.election,
                "client": member.client.clone().or(own.map(|server| client_address(&server, facts))),
                "learner": learner(member.id).map(shown),
            })
        };
        body["me"] = json!(ensemble.me);
        body["leader"] = json!(ensemble.leader);
        body["peer_state"] = json!(ensemble.peer_state);
        body["zab_state"] = json!(ensemble.zab_state);
        body["accepted_epoch"] = json!(ensemble.accepted_epoch);
        body["current_epoch"] = json!(ensemble.current_epoch);
        body["config_version"] = json!(format!("0x{:x}", ensemble.config_version));
        body["members"] = ensemble.members.iter().map(member).collect();
    }
    body["command"] = json!(ENSEMBLE);
    body["error"] = Value::Null;
    Answer { status: 200, body }
}

/// A server that serves reads without a leader is none of its ensemble's, in ZooKeeper's answers.
fn in_ensemble<'a>(server: &ServerFacts, facts: &Facts<'a>) -> Option<&'a EnsembleFacts> {
    facts.ensemble.filter(|_| server.mode != Mode::ReadOnly)
}

pub fn leader(server: &ServerFacts, facts: &Facts<'_>) -> Fields {
    let Some(ensemble) = in_ensemble(server, facts) else {
        return fields(json!({ "error": "server is not initialized" }));
    };
    let id = ensemble.leader.unwrap_or(-1);
    let found = ensemble.members.iter().find(|member| member.id == id);
    let address = found.and_then(|member| member.quorum.first());
    fields(json!({
        "is_leader": ensemble.is_leader(),
        "leader_id": id,
        "leader_ip": address.map_or("", |address| host_of(address)),
    }))
}

/// `host` of `host:port` and of `[host]:port`.
pub fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

pub fn observers(facts: &Facts<'_>) -> Fields {
    let observers: Vec<Value> = facts
        .ensemble
        .into_iter()
        .flat_map(|ensemble| ensemble.synced(false))
        .map(|learner| json!({ "sid": learner.id, "last_zxid": learner.acked.0 }))
        .collect();
    fields(json!({ "synced_observers": observers.len(), "observers": observers }))
}

pub fn voting_view(server: &ServerFacts, facts: &Facts<'_>) -> Fields {
    let view = |member: &MemberFacts, me: i64| {
        let own = (member.id == me).then(|| client_address(server, facts));
        json!({
            "server_addresses": member.quorum,
            "election_addresses": member.election,
            "client_address": member.client.clone().or(own).unwrap_or_default(),
            "learner_type": if member.votes { "participant" } else { "observer" },
        })
    };
    let current: Fields = in_ensemble(server, facts)
        .into_iter()
        .flat_map(|ensemble| ensemble.members.iter().map(|member| (member, ensemble.me)))
        .filter(|(member, _)| member.votes)
        .map(|(member, me)| (member.id.to_string(), view(member, me)))
        .collect();
    fields(json!({ "current_config": current }))
}

fn client_address(server: &ServerFacts, facts: &Facts<'_>) -> String {
    let mut address = facts.config.client.socket_address();
    address.set_port(server.client_port);
    address.to_string()
}

pub fn zab_state_of_nobody() -> Fields {
    fields(json!({ "voting": false, "zabstate": "" }))
}

pub fn zab_state(server: &ServerFacts, facts: &Facts<'_>) -> Fields {
    let Some(ensemble) = in_ensemble(server, facts) else { return zab_state_of_nobody() };
    let nobody = MemberFacts::default();
    let own = ensemble.own().unwrap_or(&nobody);
    let zxid = server.last_zxid.0;
    fields(json!({
        "myid": ensemble.me,
        "is_leader": ensemble.is_leader(),
        "quorum_address": addresses(&own.quorum),
        "election_address": addresses(&own.election),
        "client_address": client_address(server, facts),
        "voting": own.votes,
        "last_zxid": server.last_zxid.to_string(),
        "zab_epoch": zxid >> 32,
        "zab_counter": zxid & 0xffff_ffff,
        "zabstate": ensemble.zab_state,
    }))
}

/// What ZooKeeper prints of several addresses of one port. Whether they can be reached is not tried: it tells of its own.
fn addresses(all: &[String]) -> Value {
    let ports: Vec<u16> = all.iter().filter_map(|address| address.rsplit_once(':')?.1.parse().ok()).collect();
    let wildcards: Vec<String> = ports.iter().map(|port| format!("0.0.0.0:{port}")).collect();
    let hosts: Vec<&str> = all.iter().map(|address| host_of(address)).collect();
    let one = all.first();
    json!({
        "empty": all.is_empty(),
        "all_addresses": all,
        "wildcard_addresses": wildcards,
        "all_ports": ports,
        "all_host_strings": hosts,
        "reachable_address": one,
        "all_reachable_addresses": all,
        "all_reachable_addresses_or_all": all,
        "reachable_or_one": one,
        "one": one,
    })
}
