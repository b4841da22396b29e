//! Names that are safe to print: one function for every output of the program.
//!
//! A name is input: it may hold terminal commands, line breaks, or marks that turn the direction of writing. [`safe`]
//! leaves none of these raw and is injective, so two names never look the same for its sake. **No width is cut here.**

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

/// Bytes of a name as text in which no control character (C0, DEL, C1), line or paragraph separator, bidirectional
/// control or invalid UTF-8 occurs raw. `\\`, `\n`, `\r`, `\t`; `\xHH` for other bytes below 0x80 and for bytes that are
/// not UTF-8; `\u{…}` for the rest.
#[must_use]
pub fn safe(bytes: &[u8]) -> String {
    render(bytes, true)
}

/// [`safe`] for names and paths as the system hands them over.
#[must_use]
pub fn safe_os(name: &OsStr) -> String {
    safe(name.as_bytes())
}

/// For whole sentences in which names are [`safe`] already: like it, but the backslash stays as it is. **Not
/// injective**: for a name use [`safe`].
#[must_use]
pub fn safe_text(text: &str) -> String {
    render(text.as_bytes(), false)
}

/// A finished line of JSON in which only strings can hold what is unsafe: escaped as JSON does, so it still means the
/// same.
#[must_use]
pub(crate) fn safe_json(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for character in line.chars() {
        if is_unsafe(character) {
            append(&mut text, format_args!("\\u{:04x}", u32::from(character)));
        } else {
            text.push(character);
        }
    }
    text
}

fn render(bytes: &[u8], backslash_too: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for piece in bytes.utf8_chunks() {
        for character in piece.valid().chars() {
            match character {
                '\\' if backslash_too => text.push_str(r"\\"),
                '\n' => text.push_str(r"\n"),
                '\r' => text.push_str(r"\r"),
                '\t' => text.push_str(r"\t"),
                _ if character.is_ascii() && is_unsafe(character) => {
                    append(&mut text, format_args!("\\x{:02x}", u32::from(character)));
                }
                _ if is_unsafe(character) => append(&mut text, format_args!("\\u{{{:x}}}", u32::from(character))),
                _ => text.push(character),
            }
        }
        for byte in piece.invalid() {
            append(&mut text, format_args!("\\x{byte:02x}"));
        }
    }
    text
}

fn append(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing into memory cannot fail");
}

