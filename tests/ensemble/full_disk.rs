//! A member whose disk runs full under load: it leaves its role, the others go on, and it comes back when there is room.
//!
//! Mounts small tmpfs, so it needs root.

use std::fs;

use ringkeeper::wire::client::{CreateRequest, SetDataRequest};
use ringkeeper::wire::{AclList, ErrorCode, Opcode};

use crate::history::{History, Load};
use crate::support::disk::{Disk, fill};
use crate::support::{Client, Connect, Ensemble, Server, until};

const WRITERS: usize = 6;
const SOME: u64 = 80;
/// Much more than the load writes: syncs cost nothing there.
const DISK_BYTES: u64 = 512 << 20;
/// The smallest segments there are: full disks are noticed when the next one is made.
const SEGMENT_KIB: usize = 2 << 10;

#[test]
fn a_member_without_room_leaves_and_comes_back() {
    let folders: Vec<_> = (0..3).map(|_| crate::support::server::folder("disk")).collect();
    let disks: Vec<Disk> = folders.iter().map(|folder| Disk::mount(folder, DISK_BYTES)).collect();
    let mut ensemble = Ensemble::prepare(3, 0, |id, config| {
        config.set("preAllocSize", SEGMENT_KIB).data_dir(&folders[id - 1].join("data"))
    });
    ensemble.launch_all();
    ensemble.settle();
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, WRITERS);
    for round in 0..2 {
        let leader = ensemble.settle();
        load.go_on(SOME);
        // The leader first, then a follower.
        let full = if round == 0 { leader } else { ensemble.follower(leader) };
        let others: Vec<usize> = (0..3).filter(|at| *at != full).collect();
        let ballast = fill(&folders[full]);
        let large = vec![b'x'; 100_000];
        let mut is_there = false;
        until("the member without room to leave", || {
            // Segments that were given back are disk space again, and more are used up.
            fill(&folders[full]);
            is_there |= write_much(&ensemble.servers[others[0]], &format!("/large{round}"), &large);
            (is_there && ensemble.servers[full].mode().is_none()).then_some(())
        });
        assert!(ensemble.servers[full].is_running(), "{}", ensemble.servers[full].output());
        ensemble.settle_among(&others);
        load.go_on(SOME);
        fs::remove_file(&ballast).expect("ours");
        ensemble.settle();
        let mut back = Client::connect(&ensemble.servers[full]);
        back.sync("/");
        assert!(back.data(&format!("/large{round}")) == large, "it has caught up");
        load.go_on(SOME);
    }
    history.check(&mut ensemble, load);
    drop(ensemble);
    drop(disks);
}

/// Half a megabyte of log; whether the server said that the znode is there. Who is asked may be without a leader just then.
fn write_much(server: &Server, path: &str, data: &[u8]) -> bool {
    let Ok(mut client) = Connect::default().try_open(server) else { return false };
    let create = CreateRequest { path: path.into(), data: Some(data), acl: Some(AclList::OPEN), flags: 0 };
    let set = SetDataRequest { path: path.into(), data: Some(data), version: -1 };
    let created = client.try_call(Opcode::Create, &create).map(|reply| reply.err);
    let is_there = created == Some(0) || created == Some(ErrorCode::NodeExists as i32);
    let _all_answered = is_there && (0..5).all(|_| client.try_call(Opcode::SetData, &set).is_some());
    is_there
}
