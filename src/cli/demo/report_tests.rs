//! The table and the JSON object, byte for byte.

use super::event::{Event, Side};
use super::report::{Report, Row};
use super::{json, table};
use crate::lab::figures::{Reach, Takeover};
use crate::wire::Family;
use std::time::Duration;

fn report() -> Report {
    let ms = Duration::from_millis;
    let kill = Row {
        event: Event::Kill,
        family: Family::Inet,
        old: Side::A,
        master: Some(Side::B),
        reach: Reach {
            sent: 5391,
            lost: 3390,
            late: 2,
            outage: Duration::from_micros(3_390_600),
        },
        takeover: Takeover {
            master: Some(3),
            takeover: Some(ms(2800)),
            excess: Some(-1_250_000),
            overlap: Duration::ZERO,
        },
        stall: Duration::from_micros(4120),
        note: None,
    };
    let stays = Row {
        event: Event::Return,
        family: Family::Inet6,
        old: Side::B,
        master: Some(Side::B),
        reach: Reach {
            sent: 2500,
            ..Reach::default()
        },
        takeover: Takeover {
            master: Some(3),
            ..Takeover::default()
        },
        stall: ms(1),
        note: Some("equal advskew: nobody preempts".to_owned()),
    };
    let nobody = Row {
        event: Event::LinkReturn,
        master: None,
        note: None,
        ..stays.clone()
    };
    Report {
        dataplane: "tcx".to_owned(),
        rows: vec![kill, stays, nobody],
        stall: Duration::from_micros(4120),
    }
}

#[test]
fn the_table() {
    let expected = "\
event        family  MASTER       outage ms  sent  lost  late  takeover ms  excess ms  two owners ms  stall ms
kill         inet    a -> b          3390.6  5391  3390     2       2800.0       -1.2            0.0       4.1
return       inet6   b                  0.0  2500     0     0            -          -            0.0       1.0  equal advskew: nobody preempts
link-return  inet6   b -> nobody        0.0  2500     0     0            -          -            0.0       1.0

lost: no reply in 1 s; late: over 50 ms; takeover: from the event to the first advert of the new MASTER;
excess: beyond what the protocol's timers allow; two owners: both hosts sent as owner of the address
the machine's own worst stall: 4.1 ms
";
    assert_eq!(table::text(&report()), expected);
}

#[test]
fn the_object() {
    let expected = concat!(
        r#"{"scenario":"failover","dataplane":"tcx","stall_ms":4.12,"events":["#,
        r#"{"event":"kill","family":"inet","sent":5391,"lost":3390,"late":2,"outage_ms":3390.6,"takeover_ms":2800.0,"#,
        r#""excess_ms":-1.25,"overlap_ms":0.0,"stall_ms":4.12,"master":"b"},"#,
        r#"{"event":"return","family":"inet6","sent":2500,"lost":0,"late":0,"outage_ms":0.0,"takeover_ms":null,"#,
        r#""excess_ms":null,"overlap_ms":0.0,"stall_ms":1.0,"master":"b","note":"equal advskew: nobody preempts"},"#,
        r#"{"event":"link-return","family":"inet6","sent":2500,"lost":0,"late":0,"outage_ms":0.0,"takeover_ms":null,"#,
        r#""excess_ms":null,"overlap_ms":0.0,"stall_ms":1.0,"master":null}]}"#,
        "\n"
    );
    assert_eq!(json::text(&report()), expected);
}
