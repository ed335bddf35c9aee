//! Small rules of the house, held against every file of the tree.
#![allow(clippy::unwrap_used)]

mod house;

use carp::carp::config::Config;
use carp::cli::ifconfig::words::{self, Sense, WORDS};
use carp::cli::sysctl;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What may stand at the top of the tree.
const TOP: &[&str] = &[
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "deny.toml",
    "dist",
    "man",
    "src",
    "tests",
];

/// 400 is the rule for sources; what formatting adds is let pass, and tables of cases may be longer.
const LONGEST: [(&str, usize); 2] = [("src", 450), ("tests", 600)];

/// The one module tree with `unsafe` in it.
const UNSAFE: &str = "src/linux";

#[test]
fn every_module_says_first_what_it_is_for() {
    expect_none(
        house::rust_files("src")
            .iter()
            .filter(|(_, text)| !text.starts_with("//! "))
            .map(|(path, _)| at(path, "")),
    );
}

#[test]
fn every_file_stays_readable_in_one_sitting() {
    expect_none(LONGEST.into_iter().flat_map(|(top, most)| {
        let lines = |text: &str| text.lines().count();
        let files = house::rust_files(top).into_iter();
        files
            .filter(move |(_, text)| lines(text) > most)
            .map(move |(path, text)| at(&path, &format!("{} lines", lines(&text))))
    }));
}

#[test]
fn unsafe_code_lives_in_one_place() {
    let mut wrong = Vec::new();
    for (path, text) in house::rust_files("src") {
        if path.starts_with(UNSAFE) {
            continue;
        }
        wrong.extend(lines_with(&path, &house::code(&text), &["unsafe"]));
        let parts = path.components().count();
        let heads_a_tree = parts == 2 || (parts == 3 && path.ends_with("mod.rs"));
        if heads_a_tree
            && path != Path::new("src/lib.rs")
            && !text.contains("#![forbid(unsafe_code)]")
        {
            wrong.push(at(&path, "lacks #![forbid(unsafe_code)]"));
        }
    }
    expect_none(wrong);
}

#[test]
fn nothing_outside_tests_may_panic_without_a_proof() {
    let panics = [
        ".unwrap()",
        ".unwrap_err()",
        "panic!",
        "todo!",
        "unimplemented!",
        "dbg!",
    ];
    let files = house::rust_files("src")
        .into_iter()
        .filter(|(path, _)| !is_test(path));
    expect_none(
        files.flat_map(|(path, text)| {
            lines_with(&path, &outside_tests(&house::code(&text)), &panics)
        }),
    );
}

#[test]
fn nothing_is_left_for_later_and_nothing_names_the_workshop() {
    // In pieces, so that this file does not find itself.
    let banned = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("..", "/shared"),
        concat!("/wo", "rk/"),
    ];
    expect_none(
        texts()
            .into_iter()
            .flat_map(|(path, text)| lines_with(&path, &text, &banned)),
    );
}

#[test]
fn text_files_end_with_a_newline_and_no_line_with_a_blank() {
    // Others wrote these.
    let foreign = ["Cargo.lock", "LICENSE-APACHE", "tests/fixtures"];
    let files = texts()
        .into_iter()
        .filter(|(path, _)| !foreign.iter().any(|name| path.starts_with(name)));
    expect_none(files.flat_map(|(path, text)| {
        let end =
            (!text.is_empty() && !text.ends_with('\n')).then(|| at(&path, "no newline at the end"));
        let blanks = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.ends_with([' ', '\t']));
        let blanks: Vec<_> = blanks
            .map(|(n, _)| at(&path, &format!("line {} ends with a blank", n + 1)))
            .collect();
        end.into_iter().chain(blanks)
    }));
}

#[test]
fn the_top_of_the_tree_holds_only_what_was_agreed() {
    let tops: BTreeSet<_> = files()
        .iter()
        .map(|path| path.iter().next().unwrap().to_owned())
        .collect();
    expect_none(
        tops.into_iter()
            .filter(|name| !TOP.iter().any(|known| name == known))
            .map(|name| format!("{name:?}")),
    );
}

#[test]
fn the_manual_has_every_word_of_ifconfig_and_no_other() {
    let manual = fs::read_to_string(house::root().join(WORDS_PAGE)).unwrap();
    let section = words_section(&manual);
    let tags = section.lines().filter(|line| line.starts_with(".It "));
    let named: BTreeSet<_> = manual.lines().flat_map(commands).collect();
    let explained: BTreeSet<_> = tags.flat_map(commands).collect();

    let mut wrong = Vec::new();
    for word in WORDS {
        let place = match word.sense {
            Sense::Later => &named,
            _ => &explained,
        };
        if !place.contains(word.name) {
            wrong.push(format!("{WORDS_PAGE} lacks {}", word.name));
        }
        let negation = word.negation.filter(|negation| !named.contains(*negation));
        wrong.extend(negation.map(|negation| format!("{WORDS_PAGE} lacks {negation}")));
    }
    let known = |typed: &str| {
        let word = words::find(typed);
        word.is_some_and(|(word, _)| !matches!(word.sense, Sense::Later))
    };
    let invented = explained.iter().filter(|typed| !known(typed));
    wrong.extend(invented.map(|typed| format!("{WORDS_PAGE} explains {typed}")));
    expect_none(wrong);
}

