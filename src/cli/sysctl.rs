//! `sysctl`: the names of net.inet.carp as OpenBSD's sysctl reads and writes them; must not know what they do.
#![forbid(unsafe_code)]

pub mod file;
mod texts;

use super::personality::Personality;
use super::{because, forwarding, plain, refuse, say, start};
use crate::carp::config::Dataplane;
use crate::control::{Refusal, Reply, Request, Setting, Sysctls};
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use texts::Texts;

/// Under this name errors are printed.
const NAME: &str = "sysctl";

/// What `carp sysctl` takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Print values without their names
    #[arg(short)]
    numeric: bool,
    /// Say nothing about what was set
    #[arg(short)]
    quiet: bool,
    /// All names, as without any; also -A
    #[arg(short, short_alias = 'A')]
    all: bool,
    /// Print name=value, whoever's manners
    #[arg(short)]
    equals: bool,
    /// Print names without values
    #[arg(short = 'N', conflicts_with_all = ["numeric", "equals"])]
    names_only: bool,
    /// Say nothing about unknown names, and do nothing for them
    #[arg(short)]
    ignore: bool,
    /// Needed by older systems to set a value
    #[arg(short)]
    write: bool,
    /// With the manners of openbsd, freebsd9, freebsd or netbsd
    #[arg(long = "as", value_name = "personality")]
    personality: Option<String>,
    /// name, or name=value; net.inet.carp lists the system's, -a all
    names: Vec<String>,
}

/// A name of the tree.
#[derive(Debug)]
struct Variable {
    /// After `net.inet.carp.`.
    leaf: &'static str,
    /// What it takes.
    values: Values,
    /// What it reads: the number, or the place among the words.
    get: fn(&Sysctls) -> i64,
    /// The change to a value within its range.
    set: fn(i32) -> Setting,
}

/// What a variable takes.
#[derive(Debug, Clone)]
enum Values {
    /// These.
    Numbers(RangeInclusive<i32>),
    /// One of the data planes.
    Dataplanes,
    /// Nothing.
    ReadOnly,
}

impl Values {
    /// It is only read.
    const fn are_none(&self) -> bool {
        matches!(self, Self::ReadOnly)
    }
}

/// In OpenBSD's order, then ours, then FreeBSD's.
static VARIABLES: [Variable; 12] = [
    Variable {
        leaf: "allow",
        values: Values::Numbers(0..=1),
        get: |s| s.settings.allow.into(),
        set: |v| Setting::Allow(v == 1),
    },
    Variable {
        leaf: "preempt",
        values: Values::Numbers(0..=1),
        get: |s| s.settings.preempt.into(),
        set: |v| Setting::Preempt(v == 1),
    },
    Variable {
        leaf: "log",
        values: Values::Numbers(0..=7),
        get: |s| s.settings.log.into(),
        set: |v| Setting::Log(small(v)),
    },
    Variable {
        leaf: "replay",
        values: Values::Numbers(0..=1),
        get: |s| s.settings.replay.into(),
        set: |v| Setting::Replay(v == 1),
    },
    Variable {
        leaf: "dataplane",
        values: Values::Dataplanes,
        get: |s| s.settings.dataplane as i64,
        set: |v| Setting::Dataplane(Dataplane::ALL[usize::from(small::<u8>(v))]),
    },
    Variable {
        leaf: "grace",
        values: Values::Numbers(0..=3600),
        get: |s| s.settings.grace.into(),
        set: |v| Setting::Grace(small(v)),
    },
    Variable {
        leaf: "demotion",
        values: Values::Numbers(i32::MIN..=i32::MAX),
        get: |s| s.demotion.into(),
        set: Setting::Demotion,
    },
    Variable {
        leaf: "senderr_demotion_factor",
        values: Values::Numbers(0..=i32::MAX),
        get: |s| s.settings.senderr_demotion_factor.into(),
        set: Setting::SenderrDemotionFactor,
    },
    Variable {
        leaf: "ifdown_demotion_factor",
        values: Values::Numbers(0..=i32::MAX),
        get: |s| s.settings.ifdown_demotion_factor.into(),
        set: Setting::IfdownDemotionFactor,
    },
    Variable {
        leaf: "dscp",
        values: Values::Numbers(0..=63),
        get: |s| s.settings.dscp.into(),
        set: |v| Setting::Dscp(small(v)),
    },
    Variable {
        leaf: "arpbalance",
        values: Values::Numbers(0..=1),
        get: |s| s.settings.arpbalance.into(),
        set: |v| Setting::Arpbalance(v == 1),
    },
    Variable {
        leaf: "suppress_preempt",
        values: Values::ReadOnly,
        get: |s| s.suppress_preempt.into(),
        set: |_| Setting::Arpbalance(false),
    },
];
const TREE: [&str; 3] = ["net", "inet", "carp"];
const LEVELS: [&str; 5] = ["top", "second", "third", "fourth", "fifth"];

