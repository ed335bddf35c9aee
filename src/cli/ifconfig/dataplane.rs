//! What no BSD prints of an interface: its input mode, its data plane and what passed; must not know the rest of the text.
#![forbid(unsafe_code)]

use super::lines::Lines;
use crate::carp::config::InputMode;
use crate::cli::escape;
use crate::control::Interface;

/// Lines behind a system's own: the input mode where it is not the default, the rest when `verbose`.
#[must_use]
pub fn lines(interface: &Interface, verbose: bool) -> String {
    let mut text = Lines::default();
    let served = &interface.dataplane;
    let because = |why: &Option<String>| {
        let why = why.as_deref();
        why.map_or_else(String::new, |why| format!(" ({})", escape(why)))
    };
    let told = interface.capture || served.hindrance.is_some();
    if verbose || told || interface.input != InputMode::default() {
        let capture = if interface.capture { " capture" } else { "" };
        text.put(format_args!(
            "\tinput: {}{capture}{}",
            interface.input,
            because(&served.hindrance)
        ));
    }
    if let Some(selector) = interface.hash {
        text.put(format_args!("\thash: {selector}"));
    }
    if interface.drain {
        text.put(format_args!(
            "\tdrain: it leaves the addresses to other hosts"
        ));
    }
    if verbose {
        let traffic = interface.traffic;
        text.put(format_args!(
            "\tdataplane: {}{}",
            served.by,
            because(&served.why)
        ));
        for (way, packets, bytes, dropped) in [
            ("in", traffic.ipackets, traffic.ibytes, traffic.idrops),
            ("out", traffic.opackets, traffic.obytes, traffic.odrops),
        ] {
            text.put(format_args!(
                "\t{way}: {packets} packets {bytes} bytes {dropped} dropped"
            ));
        }
    }
    text.text()
}

#[cfg(test)]
mod tests {
    use super::super::print::tests::fresh;
    use super::*;
    use crate::carp::config::Dataplane;
    use crate::control::{Served, Traffic};

    #[test]
    fn what_no_bsd_has_is_told_when_it_is_not_the_default_or_asked_for() {
        assert_eq!(lines(&fresh(), false), "");
        let mut accept = Interface {
            input: InputMode::Accept,
            ..fresh()
        };
        assert_eq!(lines(&accept, false), "\tinput: accept\n");
        accept.capture = true;
        accept.dataplane = Served {
            by: Dataplane::Copy,
            why: Some("tcx: too old".into()),
            hindrance: Some("not\nhere".into()),
        };
        assert_eq!(
            lines(&accept, false),
            "\tinput: accept capture (not\\nhere)\n"
        );
        accept.traffic = Traffic {
            ipackets: 1,
            ibytes: 2,
            idrops: 3,
            opackets: 4,
            obytes: 5,
            odrops: 6,
        };
        assert_eq!(
            lines(&accept, true),
            "\tinput: accept capture (not\\nhere)\n\tdataplane: copy (tcx: too old)\n\
            \tin: 1 packets 2 bytes 3 dropped\n\tout: 4 packets 5 bytes 6 dropped\n"
        );
    }
}
