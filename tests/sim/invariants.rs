//! What must hold at one host after every step: the actions are the ones that the rules ask for, nothing of the shared
//! address is used outside gate and lease, and everything is bounded.

use crate::host::{Conf, Fact, Host};
use crate::packet::{Ad, Seal, parse};
use crate::rules::{Due, Stage, patience};
use carp::carp::{Action, Gate, Sending};
use carp::wire::Family;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

const MS: u64 = 1_000_000;

/// The advertisement in a frame, with its seal and the number of its round.
pub type Sealed = Option<(Ad, Rc<Seal>, u64)>;

/// What left in a step, for the link and for the door.
#[derive(Debug, Default)]
pub struct Effects {
    /// Place, frame, and the advertisement in it.
    pub frames: Vec<(usize, Vec<u8>, Sealed)>,
    /// Place and attempt.
    pub arms: Vec<(usize, u64)>,
    pub changes: Vec<(usize, Due)>,
    pub retired: usize,
}

/// Seen at one carpN in one step.
#[derive(Default)]
struct Seen {
    due: Vec<Due>,
    ads: Vec<(Family, u8, u8, u8)>,
    announced: Vec<IpAddr>,
    answered: usize,
    leases: Vec<u64>,
}

pub fn check(
    host: &mut Host,
    now: u64,
    fact: &Fact,
    actions: Vec<Action>,
    rounds: &mut u64,
) -> Result<Effects, String> {
    // Only a change of configuration has something before it that is worth keeping.
    let old = match fact {
        Fact::Configure(..) => host.witness.confs.clone(),
        _ => Vec::new(),
    };
    let before: Vec<Stage> = host.witness.courses.iter().map(|c| c.stage).collect();
    if actions.len() > 64 + 48 * host.confs.len() {
        return Err(format!("{} actions at once", actions.len()));
    }
    host.witness.armed = places(host, &actions, |a| matches!(a, Action::Arm { .. }));
    let yielded = |a: &Action| {
        matches!(
            a,
            Action::Gate {
                gate: Gate::Yielded,
                ..
            }
        )
    };
    host.witness.succeeded = places(host, &actions, yielded);
    host.witness.expect(now, fact);
    if let Some(wrong) = host.witness.wrong.take() {
        return Err(wrong);
    }
    let mut seen: Vec<Seen> = host.confs.iter().map(|_| Seen::default()).collect();
    let mut effects = Effects::default();
    for action in actions {
        take(host, now, (&old, rounds), action, &mut seen, &mut effects)?;
    }
    for (at, seen) in seen.iter().enumerate() {
        compare(host, now, at, (fact, before[at]), seen)?;
    }
    standing(host, now)?;
    Ok(effects)
}

/// An engine that goes on for another one asks again for all that its state stands for, and for nothing else: no state
/// changes, nothing is advertised. What the data plane is not told is shut.
pub fn resumed(host: &mut Host, now: u64, actions: Vec<Action>) -> Result<Effects, String> {
    let leases: Vec<u64> = host.witness.courses.iter().map(|c| c.lease).collect();
    for (conf, course) in host.witness.confs.iter().zip(&mut host.witness.courses) {
        // carpN is as it was left, whatever that is.
        (course.gate, course.lease, course.armed) = (Gate::Shut, 0, !conf.gone);
    }
    let mut seen: Vec<Seen> = host.confs.iter().map(|_| Seen::default()).collect();
    let (mut effects, mut asked) = (Effects::default(), vec![false; seen.len()]);
    for action in actions {
        match action {
            Action::Arm { unit, attempt } => {
                let at = host.place(unit);
                if attempt != host.witness.courses[at].attempt {
                    return Err(format!("{unit}: resumed with attempt {attempt}"));
                }
                (host.witness.courses[at].armed, asked[at]) = (true, true);
                effects.arms.push((at, attempt));
            }
            Action::Gate { unit, gate, .. } => {
                let at = host.place(unit);
                host.witness.courses[at].gate = gate;
            }
            Action::Transition { .. }
            | Action::Send {
                what: Sending::Advertisement(_),
                ..
            } => return Err(format!("resumed with {action:?}")),
            other => take(host, now, (&[], &mut 0), other, &mut seen, &mut effects)?,
        }
    }
    for (at, course) in host.witness.courses.iter().enumerate() {
        let conf = &host.witness.confs[at];
        let unit = conf.unit();
        let serves = matches!(course.stage, Stage::Arming(_) | Stage::Master);
        let owns = serves || course.left.is_some();
        let (gate, lease) = (course.gate, course.lease);
        if gate != course.wanted_gate() || asked[at] != serves || course.armed != owns {
            return Err(format!(
                "{unit} in {:?}: resumed with gate {gate:?}, armed {}, asked {}",
                course.stage, course.armed, asked[at]
            ));
        }
        if owns && lease != leases[at] {
            let known = leases[at];
            return Err(format!("{unit}: resumed with lease {lease}, not {known}"));
        }
        let lasts = course.stage == Stage::Master && now < lease;
        let announces = lasts && host.witness.ports[conf.segment].exists;
        let mine = host.witness.undivided(at).filter(|_| announces);
        let mine: BTreeSet<IpAddr> = mine.collect();
        if seen[at].announced.iter().copied().collect::<BTreeSet<_>>() != mine {
            let again = &seen[at].announced;
            return Err(format!("{unit}: announced {again:?} again, not {mine:?}"));
        }
    }
    states(host)?;
    Ok(effects)
}

