//! A Stat as the shell prints it, and as JSON. Times are in the local zone: `Fri Nov 20 10:12:26 UTC 2026`.

use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime};
use serde_json::{Value, json};

use crate::base::WallMillis;
use crate::wire::Stat;

/// Eleven lines, each with its end.
pub fn text(stat: &Stat, zone: &TimeZone) -> String {
    format!(
        "cZxid = {}\nctime = {}\nmZxid = {}\nmtime = {}\npZxid = {}\ncversion = {}\ndataVersion = {}\n\
         aclVersion = {}\nephemeralOwner = {}\ndataLength = {}\nnumChildren = {}",
        stat.czxid,
        date(stat.ctime, zone),
        stat.mzxid,
        date(stat.mtime, zone),
        stat.pzxid,
        stat.cversion,
        stat.version,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children
    )
}

/// Java's `Date.toString`. A time that no calendar has is printed as its number.
fn date(time: WallMillis, zone: &TimeZone) -> String {
    Timestamp::from_millisecond(time.0)
        .ok()
        .and_then(|stamp| strtime::format("%a %b %d %H:%M:%S %Z %Y", &stamp.to_zoned(zone.clone())).ok())
        .unwrap_or_else(|| time.0.to_string())
}

pub fn json(stat: &Stat) -> Value {
    json!({
        "czxid": stat.czxid.0,
        "mzxid": stat.mzxid.0,
        "pzxid": stat.pzxid.0,
        "ctime": stat.ctime.0,
        "mtime": stat.mtime.0,
        "cversion": stat.cversion,
        "dataVersion": stat.version,
        "aclVersion": stat.aversion,
        "ephemeralOwner": stat.ephemeral_owner.to_string(),
        "dataLength": stat.data_length,
        "numChildren": stat.num_children,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{SessionId, Zxid};

    #[test]
    fn a_stat_is_printed_as_zkcli_prints_it() {
        let stat = Stat {
            czxid: Zxid(0xeb),
            mzxid: Zxid(-1),
            ctime: WallMillis(1_795_168_346_123),
            mtime: WallMillis(0),
            version: 1,
            cversion: 4,
            aversion: 2,
            ephemeral_owner: SessionId(0x1_0000_0000),
            data_length: 5,
            num_children: 6,
            pzxid: Zxid(0xf0),
        };
        let expected = "cZxid = 0xeb\nctime = Fri Nov 20 09:52:26 UTC 2026\nmZxid = 0xffffffffffffffff\n\
                        mtime = Thu Jan 01 00:00:00 UTC 1970\npZxid = 0xf0\ncversion = 4\ndataVersion = 1\n\
                        aclVersion = 2\nephemeralOwner = 0x100000000\ndataLength = 5\nnumChildren = 6";
        assert_eq!(text(&stat, &TimeZone::UTC), expected);
        assert_eq!(date(WallMillis(i64::MAX), &TimeZone::UTC), i64::MAX.to_string());
        assert_eq!(json(&stat)["ephemeralOwner"], "0x100000000");
    }
}