/// The page with the words of ifconfig.
const WORDS_PAGE: &str = "man/carp-ifconfig.8";

/// The list of the words.
fn words_section(manual: &str) -> &str {
    let section = manual.split(".Ss Words\n").nth(1).unwrap();
    section.split("\n.Ss ").next().unwrap()
}

#[test]
fn ranges_and_defaults_are_those_of_the_table() {
    let manual = fs::read_to_string(house::root().join(WORDS_PAGE)).unwrap();
    let fresh = Config::default();
    let defaults = [("advbase", fresh.advbase), ("advskew", fresh.advskew)];
    let mut wrong = Vec::new();
    for word in WORDS {
        let Sense::Number { least, most, .. } = word.sense else {
            continue;
        };
        let range = format!("{least} to {most}");
        let item = format!(".It Cm {} Ar n\n", word.name);
        let item = words_section(&manual)
            .split(&item)
            .nth(1)
            .unwrap_or_default();
        let item = item.split("\n.It ").next().unwrap();
        for (place, text) in [("the help", word.help), (WORDS_PAGE, item)] {
            if !text.contains(&range) {
                wrong.push(format!("{place} lacks {} {range}", word.name));
            }
        }
        for (_, default) in defaults.iter().filter(|(name, _)| *name == word.name) {
            if !item.contains(&format!("The default is {default}.")) {
                wrong.push(format!("{WORDS_PAGE} lacks the default of {}", word.name));
            }
        }
    }
    let page = "man/carp-sysctl.8";
    let manual = fs::read_to_string(house::root().join(page)).unwrap();
    let explained: BTreeSet<_> = manual
        .lines()
        .filter_map(|line| line.strip_prefix(".It Li "))
        .map(str::to_owned)
        .collect();
    let known: BTreeSet<_> = sysctl::file::names().into_iter().collect();
    let unlike = explained.symmetric_difference(&known);
    wrong.extend(unlike.map(|name| format!("{page} and the program do not agree about {name}")));
    expect_none(wrong);
}

/// What stands in the first column of a part of the program's help.
fn helped(arguments: &[&str], part: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_carp"))
        .args(arguments)
        .arg("--help")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let part = text.split(part).nth(1).unwrap_or_default();
    let lines = part.split("\n\n").next().unwrap().lines();
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    lines.filter_map(first).collect()
}

#[test]
fn front_ends_and_their_options_are_in_the_pages() {
    let page = |name: &str| fs::read_to_string(house::root().join("man").join(name)).unwrap();
    let mut wrong = Vec::new();
    for front in helped(&[], "Commands:\n") {
        let own = match front.as_str() {
            "help" => continue,
            // Its words have tests of their own.
            "ifconfig" => None,
            "netstart" | "dump" | "import" => Some(page("carp-netstart.8")),
            "daemon" => Some(page("carpd.8")),
            "demo" => Some(page("carp.4")),
            name => Some(page(&format!("carp-{name}.8"))),
        };
        if !page("carp.4").contains(&format!(".It Cm {front}")) {
            wrong.push(format!("man/carp.4 lacks {front}"));
        }
        let Some(own) = own else { continue };
        let shown: Vec<_> = own
            .split(".Nm carp Cm ")
            .skip(1)
            .filter(|lines| lines.starts_with(front.as_str()))
            .map(|lines| {
                lines
                    .split("\n.Nm")
                    .next()
                    .unwrap()
                    .split("\n.Sh")
                    .next()
                    .unwrap()
            })
            .collect();
        // "Options:" of clap are `-x`, `-x, --long` and `--long`; the page has `Fl xyz` and `Fl Fl long`.
        for option in helped(&[&front], "Options:\n") {
            let option = option.trim_end_matches([',', '.']);
            if option == "-h" {
                continue;
            }
            let there = |lines: &str| match option.strip_prefix("--") {
                Some(long) => lines.contains(&format!("Fl Fl {long}")),
                None => lines.split("Fl ").skip(1).any(|letters| {
                    let letters = letters.split(['\n', ' ']);
                    let mut letters = letters.take_while(|word| !["Ar", "Cm"].contains(word));
                    letters.any(|letters| letters.contains(&option[1..]))
                }),
            };
            let place: &[&str] = if front == "demo" { &[&own] } else { &shown };
            if !place.iter().any(|lines| there(lines)) {
                wrong.push(format!("the page of {front} lacks {option}"));
            }
        }
    }
    expect_none(wrong);
}

