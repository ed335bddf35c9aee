//! The table against itself.

use super::*;
use std::collections::HashSet;

#[test]
fn no_word_stands_twice() {
    let mut seen = HashSet::new();
    for word in WORDS {
        assert!(seen.insert(word.name), "{}", word.name);
        assert!(
            word.negation.is_none_or(|negation| seen.insert(negation)),
            "{}",
            word.name
        );
    }
}

#[test]
fn every_line_of_help_fits_a_terminal() {
    for line in help().lines() {
        assert!(
            line.chars().count() <= 100 && !line.ends_with(' '),
            "{line}"
        );
    }
}

/// What a line does with a negation is done for these only.
#[test]
fn who_has_a_negation_knows_it() {
    for word in WORDS.iter().filter(|word| word.negation.is_some()) {
        let knows = matches!(word.sense, Sense::Switch(_) | Sense::Alias | Sense::Later);
        assert!(knows, "{}", word.name);
    }
}

#[test]
fn negations_are_found_under_their_word() {
    assert!(find("-alias").is_some_and(|(word, negated)| word.name == "alias" && negated));
    assert!(find("alias").is_some_and(|(_, negated)| !negated));
    assert!(find("192.0.2.1").is_none());
}