fn places(host: &Host, actions: &[Action], which: fn(&Action) -> bool) -> Vec<usize> {
    let unit = |action: &Action| match action {
        Action::Arm { unit, .. } | Action::Gate { unit, .. } => Some(host.place(*unit)),
        _ => None,
    };
    let wanted = actions.iter().filter(|action| which(action));
    wanted.filter_map(unit).collect()
}

fn take(
    host: &mut Host,
    now: u64,
    (old, rounds): (&[Conf], &mut u64),
    action: Action,
    seen: &mut [Seen],
    effects: &mut Effects,
) -> Result<(), String> {
    match action {
        Action::Arm { unit, attempt } => {
            let at = host.place(unit);
            let course = &mut host.witness.courses[at];
            if attempt <= course.attempt {
                return Err(format!("attempt {attempt} after {}", course.attempt));
            }
            (course.attempt, course.armed) = (attempt, true);
            seen[at].due.push(Due::Arm);
            effects.arms.push((at, attempt));
        }
        Action::Disarm { unit } => {
            let at = host.place(unit);
            host.witness.courses[at].armed = false;
        }
        Action::Gate { unit, gate, .. } => {
            let at = host.place(unit);
            if gate == Gate::Open && seen[at].ads.is_empty() {
                return Err(format!("{unit}: egress opened before an advertisement"));
            }
            host.witness.courses[at].gate = gate;
        }
        Action::Lease { unit, until, .. } => {
            let at = host.place(unit);
            seen[at].leases.push(until.as_nanos());
            host.witness.courses[at].lease = until.as_nanos();
        }
        Action::Transition {
            unit,
            from,
            to,
            reason,
            ..
        } => {
            let at = host.place(unit);
            let due = Due::Change(from, to, reason);
            seen[at].due.push(due);
            effects.changes.push((at, due));
        }
        Action::Send {
            carpdev,
            unit,
            what,
            frame,
            ..
        } => {
            let at = host.place(unit);
            if carpdev != Host::carpdev(host.confs[at].segment) {
                return Err(format!("{unit}: a frame on the wrong carpdev"));
            }
            let ad = send(
                host,
                now,
                (old.get(at), rounds),
                (at, what, &frame),
                &mut seen[at],
            )?;
            effects.frames.push((at, frame, ad));
        }
        Action::SendToPeers { .. } => return Err("nobody here has peers".into()),
        Action::Retired { .. } => effects.retired += 1,
        Action::Log(_) => {}
    }
    Ok(())
}