/// The words that a line of mdoc sets as commands (`Cm`) or as flags (`Fl`, with their minus).
fn commands(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut minus = None;
    for token in line.trim_start_matches('.').split(' ') {
        match (token, minus) {
            ("Cm", _) => minus = Some(""),
            ("Fl", _) => minus = Some("-"),
            (macro_name, _) if macro_name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                minus = None
            }
            (word, Some(sign)) if word.len() > 1 => out.push(format!("{sign}{word}")),
            _ => {}
        }
    }
    if line.starts_with('.') {
        out
    } else {
        Vec::new()
    }
}

/// Fails with the list, if there is anything in it.
fn expect_none(wrong: impl IntoIterator<Item = String>) {
    let wrong: Vec<_> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn at(path: &Path, what: &str) -> String {
    format!("{}: {what}", path.display())
}

/// `path:line: what` for each line that holds one of the words, not counting longer words around them.
fn lines_with(path: &Path, text: &str, words: &[&str]) -> Vec<String> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let holds = |line: &str, word: &str| {
        line.match_indices(word).any(|(start, _)| {
            let before = word.starts_with(part_of_word) && line[..start].ends_with(part_of_word);
            let after = word.ends_with(part_of_word)
                && line[start + word.len()..].starts_with(part_of_word);
            !before && !after
        })
    };
    let mut out = Vec::new();
    for (n, line) in text.lines().enumerate() {
        out.extend(
            words
                .iter()
                .filter(|word| holds(line, word))
                .map(|word| format!("{}:{}: {word}", path.display(), n + 1)),
        );
    }
    out
}

/// A file of a module that exists for `cfg(test)` only.
fn is_test(path: &Path) -> bool {
    path.to_string_lossy().ends_with("tests.rs")
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// Every file that belongs to the tree: what git knows, or, without git, all but the build directory.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .arg("-C")
        .arg(house::root())
        .args(["ls-files", "-z"])
        .output();
    let names = listed
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let known: Vec<PathBuf> = names.split_terminator('\0').map(PathBuf::from).collect();
    if !known.is_empty() {
        return known
            .into_iter()
            .filter(|path| house::root().join(path).is_file())
            .collect();
    }
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(house::root().join(&next)).unwrap() {
            let entry = entry.unwrap();
            let path = next.join(entry.file_name());
            if !entry.file_type().unwrap().is_dir() {
                found.push(path);
            } else if path != Path::new("target") && path != Path::new(".git") {
                open.push(path);
            }
        }
    }
    found
}

/// The files that are text.
fn texts() -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| {
        fs::read_to_string(house::root().join(&path))
            .ok()
            .map(|text| (path, text))
    };
    files()
        .into_iter()
        .filter_map(read)
        .filter(|(_, text)| !text.contains('\0'))
        .collect()
}

/// The code without `#[cfg(test)]` items; the argument comes from [`code`].
pub fn outside_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let end = match (item.find('{'), item.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|s| brace < s) => {
                brace + braces(&item[brace..])
            }
            (_, Some(semicolon)) => semicolon + 1,
            _ => item.len(),
        };
        out.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    out.push_str(rest);
    out
}

/// Length of a balanced `{...}` at the start.
fn braces(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod the_checker {
    use super::*;

    #[test]
    fn finds_whole_words_only() {
        let path = Path::new("x");
        assert_eq!(
            lines_with(path, "a\nunsafe { }\n", &["unsafe"]),
            ["x:2: unsafe"]
        );
        assert!(lines_with(path, "#![forbid(unsafe_code)]", &["unsafe"]).is_empty());
        assert_eq!(lines_with(path, "a.unwrap().b", &[".unwrap()"]).len(), 1);
    }

    #[test]
    fn leaves_test_modules_out() {
        let code = "a.unwrap();\n#[cfg(test)]\nmod tests { fn f() { b.unwrap(); } }\nc.unwrap();\n#[cfg(test)]\nmod more;\n";
        let left = outside_tests(code);
        assert!(
            left.contains("a.unwrap()")
                && left.contains("c.unwrap()")
                && !left.contains("b.unwrap()"),
            "{left}"
        );
        assert_eq!(left.lines().count(), code.lines().count());
    }

    #[test]
    fn sees_the_whole_tree() {
        let names = files();
        for name in ["Cargo.toml", "src/lib.rs", "tests/tidy.rs"] {
            assert!(names.contains(&PathBuf::from(name)), "{name}");
        }
    }
}
