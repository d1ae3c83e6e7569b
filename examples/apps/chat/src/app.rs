//! What there is to see, and what a key does.
//!
//! In: [`Input`]s. Out: a [`Wish`]. Touches nothing.
//!
//! What others say is theirs: control characters are left out, and all of it has a bound.

use std::collections::{BTreeSet, VecDeque};

use kyneta_uds::Role;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// How many lines are remembered.
const LINES: usize = 500;
/// The longest line, in characters.
const LONGEST: usize = 1_000;
/// The longest name, in characters.
const LONGEST_NAME: usize = 24;
/// How many names are shown.
const NAMES: usize = 100;

/// Something has happened.
pub(crate) enum Input {
    Key(KeyEvent),
    Role(Role),
    /// Somebody is connected with us from now on.
    Came(String, &'static str),
    /// And is not any more.
    Gone(String, &'static str),
    /// The listener says who is here.
    Here(Vec<String>),
    Said {
        who: String,
        text: String,
    },
}

/// What the person at the keys wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Wish {
    Say(String),
    Leave,
}

pub(crate) enum Line {
    Said { who: String, text: String },
    Notice(String),
}

pub(crate) struct App {
    pub(crate) me: String,
    pub(crate) role: Role,
    pub(crate) lines: VecDeque<Line>,
    /// What is being typed.
    pub(crate) typed: String,
    /// With whom we are connected.
    connected: BTreeSet<String>,
    /// Who is here besides, as the listener says.
    told: BTreeSet<String>,
}

impl App {
    pub(crate) fn new(me: &str) -> Self {
        Self {
            me: clean(me, LONGEST_NAME),
            role: Role::Negotiating,
            lines: VecDeque::new(),
            typed: String::new(),
            connected: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    pub(crate) fn update(&mut self, input: Input) -> Option<Wish> {
        match input {
            Input::Key(key) => return self.key(key),
            Input::Role(role) => {
                if role == Role::Listener {
                    self.told.clear(); // nobody tells us any more: we are the one who knows
                }
                self.role = role;
                self.show(Line::Notice(format!("you are {role}")));
            }
            Input::Came(who, how) => {
                let who = clean(&who, LONGEST_NAME);
                self.show(Line::Notice(format!("{who} {how}")));
                self.connected.insert(who);
            }
            Input::Gone(who, how) => {
                let who = clean(&who, LONGEST_NAME);
                self.connected.remove(&who);
                self.told.remove(&who);
                self.show(Line::Notice(format!("{who} {how}")));
            }
            Input::Here(names) => {
                let names = names.iter().take(NAMES);
                self.told = names.map(|name| clean(name, LONGEST_NAME)).collect();
            }
            Input::Said { who, text } => {
                let (who, text) = (clean(&who, LONGEST_NAME), clean(&text, LONGEST));
                self.show(Line::Said { who, text });
            }
        }
        None
    }

    /// Everybody's name, one's own among them.
    pub(crate) fn here(&self) -> impl Iterator<Item = &str> {
        let others = self.connected.union(&self.told).map(String::as_str);
        let all: BTreeSet<_> = others.chain([self.me.as_str()]).collect();
        all.into_iter()
    }

    fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Some(Wish::Leave),
            KeyCode::Char('c') if ctrl => return Some(Wish::Leave),
            KeyCode::Char(char) if !ctrl && self.typed.chars().count() < LONGEST => {
                self.typed.push(char);
            }
            KeyCode::Backspace => {
                self.typed.pop();
            }
            KeyCode::Enter if !self.typed.is_empty() => {
                let text = std::mem::take(&mut self.typed);
                let (who, said) = (self.me.clone(), text.clone());
                self.show(Line::Said { who, text });
                return Some(Wish::Say(said));
            }
            _ => {}
        }
        None
    }

    fn show(&mut self, line: Line) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
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

    fn here(app: &App) -> Vec<&str> {
        app.here().collect()
    }

    #[test]
    fn enter_says_what_was_typed_and_shows_it() {
        let mut app = App::new("alice");
        type_in(&mut app, "hi!");
        assert_eq!(app.update(key(KeyCode::Backspace)), None);
        let said = app.update(key(KeyCode::Enter));
        assert_eq!(said, Some(Wish::Say("hi".to_owned())));
        assert_eq!(app.typed, "");
        assert!(
            matches!(app.lines.back(), Some(Line::Said { who, text }) if who == "alice" && text == "hi")
        );
        assert_eq!(app.update(key(KeyCode::Enter)), None); // nothing
    }

    #[test]
    fn escape_and_ctrl_c_leave() {
        let mut app = App::new("alice");
        let ctrl = |char| Input::Key(KeyEvent::new(KeyCode::Char(char), KeyModifiers::CONTROL));
        assert_eq!(app.update(key(KeyCode::Esc)), Some(Wish::Leave));
        assert_eq!(app.update(ctrl('c')), Some(Wish::Leave));
        assert_eq!(app.update(ctrl('x')), None);
        assert_eq!(app.typed, "");
    }

    #[test]
    fn those_are_here_whom_we_see_or_are_told_of() {
        let names = |all: &[&str]| Input::Here(all.iter().map(|&name| name.to_owned()).collect());
        let came = |who: &str| Input::Came(who.to_owned(), "is here");
        let gone = |who: &str| Input::Gone(who.to_owned(), "has left");
        let mut app = App::new("bob");
        for (input, expected) in [
            (Input::Role(Role::Connector), &["bob"][..]),
            (came("alice"), &["alice", "bob"]),
            (
                names(&["alice", "bob", "carol"]),
                &["alice", "bob", "carol"],
            ),
            (names(&["alice", "bob", "dave"]), &["alice", "bob", "dave"]),
            // The listener goes; until there is another one, the rest are believed to be here.
            (gone("alice"), &["bob", "dave"]),
            (Input::Role(Role::Negotiating), &["bob", "dave"]),
            (Input::Role(Role::Listener), &["bob"]),
            (came("dave"), &["bob", "dave"]),
        ] {
            assert_eq!(app.update(input), None);
            assert_eq!(here(&app), expected);
        }
    }

    #[test]
    fn what_others_say_has_a_bound_and_no_control_characters() {
        let mut app = App::new("alice");
        let said = |who: &str, text: &str| Input::Said {
            who: who.to_owned(),
            text: text.to_owned(),
        };
        app.update(said("bo\u{7}b", "\u{1b}[2Jboo\r\n\u{9b}31m"));
        let shown = |app: &App| match app.lines.back() {
            Some(Line::Said { who, text }) => (who.clone(), text.clone()),
            _ => panic!("no line"),
        };
        assert_eq!(shown(&app), ("bob".to_owned(), "[2Jboo31m".to_owned()));

        let long = "x".repeat(1 << 20);
        for _ in 0..=LINES {
            app.update(said(&long, &long));
        }
        assert_eq!(app.lines.len(), LINES);
        let (who, text) = shown(&app);
        assert_eq!((who.len(), text.len()), (LONGEST_NAME, LONGEST));
        app.update(Input::Here((0..10_000).map(|n| n.to_string()).collect()));
        assert_eq!(here(&app).len(), NAMES + 1);
        type_in(&mut app, &"y".repeat(LONGEST + 1));
        assert_eq!(app.typed.len(), LONGEST);
    }
}