/// One frame with the virtual MAC.
fn send(
    host: &mut Host,
    now: u64,
    (old, rounds): (Option<&Conf>, &mut u64),
    (at, what, frame): (usize, Sending, &[u8]),
    seen: &mut Seen,
) -> Result<Sealed, String> {
    let conf = &host.witness.confs[at].clone();
    let old = old.unwrap_or(conf);
    let unit = conf.unit();
    let course = &host.witness.courses[at];
    let advertisement = matches!(what, Sending::Advertisement(_));
    let open = course.gate == Gate::Open || (course.gate == Gate::Inward && advertisement);
    if !open || now >= course.lease {
        return Err(format!(
            "{unit}: {what:?} with gate {:?}, lease {} at {now}",
            course.gate, course.lease
        ));
    }
    if frame[6..12] != [0, 0, 0x5e, 0, 1, conf.seal.vhid] {
        return Err(format!("{unit}: a frame without the virtual MAC"));
    }
    let family = match what {
        Sending::Advertisement(family) => family,
        Sending::Announcement => {
            seen.announced.extend(said_of(frame));
            return Ok(None);
        }
        Sending::Answer => {
            seen.answered += 1;
            return Ok(None);
        }
    };
    let ad = parse(frame).ok_or_else(|| format!("{unit}: an advertisement nobody reads"))?;
    let seals = [&conf.seal, &old.seal];
    let seals = &seals[..if ad.is_goodbye() { 2 } else { 1 }];
    let right = seals.iter().find(|s| s.digest(ad.counter) == ad.digest);
    let Some(seal) = right.map(|s| Rc::clone(s)) else {
        return Err(format!("{unit}: a wrong digest, {ad:?}"));
    };
    let source = |addresses: &[IpAddr]| {
        match family {
            Family::Inet => host.witness.ports[conf.segment].v4.map(IpAddr::V4),
            Family::Inet6 => host.witness.ports[conf.segment].v6.map(IpAddr::V6),
        }
        .or_else(|| addresses.iter().copied().find(|a| Family::of(*a) == family))
    };
    if ![source(&conf.addresses), source(&old.addresses)].contains(&Some(ad.src)) {
        return Err(format!("{unit}: sent from {}", ad.src));
    }
    if ad.family != family || ad.vhid != conf.seal.vhid {
        return Err(format!("{unit}: {ad:?} as {family}"));
    }
    let course = &mut host.witness.courses[at];
    if ad.pseudo != (course.pseudo && family == Family::Inet6) {
        return Err(format!(
            "{unit}: not in the form of the peer last heard: {ad:?}"
        ));
    }
    if course.sent.iter().any(|sent| sent.counter == ad.counter) {
        return Err(format!("{unit}: counter {:x} again", ad.counter));
    }
    if course.sent.len() == 32 {
        course.sent.pop_front();
    }
    course.sent.push_back(ad);
    if host.witness.settings.replay {
        course.ledger.note(ad.counter, ad.family);
        if let Some(left) = course.left.as_mut().filter(|_| ad.is_goodbye()) {
            left.ledger.note(ad.counter, ad.family);
        }
    }
    seen.ads.push((ad.family, ad.base, ad.skew, ad.demote));
    let mut round = 0;
    if !ad.is_goodbye() {
        if Some(family) == seal.families().next() {
            *rounds += 1;
            course.round = *rounds;
            course.round_at = now;
            course.awaited = seal.families().collect();
            course.failed = false;
        }
        round = course.round;
    }
    Ok(Some((ad, seal, round)))
}

/// What was seen at one carpN against what the rules ask for.
fn compare(
    host: &Host,
    now: u64,
    at: usize,
    (fact, before): (&Fact, Stage),
    seen: &Seen,
) -> Result<(), String> {
    let witness = &host.witness;
    let (conf, course) = (&witness.confs[at], &witness.courses[at]);
    let unit = conf.unit();
    let due = witness.due.iter().filter(|(place, _)| *place == at);
    let (mut rest, mut ads) = (Vec::new(), Vec::new());
    for (_, due) in due {
        match *due {
            Due::Round(base, skew, demote) => {
                ads.extend(conf.seal.families().map(|f| (f, base, skew, demote)));
            }
            other => rest.push(other),
        }
    }
    let sorted = |mut list: Vec<Due>| {
        // A MASTER that arms again says so before or after; the order among changes is kept.
        list.sort_by_key(|due| *due != Due::Arm);
        list
    };
    if sorted(rest.clone()) != sorted(seen.due.clone()) {
        return Err(format!(
            "{unit} in {before:?}: expected {rest:?}, happened {:?}",
            seen.due
        ));
    }
    if ads != seen.ads {
        return Err(format!(
            "{unit} in {before:?}: expected advertisements {ads:?}, sent {:?}",
            seen.ads
        ));
    }
    announcements(host, at, (before, fact), seen)?;
    leases(host, now, at, before, seen)?;
    if course.gate != course.wanted_gate() {
        let wanted = course.wanted_gate();
        return Err(format!("{unit}: gate {:?}, wanted {wanted:?}", course.gate));
    }
    let serves = matches!(course.stage, Stage::Arming(_) | Stage::Master);
    if course.armed != (serves || course.left.is_some()) {
        return Err(format!(
            "{unit} in {:?}: armed {}",
            course.stage, course.armed
        ));
    }
    Ok(())
}

