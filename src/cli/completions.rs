//! Completions for bash, zsh and fish, written from the tables that the front ends read; must not know what words do.
#![forbid(unsafe_code)]

use super::ifconfig::argument::GROUP_WORDS;
use super::ifconfig::words::{Sense, WORDS};
use super::{personality, say, sysctl};
use crate::carp::config::{Dataplane, InputMode, State};
use clap::{Command, ValueEnum};
use std::fmt::Write;
use std::process::ExitCode;

/// A shell.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Prints the completions of `carp` for a shell.
#[must_use]
pub fn run(shell: Shell, carp: &Command) -> ExitCode {
    let tables = Tables::new(carp);
    say(&match shell {
        Shell::Bash => bash(&tables),
        Shell::Zsh => zsh(&tables),
        Shell::Fish => fish(&tables),
    })
}

/// A word and its line of help.
type Entry = (String, String);

/// All that is completed.
struct Tables {
    /// The front ends.
    fronts: Vec<Entry>,
    /// The options of each front end.
    options: Vec<(String, Vec<Entry>)>,
    /// The words after an interface's name.
    words: Vec<Entry>,
    /// The words and options that take one of a few values.
    choices: Vec<(String, String)>,
    /// The words that take an argument which is not completed.
    values: Vec<String>,
    /// The names of sysctl.
    variables: Vec<String>,
}

impl Tables {
    fn new(carp: &Command) -> Self {
        let shown = || carp.get_subcommands().filter(|front| !front.is_hide_set());
        let fronts = shown().map(|front| {
            let about = front.get_about().map(ToString::to_string);
            (front.get_name().to_owned(), about.unwrap_or_default())
        });
        let options = shown().map(|front| (front.get_name().to_owned(), options(front)));
        let names: Vec<_> = personality::NAMES.iter().map(|(name, _)| *name).collect();
        let planes = Dataplane::ALL.map(Dataplane::word);
        let of_options = [
            (personality::OPTION, names.join(" ")),
            ("--dataplane", planes.join(" ")),
        ];
        let of_words = WORDS
            .iter()
            .filter_map(|word| Some((word.name, chosen(word.sense)?)));
        let choices = of_options.into_iter().chain(of_words);
        let known = || {
            WORDS
                .iter()
                .filter(|word| !matches!(word.sense, Sense::Later))
        };
        let words = known().flat_map(|word| {
            let negated = word
                .negation
                .map(|name| (name.to_owned(), format!("undo {}", word.name)));
            std::iter::once((word.name.to_owned(), word.help.to_owned())).chain(negated)
        });
        let values = known()
            .filter(|word| !word.argument.is_empty())
            .filter(|word| !matches!(word.sense, Sense::Carpdev | Sense::Passfile))
            .filter(|word| chosen(word.sense).is_none());
        Self {
            fronts: fronts.collect(),
            options: options.collect(),
            words: words.collect(),
            choices: choices
                .map(|(name, values)| (name.to_owned(), values))
                .collect(),
            values: values.map(|word| word.name.to_owned()).collect(),
            variables: sysctl::file::names(),
        }
    }
}

/// What may stand behind a word, where that is known.
fn chosen(sense: Sense) -> Option<String> {
    let states = [State::Init, State::Backup, State::Master];
    match sense {
        Sense::State => Some(
            states
                .map(|state| state.to_string().to_lowercase())
                .join(" "),
        ),
        Sense::Input => Some(InputMode::ALL.map(|mode| mode.to_string()).join(" ")),
        _ => None,
    }
}

fn options(front: &Command) -> Vec<Entry> {
    let shown = front.get_arguments().filter(|option| !option.is_hide_set());
    // Its words are read by no clap.
    let ours = || {
        let help = "the words and texts of openbsd, freebsd9, freebsd or netbsd";
        (personality::OPTION.to_owned(), help.to_owned())
    };
    let own = (front.get_name() == "ifconfig").then(ours);
    let entry = |option: &clap::Arg| {
        let name = match (option.get_long(), option.get_short()) {
            (Some(long), _) => format!("--{long}"),
            (None, Some(short)) => format!("-{short}"),
            (None, None) => return None,
        };
        let help = option.get_help().map(ToString::to_string);
        Some((name, help.unwrap_or_default()))
    };
    shown.filter_map(entry).chain(own).collect()
}

fn names(entries: &[Entry]) -> String {
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    names.join(" ")
}

/// Writes lines; writing into a String does not fail.
fn lines(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
    out.push('\n');
}

