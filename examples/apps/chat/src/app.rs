//! The state of the screen, and what each key does.
//!
//! In: [`Input`]s. Out: a [`Wish`]. Touches nothing.
//!
//! Text of other processes is not trusted: control characters are removed, and all of it is bounded.

use std::collections::{BTreeSet, VecDeque};

use kyneta_uds::Role;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Lines that are kept.
const LINES: usize = 500;
/// The longest line, in characters.
const LONGEST: usize = 1_000;
/// The longest name, in characters.
const LONGEST_NAME: usize = 24;

/// Keys and news of the bus.
pub(crate) enum Input {
    Key(KeyEvent),
    Role(Role),
    /// Another one has joined, or has left.
    Member {
        who: String,
        here: bool,
        how: &'static str,
    },
    Notice(String),
    Said {
        who: String,
        text: String,
    },
}

/// What the person at the keyboard wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Wish {
    Say(String),
    Leave,
}

pub(crate) struct Line {
    pub(crate) text: String,
    /// A notice of the program, not a line of a person.
    pub(crate) notice: bool,
}

pub(crate) struct App {
    pub(crate) me: String,
    pub(crate) pid: u32,
    pub(crate) role: Role,
    pub(crate) lines: VecDeque<Line>,
    /// The line that is being typed.
    pub(crate) typed: String,
    /// The names of the others.
    others: BTreeSet<String>,
}

impl App {
    pub(crate) fn new(me: &str, pid: u32) -> Self {
        Self {
            me: clean(me, LONGEST_NAME),
            pid,
            role: Role::Negotiating,
            lines: VecDeque::new(),
            typed: String::new(),
            others: BTreeSet::new(),
        }
    }

    pub(crate) fn update(&mut self, input: Input) -> Option<Wish> {
        match input {
            Input::Key(key) => return self.key(key),
            Input::Role(role) => {
                self.role = role;
                self.show(&format!("your role: {role}"), true);
            }
            Input::Member { who, here, how } => {
                let who = clean(&who, LONGEST_NAME);
                self.show(&format!("{who} {how}"), true);
                if here {
                    self.others.insert(who);
                } else {
                    self.others.remove(&who);
                }
            }
            Input::Notice(text) => self.show(&text, true),
            Input::Said { who, text } => {
                let who = clean(&who, LONGEST_NAME);
                self.show(&format!("{who}: {text}"), false);
            }
        }
        None
    }

    /// All names, our own among them.
    pub(crate) fn here(&self) -> BTreeSet<&str> {
        let others = self.others.iter().map(String::as_str);
        others.chain([self.me.as_str()]).collect()
    }

    fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Some(Wish::Leave),
            KeyCode::Char('c') if ctrl => return Some(Wish::Leave),
            KeyCode::Char(char) if !ctrl && self.typed.len() < LONGEST => self.typed.push(char),
            KeyCode::Backspace => drop(self.typed.pop()),
            KeyCode::Enter if !self.typed.is_empty() => {
                let said = std::mem::take(&mut self.typed);
                self.show(&format!("{}: {said}", self.me), false);
                return Some(Wish::Say(said));
            }
            _ => {}
        }
        None
    }

    fn show(&mut self, text: &str, notice: bool) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        let text = clean(text, LONGEST);
        self.lines.push_back(Line { text, notice });
    }
}

fn clean(text: &str, longest: usize) -> String {
    let harmless = text.chars().filter(|char| !char.is_control());
    harmless.take(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode) -> Input {
        Input::Key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn type_in(app: &mut App, text: &str) {
        for char in text.chars() {
            assert_eq!(app.update(key(KeyCode::Char(char))), None);
        }
    }

    fn member(who: &str, here: bool) -> Input {
        let (who, how) = (who.to_owned(), "has moved");
        Input::Member { who, here, how }
    }

    fn last(app: &App) -> (&str, bool) {
        let line = app.lines.back().unwrap();
        (&line.text, line.notice)
    }

    #[test]
    fn enter_says_what_was_typed_and_shows_it() {
        let mut app = App::new("alice", 7);
        type_in(&mut app, "hi!");
        assert_eq!(app.update(key(KeyCode::Backspace)), None);
        let said = app.update(key(KeyCode::Enter));
        assert_eq!(said, Some(Wish::Say("hi".to_owned())));
        assert_eq!(app.typed, "");
        assert_eq!(last(&app), ("alice: hi", false));
        assert_eq!(app.update(key(KeyCode::Enter)), None); // nothing
    }

    #[test]
    fn escape_and_ctrl_c_leave() {
        let mut app = App::new("alice", 7);
        let ctrl = |char| Input::Key(KeyEvent::new(KeyCode::Char(char), KeyModifiers::CONTROL));
        assert_eq!(app.update(key(KeyCode::Esc)), Some(Wish::Leave));
        assert_eq!(app.update(ctrl('c')), Some(Wish::Leave));
        assert_eq!(app.update(ctrl('x')), None);
        assert_eq!(app.typed, "");
    }

    #[test]
    fn names_are_our_own_and_those_of_the_members_that_are_there() {
        let mut app = App::new("bob", 7);
        for (input, expected) in [
            (Input::Role(Role::Connector), &["bob"][..]),
            (member("alice", true), &["alice", "bob"]),
            (member("carol", true), &["alice", "bob", "carol"]),
            (member("alice", false), &["bob", "carol"]),
            // Until there is another listener, and with it, the others stay.
            (Input::Role(Role::Negotiating), &["bob", "carol"]),
            (Input::Role(Role::Listener), &["bob", "carol"]),
        ] {
            assert_eq!(app.update(input), None);
            assert_eq!(Vec::from_iter(app.here()), expected);
        }
    }

    #[test]
    fn what_others_say_has_a_bound_and_no_control_characters() {
        let mut app = App::new("alice", 7);
        let said = |who: &str, text: &str| Input::Said {
            who: who.to_owned(),
            text: text.to_owned(),
        };
        app.update(said("bo\u{7}b", "\u{1b}[2Jboo\r\n\u{9b}31m"));
        assert_eq!(last(&app), ("bob: [2Jboo31m", false));
        app.update(member("ca\u{1b}rol", true));
        assert_eq!(last(&app), ("carol has moved", true));
        assert!(app.here().contains("carol"));

        let long = "x".repeat(1 << 20);
        for _ in 0..=LINES {
            app.update(said(&long, &long));
        }
        assert_eq!(app.lines.len(), LINES);
        assert_eq!(last(&app).0.len(), LONGEST);
        app.update(Input::Notice(long.clone()));
        assert_eq!(last(&app).0.len(), LONGEST);
        app.update(member(&long, true));
        assert!(app.here().iter().all(|name| name.len() <= LONGEST_NAME));
        type_in(&mut app, &"y".repeat(LONGEST + 1));
        assert_eq!(app.typed.len(), LONGEST);
    }
}
