//! Names, values and what is said of wrong ones.

use super::*;

fn refusal(word: &str) -> (String, Option<String>) {
    match item(word, texts::of(Personality::Openbsd)) {
        Err(Refusal { text, why }) => (text, why),
        Ok(_) => panic!("{word} was taken"),
    }
}

#[test]
fn names_are_whole_or_a_beginning() {
    let count = |name| find(name, texts::of(Personality::Openbsd)).map(|found| found.len());
    for name in ["net", "net.inet", "net.inet.carp", "net.inet.carp."] {
        assert_eq!(count(name), Ok(3), "{name}");
    }
    assert_eq!(count("net.inet.carp.log"), Ok(1));
}

#[test]
fn wrong_names_are_told_by_level_with_a_suggestion() {
    let meant = |name: &str| Some(format!("did you mean net.inet.carp.{name}?"));
    let text = |level, part, name| format!("{level} level name {part} in {name} is invalid");
    let only = "only net.inet.carp is here: allow, preempt, log, replay, dataplane, grace, demotion, \
        senderr_demotion_factor, ifdown_demotion_factor, dscp, arpbalance, suppress_preempt";
    let only = Some(only.to_owned());
    for (name, level, part, why) in [
        ("net.inet.card.allow", "third", "card", meant("allow")),
        (
            "net.inet.carp.premept",
            "fourth",
            "premept",
            meant("preempt"),
        ),
        ("net.inet.carp.log.x", "fifth", "x", meant("log")),
        ("preempt", "top", "preempt", meant("preempt")),
        ("kern.hostname", "top", "kern", only),
    ] {
        assert_eq!(refusal(name), (text(level, part, name), why), "{name}");
    }
}

#[test]
fn values_have_their_range() {
    for (word, text) in [
        ("net.inet.carp.log=8", "net.inet.carp.log: Invalid argument"),
        (
            "net.inet.carp.allow=2",
            "net.inet.carp.allow: Invalid argument",
        ),
        (
            "net.inet.carp.allow=-1",
            "net.inet.carp.allow: Invalid argument",
        ),
        (
            "net.inet.carp.preempt=yes",
            "net.inet.carp.preempt: value is invalid: yes",
        ),
        (
            "net.inet.carp.preempt=",
            "net.inet.carp.preempt: value is invalid: ",
        ),
        ("net.inet.carp=1", "net.inet.carp: Is a directory"),
        (
            "net.inet.carp.dscp=64",
            "net.inet.carp.dscp: Invalid argument",
        ),
        (
            "net.inet.carp.grace=3601",
            "net.inet.carp.grace: Invalid argument",
        ),
        (
            "net.inet.carp.suppress_preempt=0",
            "net.inet.carp.suppress_preempt: Operation not permitted",
        ),
        (
            "net.inet.carp.dataplane=bpf",
            "net.inet.carp.dataplane: Invalid argument",
        ),
    ] {
        assert_eq!(refusal(word).0, text, "{word}");
    }
    assert!(matches!(
        item("net.inet.carp.log=7", texts::of(Personality::Openbsd)),
        Ok(Item::Set(_, 7))
    ));
    assert!(matches!(
        item(
            "net.inet.carp.demotion=-240",
            texts::of(Personality::Openbsd)
        ),
        Ok(Item::Set(_, -240))
    ));
}

#[test]
fn the_data_plane_is_a_word() {
    for (place, word) in ["auto", "tcx", "clsact", "copy"].into_iter().enumerate() {
        let typed = format!("net.inet.carp.dataplane={word}");
        let Ok(Item::Set(variable, value)) = item(&typed, texts::of(Personality::Openbsd)) else {
            panic!("{word} was not taken");
        };
        assert_eq!(usize::try_from(value), Ok(place));
        assert_eq!(variable.text(value.into()), word);
        let mut settings = Sysctls::default();
        apply(&mut settings, (variable.set)(value));
        assert_eq!((variable.get)(&settings), i64::from(value));
    }
}

#[test]
fn each_system_lists_and_complains_in_its_way() {
    let told = |personality: Personality, name: &str| {
        let found = find(name, texts::of(personality));
        found.map_err(|refusal| (refusal.text, refusal.why))
    };
    let why = || Some("did you mean net.inet.carp.allow?".to_owned());
    for (personality, text) in [
        (Personality::Freebsd9, "unknown oid 'net.inet.card.allow'"),
        (Personality::Freebsd, "unknown oid 'net.inet.card.allow'"),
        (
            Personality::Netbsd,
            "third level name 'card' in 'net.inet.card.allow' is invalid",
        ),
    ] {
        let refusal = told(personality, "net.inet.card.allow");
        assert_eq!(refusal.map(drop), Err((text.to_owned(), why())));
    }
}

#[test]
fn distances_count_letters() {
    assert_eq!(
        [
            edits("carp", "card"),
            edits("", "abc"),
            edits("abc", "abc"),
            edits("ab", "ba")
        ],
        [1, 3, 0, 2]
    );
}
