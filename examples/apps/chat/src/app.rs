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
/// Names that are taken from the listener.
const NAMES: usize = 100;

/// Keys and news of the bus.
pub(crate) enum Input {
    Key(KeyEvent),
    Role(Role),
    /// A process has connected to us, or its connection has ended.
    Peer {
        who: String,
        here: bool,
        how: &'static str,
    },
    /// The names that the listener reports.
    Present(Vec<String>),
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
    /// Names of processes that we are connected to.
    connected: BTreeSet<String>,
    /// Names that the listener reports.
    reported: BTreeSet<String>,
}

impl App {
    pub(crate) fn new(me: &str, pid: u32) -> Self {
        Self {
            me: clean(me, LONGEST_NAME),
            pid,
            role: Role::Negotiating,
            lines: VecDeque::new(),
            typed: String::new(),
            connected: BTreeSet::new(),
            reported: BTreeSet::new(),
        }
    }

    pub(crate) fn update(&mut self, input: Input) -> Option<Wish> {
        match input {
            Input::Key(key) => return self.key(key),
            Input::Role(role) => {
                if role == Role::Listener {
                    self.reported.clear(); // we are the listener now
                }
                self.role = role;
                self.show(&format!("your role: {role}"), true);
            }
            Input::Peer { who, here, how } => {
                let who = clean(&who, LONGEST_NAME);
                self.show(&format!("{who} {how}"), true);
                if here {
                    self.connected.insert(who);
                } else {
                    self.reported.remove(&who);
                    self.connected.remove(&who);
                }
            }
            Input::Present(names) => {
                let names = names.iter().take(NAMES);
                self.reported = names.map(|name| clean(name, LONGEST_NAME)).collect();
            }
            Input::Said { who, text } => {
                let who = clean(&who, LONGEST_NAME);
                self.show(&format!("{who}: {text}"), false);
            }
        }
        None
    }

    /// All names, our own among them.
    pub(crate) fn here(&self) -> BTreeSet<&str> {
        let others = self.connected.union(&self.reported).map(String::as_str);
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

    fn peer(who: &str, here: bool) -> Input {
        let (who, how) = (who.to_owned(), "has moved");
        Input::Peer { who, here, how }
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
    fn names_are_those_of_our_connections_and_those_that_the_listener_reports() {
        let reported =
            |all: &[&str]| Input::Present(all.iter().map(|&name| name.to_owned()).collect());
        let mut app = App::new("bob", 7);
        for (input, expected) in [
            (Input::Role(Role::Connector), &["bob"][..]),
            (peer("alice", true), &["alice", "bob"]),
            (
                reported(&["alice", "bob", "carol"]),
                &["alice", "bob", "carol"],
            ),
            (
                reported(&["alice", "bob", "dave"]),
                &["alice", "bob", "dave"],
            ),
            // The listener leaves; until there is another one, the other names stay.
            (peer("alice", false), &["bob", "dave"]),
            (Input::Role(Role::Negotiating), &["bob", "dave"]),
            (Input::Role(Role::Listener), &["bob"]),
            (peer("dave", true), &["bob", "dave"]),
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
        app.update(peer("ca\u{1b}rol", true));
        assert_eq!(last(&app), ("carol has moved", true));
        assert!(app.here().contains("carol"));

        let long = "x".repeat(1 << 20);
        for _ in 0..=LINES {
            app.update(said(&long, &long));
        }
        assert_eq!(app.lines.len(), LINES);
        assert_eq!(last(&app).0.len(), LONGEST);
        let names = (0..2 * NAMES).map(|n| format!("{n}{long}"));
        app.update(Input::Present(names.collect()));
        assert_eq!(app.here().len(), NAMES + 2); // and alice, and carol
        assert!(app.here().iter().all(|name| name.len() <= LONGEST_NAME));
        type_in(&mut app, &"y".repeat(LONGEST + 1));
        assert_eq!(app.typed.len(), LONGEST);
    }
}
