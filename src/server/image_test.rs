//! An image written and read again, and what is refused.

use super::super::epochs::tests::Scratch;
use super::*;
use crate::base::{Epoch, Instant, WallMillis, Zxid};
use crate::config::Raw;
use crate::replica::ensemble::EpochRecord;
use crate::server::SUBDIRECTORY;
use crate::wire::Text;
use crate::wire::txn::{CreateTxn, Txn, TxnHeader};
use crate::zab::HistoryLimits;

const NOW: Now = Now { instant: Instant(1_000_000_000), wall: WallMillis(1) };

/// Who only wants the end.
impl Witness for () {
    fn on_snapshot(&mut self, _: Zxid, _: &mut Store, _: Vec<(SessionId, i32)>) -> Result<(), Error> {
        Ok(())
    }

    fn on_transaction(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

fn config(scratch: &Scratch) -> Config {
    let nothing_to_read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let checked = Raw::built_in().check(|name| name.parse().ok(), &nothing_to_read);
    let mut config = checked.expect("no faults").0;
    config.data_dir = scratch.directory().path().to_owned();
    config.data_log_dir = config.data_dir.clone();
    config
}

fn image() -> Image {
    let (mut store, _) = crate::tree::tree(HashKey(1, 2), 0);
    store.plant();
    for number in 1..=100 {
        let path = format!("/n{number}");
        let create = CreateTxn {
            path: Text::from(path.as_str()),
            data: Some(&[7; 3000]),
            acl: None,
            ephemeral: number % 2 == 0,
            parent_cversion: number,
        };
        let txn = Txn::Create(create);
        let zxid = Zxid(3 << 32 | i64::from(number));
        let header = TxnHeader {
            client_id: SessionId(9),
            cxid: 1,
            zxid,
            time: WallMillis(5),
            kind: txn.kind().code(),
        };
        store.apply(&header, &txn);
        store.publish(zxid);
    }
    let epochs = Some(Epochs { accepted: Epoch(4), current: Epoch(3) });
    Image { store, sessions: vec![(SessionId(9), 4000)], epochs }
}

#[test]
fn what_is_written_is_read() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let directory = Directory::create(&config.data_dir.join(SUBDIRECTORY)).expect("room");
    let mut written = image();
    written.write(&directory, 5).expect("room");
    let read = Image::read(&config, 6, NOW, &mut ()).expect("whole");
    assert_eq!(read.store.newest(), written.store.newest());
    assert_eq!(read.store.digest(), written.store.digest());
    assert_eq!(read.store.nodes_count(), 104);
    assert_eq!(read.store.ephemerals_of(SessionId(9)).len(), 50);
    assert_eq!((read.sessions, read.epochs), (written.sessions, written.epochs));
}

/// Regression: without a log beside it the record of epochs counts for nothing, and a whole ensemble that was imported has no
/// vote among it.
#[test]
fn a_member_that_starts_on_it_keeps_its_epochs() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let directory = Directory::create(&config.data_dir.join(SUBDIRECTORY)).expect("room");
    image().write(&directory, 5).expect("room");
    let places =
        Arc::new(Places::existing(&config.data_dir, &config.data_log_dir).expect("written just now"));
    let prng = Prng::salted(7, "image");
    let mut settings = boot::replica_settings(&config, HashKey(1, 2), 3);
    settings.history = Some(HistoryLimits { count: 3, bytes: 1 << 20 });
    let segment_bytes = config.pre_alloc_size;
    let mut recovery = Recovery { places, settings, segment_bytes, shards: 1, prng };
    let recovered = recovery.run(None, NOW).unwrap_or_else(|fatal| panic!("{fatal}"));
    let epochs = Epochs { accepted: Epoch(4), current: Epoch(3) };
    assert_eq!(recovered.epochs, EpochRecord::Found(epochs));
}

#[test]
fn reading_changes_nothing_and_needs_the_server_stopped() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let refusal = |config: &Config| Image::read(config, 6, NOW, &mut ()).err().expect("refused").to_string();
    assert!(refusal(&config).contains("isn't there"));
    let directory = Directory::create(&config.data_dir.join(SUBDIRECTORY)).expect("room");
    assert!(refusal(&config).contains("neither a snapshot nor a log"));
    image().write(&directory, 5).expect("room");
    let list = || directory.list().expect("readable").into_iter().filter(|entry| entry.name != "lock");
    let before: Vec<_> = list().collect();
    Image::read(&config, 6, NOW, &mut ()).expect("whole");
    assert_eq!(list().collect::<Vec<_>>(), before);
    let lock = directory.lock("lock").expect("free");
    assert!(refusal(&config).contains("another process"));
    drop(lock);
    directory.rename(&SegmentId(1).file_name(), "elsewhere").expect("it is there");
    assert!(refusal(&config).contains("holds no log"));
    directory.rename("elsewhere", &SegmentId(1).file_name()).expect("it is there");
    directory.rename(EPOCH_FILE, LOST_EPOCHS).expect("it is there");
    assert!(refusal(&config).contains("until a leader has synchronised it"));
    directory.rename(LOST_EPOCHS, EPOCH_FILE).expect("it is there");
    let name = log::snapshot_file_name(image().store.newest());
    let mut bytes = directory.read(&name).expect("there");
    bytes.truncate(5000);
    directory.write_atomically(&name, &bytes).expect("room");
    let text = refusal(&config);
    assert!(text.contains("Put back the snapshot"), "{text}");
}
