//! Words as a shell quotes them, read and written; nothing is expanded or executed; must not know what the words mean.
//!
//! Blanks part words, a line's end ends them, `#` before a word begins a comment. `'...'` is literal, `"..."` and `\` quote,
//! `$'...'` has the escapes of POSIX 2024, so that every value can be written in one printable line.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What a shell would do with a character, and we do not.
const ACTIVE: &[u8] = b"$`;&|<>()";

/// The longest word, in bytes: a few variables could make any length otherwise.
const WORD_MAX: usize = 64 << 10;

/// Reads lines of words off a text, and counts.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a [u8],
    /// The number of the line at hand, from 1.
    line: usize,
    /// What `$name` stands for; without them it is refused.
    variables: Option<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl<'a> Reader<'a> {
    /// From the first line on.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            line: 1,
            variables: None,
        }
    }

    /// The same where `$name` and `${name}` stand for what was assigned before, or nothing.
    #[must_use]
    pub fn with_variables(text: &'a [u8]) -> Self {
        Self {
            variables: Some(BTreeMap::new()),
            ..Self::new(text)
        }
    }

    /// Assigns a variable.
    pub fn assign(&mut self, name: &[u8], value: &[u8]) {
        if let Some(variables) = &mut self.variables {
            variables.insert(name.to_vec(), value.to_vec());
        }
    }

    /// What is left of the text.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.text
    }

    /// The number of the next line with anything in it, blanks, empty lines and comments skipped; `None` at the end.
    pub fn begin(&mut self) -> Option<usize> {
        loop {
            match self.peek()? {
                b' ' | b'\t' | b'\n' => {
                    self.next();
                }
                b'#' => self.comment(),
                b'\\' if self.text.get(1) == Some(&b'\n') => self.skip(2),
                _ => return Some(self.line),
            }
        }
    }

    /// The next byte of the text.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.text.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.text.split_first()?;
        self.text = rest;
        self.line += usize::from(*first == b'\n');
        Some(*first)
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    /// To the end of the line. A backslash before the newline joins lines here as well, as for the shell's `read`.
    fn comment(&mut self) {
        self.raw();
    }

    /// The rest of the line as the shell's `read` gives it: a backslash is dropped, and what stands behind it stays; before
    /// a newline it joins two lines.
    pub fn raw(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(byte) = self.next() {
            match byte {
                b'\n' => break,
                b'\\' => out.extend(self.next().filter(|byte| *byte != b'\n')),
                byte => out.push(byte),
            }
        }
        out
    }

    /// The words up to the end of the line, which is passed in any case.
    ///
    /// # Errors
    /// The first word that cannot be read, as far as it was, and what is wrong with it.
    pub fn words(&mut self) -> Result<Vec<OsString>, String> {
        let mut words = Vec::new();
        loop {
            match self.peek() {
                None => return Ok(words),
                Some(b'\n') => {
                    self.next();
                    return Ok(words);
                }
                Some(b' ' | b'\t') => self.skip(1),
                Some(b'#') => {
                    self.comment();
                    return Ok(words);
                }
                Some(b'\\') if self.text.get(1) == Some(&b'\n') => self.skip(2),
                Some(_) => {
                    let mut word = Vec::new();
                    if let Err(wrong) = self.word(&mut word) {
                        self.raw();
                        // A passphrase is not repeated.
                        let before = words.last().filter(|word| *word == "pass");
                        let named = before.map_or(word.as_slice(), |word| word.as_bytes());
                        return Err(format!("{}: {wrong}", String::from_utf8_lossy(named)));
                    }
                    words.push(OsString::from_vec(word));
                }
            }
        }
    }

    fn word(&mut self, word: &mut Vec<u8>) -> Result<(), String> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' => return Ok(()),
                b'$' if self.text.get(1) == Some(&b'\'') => {
                    self.skip(2);
                    self.escaped(word)?;
                }
                b'\'' => {
                    self.skip(1);
                    self.literal(word)?;
                }
                b'"' => {
                    self.skip(1);
                    self.quoted(word)?;
                }
                b'\\' => {
                    self.skip(1);
                    match self.next() {
                        Some(b'\n') => {}
                        Some(byte) => word.push(byte),
                        None => return Err("ends with a backslash".into()),
                    }
                }
                0 => return Err("a byte 0".into()),
                b'$' => self.expand(word)?,
                byte if ACTIVE.contains(&byte) => return Err(inert(byte)),
                byte => {
                    self.skip(1);
                    word.push(byte);
                }
            }
        }
        Ok(())
    }

    /// A `$` and what it stands for.
    fn expand(&mut self, word: &mut Vec<u8>) -> Result<(), String> {
        let Some(variables) = &self.variables else {
            return Err(inert(b'$'));
        };
        let behind = &self.text[1..];
        let braced = behind.first() == Some(&b'{');
        let from = usize::from(braced);
        let part = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        let length = behind[from..].iter().take_while(part).count();
        let end = from + length;
        let whole = !braced || behind.get(end) == Some(&b'}');
        let named = behind.get(from).is_some_and(|byte| !byte.is_ascii_digit());
        if length == 0 || !whole || !named {
            return Err(inert(b'$'));
        }
        word.extend(variables.get(&behind[from..end]).into_iter().flatten());
        if word.len() > WORD_MAX {
            return Err("too long".into());
        }
        self.skip(1 + end + usize::from(braced));
        Ok(())
    }

    /// Within `'...'`.
    fn literal(&mut self, word: &mut Vec<u8>) -> Result<(), String> {
        loop {
            match self.within()? {
                b'\'' => return Ok(()),
                byte => word.push(byte),
            }
        }
    }

    /// Within `"..."`.
    fn quoted(&mut self, word: &mut Vec<u8>) -> Result<(), String> {
        loop {
            if self.peek() == Some(b'$') {
                self.expand(word)?;
                continue;
            }
            match self.within()? {
                b'"' => return Ok(()),
                b'\\' => match self.next() {
                    Some(b'\n') => {}
                    Some(byte @ (b'"' | b'\\' | b'$' | b'`')) => word.push(byte),
                    Some(byte) => word.extend([b'\\', byte]),
                    None => return Err(OPEN.into()),
                },
                b'`' => return Err(inert(b'`')),
                byte => word.push(byte),
            }
        }
    }

    /// Within `$'...'`.
    fn escaped(&mut self, word: &mut Vec<u8>) -> Result<(), String> {
        loop {
            match self.within()? {
                b'\'' => return Ok(()),
                b'\\' => match self.within()? {
                    b'n' => word.push(b'\n'),
                    b't' => word.push(b'\t'),
                    b'x' => {
                        let digits = [self.within()?, self.within()?];
                        let hex = digits.iter().all(u8::is_ascii_hexdigit);
                        let text = str::from_utf8(&digits).ok().filter(|_| hex);
                        let byte = text.and_then(|text| u8::from_str_radix(text, 16).ok());
                        match byte {
                            Some(byte) if byte != 0 => word.push(byte),
                            _ => return Err("\\x takes two hexadecimal digits, not 00".into()),
                        }
                    }
                    byte @ (b'\'' | b'"' | b'\\') => word.push(byte),
                    _ => return Err("only \\n, \\t, \\xHH, \\', \\\" and \\\\ are known".into()),
                },
                byte => word.push(byte),
            }
        }
    }

    /// A byte within quotes, which do not reach over the end of a line.
    fn within(&mut self) -> Result<u8, String> {
        match self.peek() {
            None | Some(b'\n') => Err(OPEN.into()),
            Some(0) => Err("a byte 0".into()),
            Some(byte) => {
                self.skip(1);
                Ok(byte)
            }
        }
    }
}