/// A value that was found within its range.
fn small<T: TryFrom<i32> + Default>(value: i32) -> T {
    T::try_from(value).unwrap_or_default()
}

impl Variable {
    fn name(&self) -> String {
        format!("{}.{}", TREE.join("."), self.leaf)
    }

    /// A value as it is printed.
    fn text(&self, value: i64) -> String {
        match self.values {
            Values::Numbers(_) | Values::ReadOnly => value.to_string(),
            Values::Dataplanes => {
                let plane = usize::try_from(value)
                    .ok()
                    .and_then(|at| Dataplane::ALL.get(at));
                plane.copied().unwrap_or_default().to_string()
            }
        }
    }

    /// A value as it was typed after `name`.
    fn read(&self, name: &str, typed: &str) -> Result<i32, Refusal> {
        let invalid = || plain(format!("{name}: value is invalid: {typed}"));
        let range = |takes: String| {
            because(
                format!("{name}: Invalid argument"),
                format!("{name} takes {takes}"),
            )
        };
        match &self.values {
            Values::Numbers(numbers) => {
                let number: i64 = typed.trim().parse().map_err(|_| invalid())?;
                let number = i32::try_from(number).ok();
                let number = number.filter(|number| numbers.contains(number));
                number.ok_or_else(|| range(format!("{} to {}", numbers.start(), numbers.end())))
            }
            Values::Dataplanes => {
                let words = Dataplane::ALL.map(Dataplane::word);
                let place = words.iter().position(|word| *word == typed.trim());
                let place = place.and_then(|place| i32::try_from(place).ok());
                place.ok_or_else(|| range(words.join(", ")))
            }
            Values::ReadOnly => Err(plain(format!("{name}: Operation not permitted"))),
        }
    }
}

/// One word of the line.
enum Item {
    Read(Vec<&'static Variable>),
    Set(&'static Variable, i32),
}

/// Runs `sysctl`.
#[must_use]
pub fn run(args: &Args, called: Option<Personality>) -> ExitCode {
    let done = Personality::chosen(args.personality.as_deref(), called).and_then(|personality| {
        let texts = texts::of(personality);
        answer(args, texts, &items(args, texts)?)
    });
    match done {
        Ok(text) => say(&text),
        Err(refusal) => refuse(NAME, &refusal),
    }
}

/// All words are read before anything is asked: one wrong word changes nothing.
fn items(args: &Args, texts: &Texts) -> Result<Vec<Item>, Refusal> {
    let mut items = Vec::new();
    if args.all || args.names.is_empty() {
        if args.write {
            return Err(plain("-w needs name=value"));
        }
        let own = listed(texts);
        let others = VARIABLES.iter().filter(|v| !texts.listed.contains(&v.leaf));
        items.push(Item::Read(own.into_iter().chain(others).collect()));
    }
    for word in &args.names {
        let name = word.split('=').next().unwrap_or_default();
        if !args.ignore || find(name, texts).is_ok() {
            items.push(item(word, texts)?);
        }
    }
    Ok(items)
}

fn item(word: &str, texts: &Texts) -> Result<Item, Refusal> {
    let Some((name, value)) = word.split_once('=') else {
        return Ok(Item::Read(find(word, texts)?));
    };
    let found = find(name, texts)?;
    let [variable] = found.as_slice() else {
        return Err(because(
            format!("{name}: Is a directory"),
            format!("set one of those below {name}"),
        ));
    };
    let number = variable.read(name, value)?;
    Ok(Item::Set(variable, number))
}

/// What the system lists, in its order.
fn listed(texts: &Texts) -> Vec<&'static Variable> {
    let named = |leaf: &&str| VARIABLES.iter().find(|v| v.leaf == *leaf);
    texts.listed.iter().filter_map(named).collect()
}

/// The variables that a name or the beginning of one means.
fn find(name: &str, texts: &Texts) -> Result<Vec<&'static Variable>, Refusal> {
    let parts: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    let wrong = |level: usize| {
        let text = (texts.unknown)(LEVELS[level.min(4)], parts[level], name);
        Refusal {
            text,
            why: Some(suggestion(name)),
        }
    };
    for (level, part) in parts.iter().enumerate().take(TREE.len()) {
        if *part != TREE[level] {
            return Err(wrong(level));
        }
    }
    match parts.get(TREE.len()) {
        None => Ok(listed(texts)),
        Some(leaf) => {
            let found = VARIABLES
                .iter()
                .find(|v| v.leaf == *leaf)
                .ok_or_else(|| wrong(3))?;
            if parts.len() > 4 {
                Err(wrong(4))
            } else {
                Ok(vec![found])
            }
        }
    }
}

