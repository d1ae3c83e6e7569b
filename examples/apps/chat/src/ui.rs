//! The screen: our name and role, the lines, the names, and the line that is being typed.
//!
//! In: an [`App`]. Out: cells of a frame. Touches nothing.

use kyneta_uds::Role;
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Stylize as _},
    text::Line,
    widgets::{Block, Paragraph},
};

use crate::app::App;

pub(crate) fn render(frame: &mut Frame<'_>, app: &App) {
    let rows = Layout::vertical([Constraint::Fill(1), Constraint::Length(3)]);
    let [above, below] = rows.areas(frame.area());
    let columns = Layout::horizontal([Constraint::Fill(1), Constraint::Length(20)]);
    let [left, right] = columns.areas(above);

    let role = app.role.to_string().bold().fg(match app.role {
        Role::Listener => Color::Green,
        Role::Connector => Color::Cyan,
        Role::Negotiating | Role::Disposed => Color::Yellow,
    });
    let who = format!(" {} (pid {}): ", app.me, app.pid);
    let title = Line::from_iter([who.into(), role, " ".into()]);
    let talk = Block::bordered().title(title);
    let inner = talk.inner(left);
    frame.render_widget(talk, left);
    frame.render_widget(Paragraph::new(last(app, inner.width, inner.height)), inner);

    let names: Vec<_> = app.here().into_iter().map(Line::from).collect();
    let here = Block::bordered().title(format!(" {} here ", names.len()));
    frame.render_widget(Paragraph::new(names).block(here), right);

    let say = Block::bordered().title(" Enter says it, Esc leaves ");
    let inner = say.inner(below);
    let typed = Line::from(app.typed.as_str());
    let width = u16::try_from(typed.width()).unwrap_or(u16::MAX);
    let hidden = width.saturating_add(1).saturating_sub(inner.width); // the end stays in sight
    frame.set_cursor_position((inner.x + width.saturating_sub(hidden), inner.y));
    frame.render_widget(Paragraph::new(typed).scroll((0, hidden)).block(say), below);
}

/// The last lines that there is room for, long ones broken.
fn last(app: &App, width: u16, height: u16) -> Vec<Line<'_>> {
    let mut rows = Vec::new();
    for line in app.lines.iter().rev() {
        let chars: Vec<char> = line.text.chars().collect();
        for part in chars.chunks(usize::from(width).max(1)).rev() {
            let row = Line::from(String::from_iter(part));
            rows.push(if line.notice { row.dark_gray() } else { row });
        }
        if rows.len() >= usize::from(height) {
            break;
        }
    }
    rows.truncate(height.into());
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use ratatui::{
        Terminal, backend::TestBackend, buffer::Buffer, crossterm::event::KeyCode, layout::Position,
    };

    use super::*;
    use crate::app::Input;

    fn screen(app: &App) -> (Buffer, Position) {
        let mut terminal = Terminal::new(TestBackend::new(60, 10)).unwrap();
        terminal.draw(|frame| render(frame, app)).unwrap();
        let cursor = terminal.get_cursor_position().unwrap();
        (terminal.backend().buffer().clone(), cursor)
    }

    /// The cells' texts, colours left out.
    fn text(app: &App) -> Vec<String> {
        let (buffer, _) = screen(app);
        let cells = buffer.content().chunks(buffer.area.width.into());
        cells
            .map(|row| row.iter().map(|cell| cell.symbol()).collect())
            .collect()
    }

    fn updated(inputs: impl IntoIterator<Item = Input>) -> App {
        let mut app = App::new("bob", 7);
        for input in inputs {
            app.update(input);
        }
        app
    }

    fn member(who: &str, here: bool, how: &'static str) -> Input {
        let who = who.to_owned();
        Input::Member { who, here, how }
    }

    fn said(who: &str, text: &str) -> Input {
        Input::Said {
            who: who.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_change_of_role_is_seen() {
        let mut app = updated([
            Input::Role(Role::Connector),
            member("alice", true, "is here"),
            said("alice", "hello, bob"),
        ]);
        assert_eq!(
            text(&app),
            [
                "┌ bob (pid 7): connector ──────────────┐┌ 2 here ──────────┐",
                "│your role: connector                  ││alice             │",
                "│alice is here                         ││bob               │",
                "│alice: hello, bob                     ││                  │",
                "│                                      ││                  │",
                "│                                      ││                  │",
                "└──────────────────────────────────────┘└──────────────────┘",
                "┌ Enter says it, Esc leaves ───────────────────────────────┐",
                "│                                                          │",
                "└──────────────────────────────────────────────────────────┘",
            ]
        );
        let colour = |app: &App| screen(app).0.cell((16, 0)).unwrap().fg;
        assert_eq!(colour(&app), Color::Cyan);

        app.update(member("alice", false, "has left"));
        app.update(Input::Role(Role::Negotiating));
        assert_eq!(colour(&app), Color::Yellow);
        app.update(Input::Role(Role::Listener));
        assert_eq!(colour(&app), Color::Green);
        assert_eq!(
            text(&app)[..7],
            [
                "┌ bob (pid 7): listener ───────────────┐┌ 1 here ──────────┐",
                "│alice is here                         ││bob               │",
                "│alice: hello, bob                     ││                  │",
                "│alice has left                        ││                  │",
                "│your role: negotiating                ││                  │",
                "│your role: listener                   ││                  │",
                "└──────────────────────────────────────┘└──────────────────┘",
            ]
        );
    }

    #[test]
    fn a_long_line_is_broken_and_the_last_ones_stay_in_sight() {
        let lines = (0..100).map(|n| said("alice", &format!("line {n}")));
        let app = updated(lines.chain([said("alice", &"0123456789".repeat(6))]));
        assert_eq!(
            text(&app)[1..6],
            [
                "│alice: line 97                        ││bob               │",
                "│alice: line 98                        ││                  │",
                "│alice: line 99                        ││                  │",
                "│alice: 0123456789012345678901234567890││                  │",
                "│12345678901234567890123456789         ││                  │",
            ]
        );
    }

    #[test]
    fn the_cursor_is_where_the_next_character_goes() {
        let typed = |text: &str| {
            updated(
                text.chars()
                    .map(|char| Input::Key(KeyCode::Char(char).into())),
            )
        };
        for (so_far, row, column) in [
            ("", "│                    ", 1),
            ("hi", "│hi                  ", 3),
            ("漢", "│漢                   ", 3), // two cells wide
            (&"x".repeat(57), "│xxxxxxxxxxxxxxxxxxxx", 58),
            (
                &format!("ab{}", "x".repeat(56)),
                "│bxxxxxxxxxxxxxxxxxxx",
                58,
            ),
        ] {
            let app = typed(so_far);
            let shown: String = text(&app)[8].chars().take(21).collect();
            assert_eq!(shown, row);
            assert_eq!(screen(&app).1, Position::new(column, 8), "{so_far}");
        }
    }

    #[test]
    fn a_window_of_any_size_will_do() {
        let app = updated([said("alice", "hello")]);
        for (width, height) in [(1, 1), (2, 2), (21, 3), (22, 4), (300, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| render(frame, &app)).unwrap();
        }
    }
}
