//! The operator's word list. Words and phrases are found whole, in any case and compatible spelling, and through
//! characters that cannot be seen. That is as far as it goes: what people spell to be read and not to be found
//! (`w0rd`, `w o r d`, letters of other alphabets) is for the hook or for eyes.

use aho_corasick::{AhoCorasick, MatchKind};
use unicode_normalization::UnicodeNormalization;

use crate::model::{Flag, FlaggedBy, Verdict};

/// Why a message is rejected. It does not say which word, so that nobody finds the list out more easily than by trying.
const REJECTED: &str = "it holds a word that is not allowed here";
/// Longest word or phrase, in characters.
const LONGEST: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Flag,
    Reject,
}

/// The words, ready to be looked for.
#[derive(Debug)]
pub struct WordList {
    found: AhoCorasick,
    /// Of each pattern.
    actions: Vec<Action>,
    /// As the file has them.
    words: Vec<String>,
}

impl WordList {
    /// Reads the list: a line is `reject: WORD`, `flag: WORD`, empty, or a comment after `#`. The error says which line
    /// is none of these, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut actions, mut words, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
        for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (action, word) = entry(line).map_err(|wrong| format!("line {number}: {wrong}"))?;
            patterns.push(fold(word));
            actions.push(action);
            words.push(word.to_owned());
        }
        let found = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&patterns);
        Ok(Self { found: found.map_err(|error| error.to_string())?, actions, words })
    }

    /// What becomes of a message that says this.
    pub fn judge(&self, content: &str) -> Verdict {
        let text = fold(content);
        let mut flagged = None;
        // Overlapping ones, too: the first that is found at a place may be part of a longer word that is harmless.
        for found in self.found.find_overlapping_iter(&text) {
            if !is_whole(&text, found.start(), found.end()) {
                continue;
            }
            let pattern = found.pattern().as_usize();
            match self.actions[pattern] {
                Action::Reject => return Verdict::Reject(REJECTED.to_owned()),
                Action::Flag => flagged = flagged.or(Some(pattern)),
            }
        }
        flagged.map_or(Verdict::Accept, |pattern| {
            Verdict::Flag(Flag { by: FlaggedBy::Words, reason: format!("it holds “{}”", self.words[pattern]) })
        })
    }
}

fn entry(line: &str) -> Result<(Action, &str), &'static str> {
    let (action, word) = line.split_once(':').ok_or("write `reject: WORD` or `flag: WORD`")?;
    let action = match action.trim() {
        "reject" => Action::Reject,
        "flag" => Action::Flag,
        _ => return Err("begins with neither `reject:` nor `flag:`"),
    };
    let word = word.trim();
    if word.chars().count() > LONGEST {
        return Err("a word or phrase has at most 200 characters");
    }
    let folded = fold(word);
    if folded.chars().any(|c| !c.is_whitespace()) { Ok((action, word)) } else { Err("names no word") }
}

/// One spelling for all that look or are meant alike: compatibility forms composed (NFKC), no case, nothing that
/// cannot be seen, single spaces.
fn fold(text: &str) -> String {
    let visible = text.chars().filter(|c| !is_invisible(*c));
    // Down, up and down again makes one of what no single direction makes alike: ẞ, ß and SS, or ς and σ.
    let lower = visible.nfkc().flat_map(char::to_lowercase);
    let cased = lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let mut folded = String::with_capacity(text.len());
    for c in cased.nfkc() {
        if !c.is_whitespace() {
            folded.push(c);
        } else if !folded.ends_with(' ') {
            folded.push(' ');
        }
    }
    folded
}

/// Characters that change nothing one sees: soft hyphen, joiners, directions, selectors, tags.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether what was found is no part of a longer word.
fn is_whole(text: &str, start: usize, end: usize) -> bool {
    let (inside, before, after) = (&text[start..end], &text[..start], &text[end..]);
    !joins(before.chars().next_back(), inside.chars().next())
        && !joins(inside.chars().next_back(), after.chars().next())
}

/// Whether these two belong to one word.
fn joins(first: Option<char>, second: Option<char>) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_written_without_spaces(c));
    in_word(first) && in_word(second)
}

/// Scripts whose words do not end where one could see it: there a word is found inside of others.
fn is_written_without_spaces(c: char) -> bool {
    matches!(
        c,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> WordList {
        let text = "\u{feff}# what nobody says\nreject: damn\n\n  flag: Free  Money \nflag:straße\nreject: 馬鹿\nflag: hell\n\
                    reject: c++\nflag: café\nflag: damnation\nflag: mr. x\n";
        WordList::parse(text).expect("a list")
    }

    fn flags(content: &str) -> Option<String> {
        match list().judge(content) {
            Verdict::Flag(flag) => Some(flag.reason),
            _ => None,
        }
    }

    fn rejects(content: &str) -> bool {
        matches!(list().judge(content), Verdict::Reject(_))
    }

    #[test]
    fn words_are_found_whole_and_in_any_case() {
        for bad in ["damn", "DAMN!", "oh, Damn", "(damn)", "damn\nit", "hell, damn", "a-damn-b", "I love C++", "c++."] {
            assert!(rejects(bad), "{bad}");
        }
        for good in ["", "goddamned", "damned", "xdamn", "damn1", "shell", "hello", "c+", "abc++", "dam n"] {
            assert_eq!(list().judge(good), Verdict::Accept, "{good}");
        }
    }

    #[test]
    fn phrases_are_found_over_any_space() {
        for bad in ["free money", "FREE\u{a0}MONEY", "get free \n\t money now", "free\u{2003}money"] {
            assert_eq!(flags(bad).as_deref(), Some("it holds “Free  Money”"), "{bad}");
        }
        for good in ["freemoney", "free the money", "carefree money", "free moneys"] {
            assert_eq!(list().judge(good), Verdict::Accept, "{good}");
        }
    }

    #[test]
    fn simple_tricks_do_not_help() {
        for bad in
            ["d\u{200b}a\u{200d}m\u{feff}n", "ｄａｍｎ", "da\u{ad}mn", "\u{202e}damn", "𝐝𝐚𝐦𝐧", "ⓓⓐⓜⓝ", "DA\u{fe0f}MN"]
        {
            assert!(rejects(bad), "{bad:?}");
        }
        for bad in ["STRASSE", "Straße", "strasse", "STRAẞE", "cafe\u{301}", "CAFÉ"] {
            assert!(flags(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_rejection_outranks_a_flag_and_a_longer_word_hides_no_shorter_one() {
        assert!(rejects("hell and damnation and damn"));
        assert_eq!(flags("damnation").as_deref(), Some("it holds “damnation”"));
        assert_eq!(flags("ask Mr. X.").as_deref(), Some("it holds “mr. x”"));
    }

    #[test]
    fn where_words_have_no_spaces_between_them_one_is_found_in_the_middle() {
        assert!(rejects("お前は馬鹿だ"));
        assert!(!rejects("馬と鹿"));
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_line() {
        for (text, line) in [
            ("damn", "line 1"),
            ("# fine\nrefuse: damn", "line 2"),
            ("flag: a\n\nreject:\n", "line 3"),
            ("reject: \u{200b}", "line 1"),
            ("Reject: damn", "line 1"),
        ] {
            let wrong = WordList::parse(text).expect_err("it is no list");
            assert!(wrong.starts_with(line) && !wrong.contains("damn"), "{wrong}");
        }
        assert!(WordList::parse(&format!("flag: {}", "x".repeat(201))).is_err());
        let empty = WordList::parse("# nothing yet\n").expect("an empty list is one");
        assert_eq!(empty.judge("damn"), Verdict::Accept);
    }
}