fn bash(tables: &Tables) -> String {
    let mut out = String::new();
    let (fronts, words) = (names(&tables.fronts), names(&tables.words));
    let (values, variables) = (tables.values.join("|"), tables.variables.join(" "));
    let of_groups = GROUP_WORDS.join(" ");
    out.push_str("# bash completion for carp(8); written by `carp completions bash`\n\n");
    lines(
        &mut out,
        format_args!(
            r#"_carp() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} links list= name=2
    links=$(cd /sys/class/net && echo *)
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W '{fronts}' -- "$current")
        return
    fi
    [ "${{COMP_WORDS[2]}}" != --as ] || name=4
    case $previous in"#
        ),
    );
    for (word, values) in &tables.choices {
        lines(
            &mut out,
            format_args!(
                r#"    {word}) mapfile -t COMPREPLY < <(compgen -W '{values}' -- "$current") ; return ;;"#
            ),
        );
    }
    out.push_str("    esac\n    case ${COMP_WORDS[1]},$current in\n");
    for (front, options) in &tables.options {
        let options = names(options);
        if !options.is_empty() {
            lines(
                &mut out,
                format_args!("    {front},-*) list='{options}' ;;"),
            );
        }
    }
    lines(
        &mut out,
        format_args!(
            r#"    esac
    case ${{COMP_WORDS[1]}} in
    ifconfig)
        if [ "$COMP_CWORD" -eq "$name" ]; then
            list="$list $(compgen -W "$links" -- carp)"
        elif [ "${{COMP_WORDS[name]}}" = -g ]; then
            [ "$COMP_CWORD" -ne $((name + 2)) ] || list='{of_groups}'
        else
            case $previous in
            carpdev) list=$links ;;
            passfile) mapfile -t COMPREPLY < <(compgen -f -- "$current") ; return ;;
            {values}) return ;;
            *) list='{words}' ;;
            esac
        fi ;;
    sysctl) list="$list {variables}" ;;
    netstat) [ "$COMP_CWORD" -ne 2 ] || list="$list peers" ;;
    netstart | dump) list="$list $(compgen -W "$links" -- carp)" ;;
    import | upgrade) [ -n "$list" ] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    esac
    [ -z "$list" ] || mapfile -t COMPREPLY < <(compgen -W "$list" -- "$current")
}}
complete -o bashdefault -F _carp carp"#
        ),
    );
    out
}

/// Within zsh's single quotes.
fn quoted(help: &str) -> String {
    help.replace('\'', "'\\''")
}

/// A list of `name:help` for _describe.
fn described(out: &mut String, name: &str, entries: &[Entry]) {
    lines(out, format_args!("local -a {name}=("));
    for (word, help) in entries {
        lines(out, format_args!("    '{word}:{}'", quoted(help)));
    }
    lines(out, format_args!(")"));
}

fn zsh(tables: &Tables) -> String {
    let mut out = String::from("#compdef carp\n# written by `carp completions zsh`\n\n");
    // zsh keeps the typed words in `words`.
    described(&mut out, "fronts", &tables.fronts);
    described(&mut out, "known", &tables.words);
    out.push_str("local -a links=(/sys/class/net/*(N:t)) options=()\n");
    out.push_str("if (( CURRENT == 2 )); then\n    _describe 'front end' fronts\n    return\nfi\n");
    out.push_str("local name=3\n[[ $words[3] != --as ]] || name=5\n");
    out.push_str("case $words[CURRENT-1] in\n");
    for (word, values) in &tables.choices {
        lines(
            &mut out,
            format_args!("{word}) compadd -- {values} ; return ;;"),
        );
    }
    out.push_str("esac\ncase $words[2] in\n");
    for (front, options) in &tables.options {
        let option = |(name, help): &Entry| format!("'{name}:{}'", quoted(help));
        let list: Vec<_> = options.iter().map(option).collect();
        if !list.is_empty() {
            let list = list.join(" ");
            // Behind an interface's name a minus begins words.
            let when = match front.as_str() {
                "ifconfig" => "(( CURRENT != 3 )) || ",
                _ => "",
            };
            lines(&mut out, format_args!("{front}) {when}options=({list}) ;;"));
        }
    }
    let (values, variables) = (tables.values.join("|"), tables.variables.join(" "));
    let of_groups = GROUP_WORDS.join(" ");
    lines(
        &mut out,
        format_args!(
            r#"esac
if [[ $PREFIX == -* ]] && (( $#options )); then
    _describe option options
    return
fi
case $words[2] in
ifconfig)
    if (( CURRENT == name )); then
        compadd -- ${{(M)links:#carp<->}}
        return
    fi
    if [[ $words[name] == -g ]]; then
        (( CURRENT != name + 2 )) || compadd -- {of_groups}
        return
    fi
    case $words[CURRENT-1] in
    carpdev) compadd -- $links ;;
    passfile) _files ;;
    {values}) ;;
    *) _describe word known ;;
    esac ;;
sysctl) compadd -- {variables} ;;
netstat) (( CURRENT != 3 )) || compadd -- peers ;;
netstart|dump) compadd -- ${{(M)links:#carp<->}} ;;
import|upgrade) _files ;;
esac"#
        ),
    );
    out
}