fn announcements(
    host: &Host,
    at: usize,
    (before, fact): (Stage, &Fact),
    seen: &Seen,
) -> Result<(), String> {
    let (conf, stage) = (&host.witness.confs[at], host.witness.courses[at].stage);
    let unit = conf.unit();
    let alone: Vec<IpAddr> = host.witness.undivided(at).collect();
    let mut answers = 0;
    if let Fact::Frame(packet) = fact
        && let Some(ip) = packet.asks
    {
        let mine = packet.segment == conf.segment && conf.addresses.contains(&ip);
        answers = usize::from(mine && stage == Stage::Master);
    }
    // Where several share the address it may be another one's part: see `askers`.
    let chosen = alone.len() == conf.addresses.len() || answers == 0;
    if seen.answered > answers || (chosen && seen.answered < answers) {
        return Err(format!("{unit} in {stage:?}: {} answers", seen.answered));
    }
    let became = before != Stage::Master && stage == Stage::Master;
    let said = |ip: &IpAddr| seen.announced.contains(ip);
    if (became && !alone.iter().all(said)) || seen.announced.iter().any(|ip| !alone.contains(ip)) {
        return Err(format!(
            "{unit}: announced {:?}, has {alone:?} alone",
            seen.announced
        ));
    }
    Ok(())
}

/// The address that an announcement is about.
fn said_of(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..14)? {
        [0x08, 0x06] => Some(IpAddr::from(*frame.get(28..)?.first_chunk::<4>()?)),
        _ => Some(IpAddr::from(*frame.get(62..)?.first_chunk::<16>()?)),
    }
}

/// The lease moves only as far, and only when, all families of the latest round have left.
fn leases(host: &Host, now: u64, at: usize, before: Stage, seen: &Seen) -> Result<(), String> {
    let witness = &host.witness;
    let (conf, course) = (&witness.confs[at], &witness.courses[at]);
    let unit = conf.unit();
    let skew = u64::from(witness.pace(at).1.max(1));
    let length = match conf.base {
        0 => skew * 5 * 1_000_000 / 512 * 1000,
        base => 3_000 * MS * u64::from(base) - 100 * MS,
    };
    let stays = course.stage == Stage::Master && before == Stage::Master;
    let earned = course.earned.filter(|_| stays);
    let (from, most) = if seen.due.contains(&Due::Arm) && before != Stage::Master {
        let Stage::Arming(reason) = course.stage else {
            return Err(format!("{unit}: armed as {:?}", course.stage));
        };
        (now, length.max(patience(reason) + 10 * MS))
    } else if let Some(sent) = earned {
        (sent, length)
    } else if let Some(left) = &course.left {
        (now, left.until.saturating_sub(now))
    } else {
        (now, 0)
    };
    for until in &seen.leases {
        let exact = !conf.plain || *until == from + most;
        if !exact || *until > from + most || *until < from {
            return Err(format!(
                "{unit}: lease to {until}, {most} after {from} at {now}"
            ));
        }
    }
    if earned.is_some() && seen.leases.is_empty() {
        return Err(format!("{unit}: all was sent and the lease not renewed"));
    }
    Ok(())
}

/// What holds between any two steps.
fn standing(host: &Host, now: u64) -> Result<(), String> {
    let Some(engine) = &host.engine else {
        return Ok(());
    };
    if engine.timeout().is_some_and(|at| at.as_nanos() <= now) {
        return Err(format!("due at once again: {:?}", engine.next_timer()));
    }
    states(host)
}

fn states(host: &Host) -> Result<(), String> {
    let Some(engine) = &host.engine else {
        return Ok(());
    };
    if engine.demotion() != host.witness.demotion {
        let (is, wanted) = (engine.demotion(), host.witness.demotion);
        return Err(format!("demotion {is}, wanted {wanted}"));
    }
    for (conf, course) in host.witness.confs.iter().zip(&host.witness.courses) {
        let status = engine.vhosts(conf.unit()).next();
        let state = status.map(|s| s.state);
        let wanted = (!conf.gone).then(|| course.stage.state());
        if state != wanted {
            return Err(format!("{}: {state:?}, wanted {wanted:?}", conf.unit()));
        }
    }
    Ok(())
}
