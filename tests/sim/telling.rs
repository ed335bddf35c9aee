//! Facts and actions as lines of a transcript.

use crate::host::Fact;
use crate::packet::parse;
use crate::transcript::Transcript;
use carp::carp::Action;

pub fn note(transcript: &mut Transcript, now: u64, host: usize, fact: &Fact, actions: &[Action]) {
    let told = match fact {
        Fact::Time => "time".to_string(),
        Fact::Frame(packet) => match (&packet.ad, packet.asks) {
            (Some(ad), _) => format!(
                "hears h{} vhid {} {}/{} demote {} {} counter {:x}",
                packet.from, ad.vhid, ad.base, ad.skew, ad.demote, ad.family, ad.counter
            ),
            (None, Some(ip)) => format!("is asked for {ip}"),
            // Announcements and garbage: interesting only if they have an effect.
            _ if actions.is_empty() => return,
            _ => format!("hears noise of h{}", packet.from),
        },
        Fact::Card(segment, port) => format!(
            "carpdev {segment}: exists {} up {} {:?} {:?}",
            port.exists, port.up, port.v4, port.v6
        ),
        Fact::Configure(_, conf) => format!(
            "{}: up {} gone {} {}/{} {:?}",
            conf.unit(),
            conf.up,
            conf.gone,
            conf.base,
            conf.skew,
            conf.seal
        ),
        Fact::Ask(at, state) => format!("place {at}: state {state}"),
        Fact::Settings(settings) => format!("{settings:?}"),
        Fact::Armed(at, attempt, ok) => format!("place {at}: armed {attempt} {ok}"),
        Fact::Sent(at, family, ok, round) => format!("place {at}: sent {family} {ok} of {round}"),
        Fact::Shutdown => "shutdown".to_string(),
    };
    if matches!(fact, Fact::Time | Fact::Sent(_, _, true, _)) && actions.is_empty() {
        return;
    }
    transcript.note(now, Some(host), || told);
    for action in actions {
        transcript.note(now, Some(host), || format!("    {}", line(action)));
    }
}

/// What a successor asks for.
pub fn resumed(transcript: &mut Transcript, now: u64, host: usize, actions: &[Action]) {
    transcript.note(now, Some(host), || "goes on".to_string());
    for action in actions {
        transcript.note(now, Some(host), || format!("    {}", line(action)));
    }
}

fn line(action: &Action) -> String {
    match action {
        Action::Send {
            unit, what, frame, ..
        } => match parse(frame) {
            Some(ad) => format!(
                "{unit}: advertises {}/{} demote {} {} counter {:x}",
                ad.base, ad.skew, ad.demote, ad.family, ad.counter
            ),
            None => format!("{unit}: {what:?}"),
        },
        Action::Arm { unit, attempt } => format!("{unit}: arm {attempt}"),
        Action::Disarm { unit } => format!("{unit}: disarm"),
        Action::Gate { unit, gate, .. } => format!("{unit}: gate {gate:?}"),
        Action::Lease { unit, until, .. } => format!("{unit}: lease {}", until.as_nanos()),
        Action::Transition {
            unit,
            from,
            to,
            reason,
            ..
        } => format!("{unit}: {from} -> {to} ({reason})"),
        Action::Log(notice) => format!("log: {}", notice.text),
        Action::SendToPeers { unit, .. } => format!("{unit}: advertises to peers"),
        Action::Retired { unit } => format!("{unit}: retired"),
    }
}
