//! Timestamps: what Python reads, and what it would write again.

use capsule::Timestamp;
use capsule::json::Value;
use capsule::verify::Record;
use proptest::prelude::*;

use super::{Peer, samples};

#[test]
fn timestamps_are_read_as_python_reads_them() {
    let Some(mut peer) = Peer::start("times") else {
        return;
    };
    let dates = prop::sample::select(vec![
        "2026-01-15",
        "2024-02-29",
        "2023-02-29",
        "0001-01-01",
        "9999-12-31",
        "0000-01-01",
        "20260115",
        "2026-W03-4",
        "2026W034",
        "2026-W03",
        "2026W03",
        "2020-W53-7",
        "2021-W53-1",
        "2026-W00-1",
        "9999-W52-7",
        "2026-1-15",
        "2026-13-01",
        "2026-00-01",
        "2026-01-00",
        "2026-015",
        "2026015",
        "2026",
    ]);
    let separators = prop::sample::select(vec!["T", "T", "T", " ", "t", "é", "", "-", "5", "😀"]);
    let clocks = prop::sample::select(vec![
        "12:00:00",
        "12:00:00.123456",
        "12:00:00.120000",
        "12:00:00.000000",
        "12:00:00.1",
        "12:00:00,5",
        "12:00:00.1234567",
        "12:00:00.123456x",
        "12:00:00.",
        "12:00:00.12x",
        "12:00",
        "12",
        "120000",
        "1200",
        "1200.5",
        "12.5",
        "12:30.5",
        "24:00:00",
        "23:59:60",
        "12:60",
        "1:00",
        "12:0",
        "120",
        "12:00:00:5",
        "12:00:00:",
        "12:0000",
        "1200:00",
        "12:",
        "",
        "12:00:00 ",
        "12:00:00.123456 ",
    ]);
    let offsets = prop::sample::select(vec![
        "+00:00",
        "+00:00",
        "+05:30",
        "-05:30",
        "-00:00",
        "Z",
        "z",
        "",
        "+05",
        "+0530",
        "+5",
        "+05:3",
        "+05:30:15",
        "+05:30:15.5",
        "+05:30:15.500000",
        "+00:00:00.5",
        "-00:00:00.000001",
        "+00:00:30",
        "+00:00:00",
        "+24:00",
        "-23:59:59.999999",
        "+23:60",
        "+00:60",
        "+00:00.5",
        "ZZ",
        "Z+00:00",
        "+",
        "+00:00 ",
        "+00:00:00:5",
        "+05:30:00.000000",
        "+05:30:00.000001",
    ]);
    let texts = (dates, separators, clocks, offsets)
        .prop_map(|(date, separator, clock, offset)| [date, separator, clock, offset].concat());
    let loose = "[0-9]{4}-?W?[0-9]{1,2}-?[0-9]{1,2}[T ]?[0-9:.]{0,10}[-+Z]?[0-9:]{0,6}";
    let (mut read, mut normal) = (0, 0);
    let mut document = crate::known_document(0);
    for text in samples(texts, 6000).chain(samples(loose, 3000)) {
        let theirs = peer.ask("time", [("text", Value::from(&text))]);
        crate::set(&mut document, "trigger.timestamp", Some(Value::from(&text)));
        let record = Record::from_row(
            &capsule::canonical::to_vec(&document),
            capsule::verify::Seal::default(),
        );
        if theirs.error().is_some() {
            assert!(Timestamp::parse(&text).is_err(), "{text}");
            assert!(record.is_err(), "{text}");
            continue;
        }
        read += 1;
        let micros = theirs.get("micros").as_i64();
        let in_range = |micros: &i64| Timestamp::new(*micros).micros() == *micros;
        let ours = Timestamp::parse(&text).ok().map(Timestamp::micros);
        assert_eq!(ours, micros.filter(in_range), "{text}");
        let is_normal = record.unwrap().not_normal_form().is_none();
        assert_eq!(Some(is_normal), theirs.get("normal").as_bool(), "{text}");
        normal += usize::from(is_normal);
    }
    assert!(read > 500 && normal >= 10, "{read} {normal}");
}