fn fish(tables: &Tables) -> String {
    let mut out =
        String::from("# fish completion for carp(8); written by `carp completions fish`\n\n");
    let quote = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    lines(&mut out, format_args!("complete -c carp -f"));
    for (front, help) in &tables.fronts {
        let help = quote(help);
        lines(
            &mut out,
            format_args!("complete -c carp -n __fish_use_subcommand -a {front} -d '{help}'"),
        );
    }
    let seen = |front: &str| format!("complete -c carp -n '__fish_seen_subcommand_from {front}");
    for (front, options) in &tables.options {
        for (name, help) in options {
            let (kind, help) = match name.strip_prefix("--") {
                Some(long) => (format!("-l {long}"), quote(help)),
                None => (format!("-s {}", &name[1..]), quote(help)),
            };
            let choice = tables.choices.iter().find(|(word, _)| word == name);
            let values = choice.map(|(_, values)| format!(" -x -a '{values}'"));
            let values = values.unwrap_or_default();
            lines(
                &mut out,
                format_args!("{}' {kind}{values} -d '{help}'", seen(front)),
            );
        }
    }
    let links = "(path basename /sys/class/net/*)";
    let carps = "(path basename /sys/class/net/carp*)";
    let choices = || {
        tables
            .choices
            .iter()
            .filter(|(word, _)| !word.starts_with('-'))
    };
    let words: Vec<&str> = choices().map(|(word, _)| word.as_str()).collect();
    let (values, words) = (tables.values.join(" "), words.join(" "));
    let taken = format!("{values} {words} carpdev passfile");
    let of_groups = GROUP_WORDS.join(" ");
    lines(
        &mut out,
        format_args!(
            r#"# What stands behind ifconfig, without the choice of a personality.
function __carp_typed
    set -l typed (commandline -opc)
    test "$typed[2]" = ifconfig; or return 1
    set -l from 3
    test "$typed[3]" = --as; and set from 5
    test (count $typed) -ge $from; and string join \n -- $typed[$from..]
    return 0
end
# Where the interface's name stands.
function __carp_name
    set -l typed (__carp_typed); and test (count $typed) -eq 0
end
# Behind an interface's name, after one of these words.
function __carp_after
    set -l typed (__carp_typed); and test (count $typed) -gt 0; and contains -- "$typed[-1]" $argv
end
# Behind an interface's name, where a word may stand.
function __carp_word
    set -l typed (__carp_typed); and test (count $typed) -gt 0; and test "$typed[1]" != -g; and not __carp_after {taken}
end
# Behind the name of an interface group.
function __carp_group
    set -l typed (__carp_typed); and test (count $typed) -eq 2; and test "$typed[1]" = -g
end
complete -c carp -n __carp_group -a '{of_groups}'
complete -c carp -n __carp_name -a '{carps}'"#
        ),
    );
    let of_choices = choices().map(|(word, values)| (word.as_str(), format!("-a '{values}'")));
    for (word, kind) in [
        ("carpdev", format!("-a '{links}'")),
        ("passfile", "-F".to_owned()),
    ]
    .into_iter()
    .chain(of_choices)
    {
        lines(
            &mut out,
            format_args!("complete -c carp -n '__carp_after {word}' {kind}"),
        );
    }
    for (word, help) in &tables.words {
        let help = quote(help);
        lines(
            &mut out,
            format_args!("complete -c carp -n __carp_word -a '{word}' -d '{help}'"),
        );
    }
    let variables = tables.variables.join(" ");
    lines(
        &mut out,
        format_args!("{}' -a '{variables}'", seen("sysctl")),
    );
    lines(
        &mut out,
        format_args!("{}' -a '{carps}'", seen("netstart dump")),
    );
    let first = "complete -c carp -n 'test (commandline -opc)[-1] = netstat' -a peers";
    lines(&mut out, format_args!("{first}"));
    lines(&mut out, format_args!("{}' -F", seen("import upgrade")));
    out
}