/// Control characters, separators that break a line, and marks that change the direction of writing.
fn is_unsafe(character: char) -> bool {
    matches!(character,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// The way back, written for the tests alone: the judge is not the accused.
    fn bytes_of(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            if character != '\\' {
                bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
                continue;
            }
            match rest.next()? {
                '\\' => bytes.push(b'\\'),
                'n' => bytes.push(b'\n'),
                'r' => bytes.push(b'\r'),
                't' => bytes.push(b'\t'),
                'x' => {
                    let digits: String = rest.by_ref().take(2).collect();
                    bytes.push(u8::from_str_radix(&digits, 16).ok()?);
                }
                'u' => {
                    let digits: String = rest.by_ref().skip(1).take_while(|digit| *digit != '}').collect();
                    let character = char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?;
                    bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
                }
                _ => return None,
            }
        }
        Some(bytes)
    }

    fn assert_safe_and_reversible(bytes: &[u8]) {
        let text = safe(bytes);
        let raw = text.chars().find(|character| {
            character.is_control()
                || "\u{2028}\u{2029}\u{61c}\u{200e}\u{200f}".contains(*character)
                || ('\u{202a}'..='\u{202e}').contains(character)
                || ('\u{2066}'..='\u{2069}').contains(character)
        });
        assert_eq!(raw, None, "{bytes:?}");
        assert_eq!(bytes_of(&text).as_deref(), Some(bytes), "{text}");
    }

    /// What each name looks like in every output.
    const GOLDEN: &[(&[u8], &str)] = &[
        (b"", ""),
        (b"a", "a"),
        (b"plain.txt", "plain.txt"),
        (b"two words", "two words"),
        (b" blanks ", " blanks "),
        (b"-rf", "-rf"),
        (b"--json", "--json"),
        (b"'quoted'", "'quoted'"),
        (b"\"quoted\"", "\"quoted\""),
        (b"$(reboot)", "$(reboot)"),
        (b"`reboot`", "`reboot`"),
        (b"%s%n", "%s%n"),
        (b"*?[a]", "*?[a]"),
        (b"a;b&c|d", "a;b&c|d"),
        (b"\\", r"\\"),
        (b"\\n", r"\\n"),
        (b"\\x1b", r"\\x1b"),
        (b"\\u{9b}", r"\\u{9b}"),
        (b"a\\\\b", r"a\\\\b"),
        (b"\n", r"\n"),
        (b"a\nb", r"a\nb"),
        (b"\r", r"\r"),
        (b"a\rb", r"a\rb"),
        (b"a\r\nb", r"a\r\nb"),
        (b"\t", r"\t"),
        (b"\0", r"\x00"),
        (b"\x07", r"\x07"),
        (b"\x08\x08\x08", r"\x08\x08\x08"),
        (b"\x0b", r"\x0b"),
        (b"\x0c", r"\x0c"),
        (b"\x0e\x0f", r"\x0e\x0f"),
        (b"\x1b", r"\x1b"),
        (b"\x1b[2J", r"\x1b[2J"),
        (b"\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        (b"\x1b[1A\x1b[2K", r"\x1b[1A\x1b[2K"),
        (b"\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\", r"\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\"),
        (b"\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),
        (b"\x1b]0;title\x07", r"\x1b]0;title\x07"),
        (b"\x1bP+q544e\x1b\\", r"\x1bP+q544e\x1b\\"),
        (b"\x1b_application\x1b\\", r"\x1b_application\x1b\\"),
        (b"\x1bc", r"\x1bc"),
        (b"\x1b[6n", r"\x1b[6n"),
        (b"\x7f", r"\x7f"),
        (b"\x9b2J", r"\x9b2J"),
        (b"\x90q\x9c", r"\x90q\x9c"),
        (b"\x9d0;title\x9c", r"\x9d0;title\x9c"),
        ("\u{9b}2J".as_bytes(), r"\u{9b}2J"),
        ("\u{80}".as_bytes(), r"\u{80}"),
        ("\u{85}".as_bytes(), r"\u{85}"),
        ("\u{9f}".as_bytes(), r"\u{9f}"),
        ("\u{a0}".as_bytes(), "\u{a0}"),
        ("\u{202e}fdp.exe".as_bytes(), r"\u{202e}fdp.exe"),
        ("\u{202a}\u{202b}\u{202c}\u{202d}".as_bytes(), r"\u{202a}\u{202b}\u{202c}\u{202d}"),
        ("\u{2066}a\u{2069}".as_bytes(), r"\u{2066}a\u{2069}"),
        ("\u{2067}\u{2068}".as_bytes(), r"\u{2067}\u{2068}"),
        ("\u{61c}\u{200e}\u{200f}".as_bytes(), r"\u{61c}\u{200e}\u{200f}"),
        ("a\u{2028}b\u{2029}c".as_bytes(), r"a\u{2028}b\u{2029}c"),
        ("é".as_bytes(), "é"),
        ("e\u{301}".as_bytes(), "e\u{301}"),
        ("日本語".as_bytes(), "日本語"),
        ("🦀".as_bytes(), "🦀"),
        (b"\xc3", r"\xc3"),
        (b"\xc3(", r"\xc3("),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"\x80", r"\x80"),
        (b"\xc0\xaf", r"\xc0\xaf"),
        (b"\xe0\x80\xaf", r"\xe0\x80\xaf"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
        (b"\xed\xb0\x80", r"\xed\xb0\x80"),
        (b"\xf4\x90\x80\x80", r"\xf4\x90\x80\x80"),
        (b"\xe2\x80", r"\xe2\x80"),
        (b"\xe2\x80\xae", r"\u{202e}"),
        (b"caf\xe9", r"caf\xe9"),
        (b"careful-send: 3 files, 1 GiB", "careful-send: 3 files, 1 GiB"),
        (b"x\ncareful-send: 3 files: durable", r"x\ncareful-send: 3 files: durable"),
        (b"x\n{\"event\":\"summary\"}", r#"x\n{"event":"summary"}"#),
        (b"..", ".."),
        (b"/etc/passwd", "/etc/passwd"),
    ];

    #[test]
    fn golden_names_look_as_written_down() {
        assert!(GOLDEN.len() >= 60);
        let mut seen = HashSet::new();
        for (bytes, text) in GOLDEN {
            assert_eq!(safe(bytes), *text, "{bytes:?}");
            assert!(seen.insert(*text), "{text} stands for two names");
            assert_safe_and_reversible(bytes);
        }
    }

    #[test]
    fn a_name_of_a_mebibyte_is_rendered_whole() {
        assert_eq!(safe(&vec![b'a'; 1 << 20]).len(), 1 << 20);
        assert_eq!(safe(&vec![0x1b; 1 << 20]).len(), 4 << 20);
    }

    #[test]
    fn every_name_of_one_or_two_bytes_and_every_kind_of_three_and_four_leads_back() {
        for first in 0..=255 {
            assert_safe_and_reversible(&[first]);
            for second in 0..=255 {
                assert_safe_and_reversible(&[first, second]);
            }
        }
        let kinds = *b"a\\nxu{\n\x1b\x7f\x80\x8e\x9b\xa8\xae\xc2\xe2\xed\xf0\xff";
        for first in kinds {
            for second in kinds {
                for third in kinds {
                    assert_safe_and_reversible(&[first, second, third]);
                    assert_safe_and_reversible(&[0xe2, first, second, third]);
                }
            }
        }
    }

    #[test]
    fn a_sentence_keeps_the_names_in_it_and_loses_what_is_unsafe() {
        let sentence = format!("'{}': gone\x1b[2J\n", safe(b"a\\\x1b"));
        assert_eq!(safe_text(&sentence), r"'a\\\x1b': gone\x1b[2J\n");
    }

    #[test]
    fn a_json_line_made_safe_means_the_same() {
        let value = serde_json::json!({ "name": "a\u{9b}b\u{202e}c\\ \u{7f}é\n" });
        let line = safe_json(&value.to_string());
        assert_eq!(line.chars().find(|character| is_unsafe(*character)), None);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).expect("JSON"), value);
    }

    proptest! {
        #[test]
        fn any_bytes_lead_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            assert_safe_and_reversible(&bytes);
        }

        #[test]
        fn any_text_leads_back(text in any::<String>()) {
            assert_safe_and_reversible(text.as_bytes());
        }
    }
}