/// What was probably meant.
fn suggestion(name: &str) -> String {
    let names = VARIABLES.iter().map(Variable::name);
    // The nearest full name, or the nearest leaf when only that was typed.
    let distance = |full: &str| {
        let leaf = full.rsplit('.').next().unwrap_or(full);
        edits(name, full).min(edits(name, leaf))
    };
    match names.min_by_key(|full| distance(full)) {
        Some(full) if distance(&full) <= 3 => format!("did you mean {full}?"),
        _ => {
            let leaves: Vec<_> = VARIABLES.iter().map(|v| v.leaf).collect();
            format!("only net.inet.carp is here: {}", leaves.join(", "))
        }
    }
}

/// How many letters must be inserted, removed or replaced.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Asks the daemon, and prints in the order typed what was and what is.
fn answer(args: &Args, texts: &Texts, items: &[Item]) -> Result<String, Refusal> {
    let changes: Vec<Setting> = items.iter().filter_map(change).collect();
    let mut settings = if changes.is_empty() {
        read()?
    } else {
        let settings = set(changes.clone())?;
        forwarding::warn_of_settings(NAME, &changes);
        settings
    };
    let mut text = String::new();
    for item in items {
        match item {
            Item::Read(variables) => variables
                .iter()
                .for_each(|v| line(&mut text, args, texts, v, (v.get)(&settings))),
            Item::Set(variable, new) => {
                let old = (variable.get)(&settings);
                apply(&mut settings, (variable.set)(*new));
                let new = (variable.get)(&settings);
                if !args.quiet {
                    let told = if args.numeric {
                        variable.text(new)
                    } else {
                        let (old, new) = (variable.text(old), variable.text(new));
                        format!("{}: {old} -> {new}", variable.name())
                    };
                    // Writing into a String does not fail.
                    let _ = writeln!(text, "{told}");
                }
            }
        }
    }
    Ok(text)
}

fn change(item: &Item) -> Option<Setting> {
    match item {
        Item::Read(_) => None,
        Item::Set(variable, value) => Some((variable.set)(*value)),
    }
}

fn line(text: &mut String, args: &Args, texts: &Texts, variable: &Variable, value: i64) {
    let value = variable.text(value);
    let equals = if args.equals { "=" } else { texts.equals };
    // Writing into a String does not fail.
    let _ = if args.numeric {
        writeln!(text, "{value}")
    } else if args.names_only {
        writeln!(text, "{}", variable.name())
    } else {
        writeln!(text, "{}{equals}{value}", variable.name())
    };
}

/// What reads differently after this.
fn apply(sysctls: &mut Sysctls, setting: Setting) {
    if let Setting::Demotion(more) = setting {
        sysctls.demotion = sysctls.demotion.saturating_add(more);
    }
    sysctls.settings.set(setting);
}

/// The settings as they are; without a daemon those that it would start with.
pub(super) fn read() -> Result<Sysctls, Refusal> {
    let reply = start::look(&Request::Settings)?;
    reply.map_or_else(|| Ok(Sysctls::default()), settings)
}

/// The settings as they were before.
fn set(changes: Vec<Setting>) -> Result<Sysctls, Refusal> {
    settings(start::ask(&Request::Set(changes))?)
}

fn settings(reply: Reply) -> Result<Sysctls, Refusal> {
    match reply {
        Reply::Settings(sysctls) => Ok(sysctls),
        Reply::Refused(refusal) => Err(refusal),
        _ => Err(plain("the carp daemon answered something else")),
    }
}

#[cfg(test)]
mod tests;