/// A quote without its other half.
const OPEN: &str = "unterminated quote";

fn inert(byte: u8) -> String {
    format!(
        "'{}' means nothing here, put it in single quotes",
        char::from(byte)
    )
}

/// The word as it has to be written; always printable, without a newline.
#[must_use]
pub fn quote(word: &OsStr) -> String {
    let text = word.to_str().filter(|text| {
        let printable = |c: char| !c.is_control() && c != '\u{2028}' && c != '\u{2029}';
        text.chars().all(printable)
    });
    let bare = |c: char| c.is_ascii_alphanumeric() || "_./:%@+,=-".contains(c);
    match text {
        Some(text) if !text.is_empty() && text.chars().all(bare) => text.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', "'\\''")),
        None => {
            let mut out = String::from("$'");
            for byte in word.as_bytes() {
                match byte {
                    b'\'' | b'\\' => out.extend(['\\', char::from(*byte)]),
                    b' '..=b'~' => out.push(char::from(*byte)),
                    byte => out.push_str(&format!("\\x{byte:02x}")),
                }
            }
            out.push('\'');
            out
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(text: &str) -> Result<Vec<OsString>, String> {
        Reader::new(text.as_bytes()).words()
    }

    #[test]
    fn words_are_quoted_as_in_a_shell() {
        for (text, expected) in [
            ("a  b\tc", vec!["a", "b", "c"]),
            ("a 'b c' \"d e\"f g\\ h", vec!["a", "b c", "d ef", "g h"]),
            (
                "'a\\b' \"a\\b\\\"\\\\\\$\" a\\$b",
                vec!["a\\b", "a\\b\"\\$", "a$b"],
            ),
            ("pass '' # none", vec!["pass", ""]),
            ("a#b #c", vec!["a#b"]),
            ("vhid \\\n 1\nvhid 2", vec!["vhid", "1"]),
            ("$'a\\x1b\\n\\'\\\\'", vec!["a\u{1b}\n'\\"]),
            ("it's ok'", vec!["its ok"]),
            ("~ * ? [x] {y} !", vec!["~", "*", "?", "[x]", "{y}", "!"]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_a_shell_would_do_is_not_done() {
        for text in [
            "pass $x", "a `id`", "a;b", "a|b", "a&", "a >b", "a <b", "$(id)", "\"$x\"", "\"`id`\"",
        ] {
            let wrong = words(text).unwrap_err();
            assert!(wrong.contains("means nothing here"), "{text}: {wrong}");
        }
        for text in [
            "'a", "\"a", "$'a", "a\\", "\"a\\", "'a\nb'", "$'\\x0g'", "$'\\x00'", "$'\\q'", "a\0",
        ] {
            assert!(words(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn variables_are_expanded_where_there_are_any() {
        let mut reader = Reader::with_variables(b"a=\"$b ${b}x\"$b'$b'$c\n$(id)\n${b:-x}\n$1\n$");
        reader.assign(b"b", b"y z");
        assert_eq!(reader.words().unwrap(), ["a=y z y zxy z$b"]);
        for _ in 0..4 {
            reader.words().unwrap_err();
        }
        assert_eq!(reader.begin(), None);
    }

    #[test]
    fn lines_are_counted_and_an_error_ends_with_its_own() {
        let text = b"# one\n\n  a 'b\nc\\\n d\n!x \\$if\\\ny\ne";
        let mut reader = Reader::new(text);
        assert_eq!(reader.begin(), Some(3));
        assert_eq!(reader.words().unwrap_err(), "b: unterminated quote");
        assert_eq!(reader.begin(), Some(4));
        assert_eq!(reader.words().unwrap(), ["c", "d"]);
        assert_eq!((reader.begin(), reader.peek()), (Some(6), Some(b'!')));
        assert_eq!(reader.raw(), b"!x $ify");
        assert_eq!(reader.begin(), Some(8));
        assert_eq!(reader.words().unwrap(), ["e"]);
        assert_eq!(reader.begin(), None);
    }

    #[test]
    fn what_was_written_is_read_again() {
        for word in [
            "",
            "a",
            "a b",
            "it's",
            "$x",
            "#",
            "!",
            "a\nb",
            "\u{1b}[2J",
            "ä",
            "\"",
            "\\",
            "\u{2028}",
        ] {
            let written = quote(OsStr::new(word));
            assert_eq!(words(&written).unwrap(), [word], "{written}");
            assert!(!written.contains(char::is_control), "{written:?}");
        }
        let bytes = OsStr::from_bytes(b"\xff'\x01");
        assert_eq!(quote(bytes), "$'\\xff\\'\\x01'");
        assert_eq!(words(&quote(bytes)).unwrap(), [bytes]);
        assert_eq!(quote(OsStr::new("secret")), "secret");
    }
}
