//! Where the demo's events go: JSON lines, plain lines, or the live table.

use std::{
    env,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    execute, queue,
    style::Print,
    terminal::{
        BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
        LeaveAlternateScreen, size,
    },
};

use super::{
    event::Event,
    line::Line,
    picture::{Frame, Picture, clock},
};

/// The demo's standard output.
#[derive(Debug)]
pub(crate) enum Screen {
    /// One JSON object a line.
    Json,
    /// One sentence a line, for pipes and log files.
    Lines,
    /// A table that is drawn anew in its place.
    Table(Table),
}

impl Screen {
    /// The screen that suits the output: the table needs a terminal.
    ///
    /// # Errors
    /// What the terminal says.
    pub(crate) fn open(json: bool) -> io::Result<Self> {
        if json {
            Ok(Self::Json)
        } else if io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|t| t != "dumb") {
            Table::open().map(Self::Table)
        } else {
            Ok(Self::Lines)
        }
    }

    /// Tells what happened at `at`. The table shows it with the next frame.
    ///
    /// # Errors
    /// What the output says.
    pub(crate) fn tell(&self, at: Duration, event: &Event) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self {
            Self::Json if matches!(event, Event::Up(_)) => Ok(()),
            Self::Json => {
                serde_json::to_writer(&mut out, event)?;
                writeln!(out)?;
                out.flush()
            }
            Self::Lines => writeln!(out, "{}  {event}", clock(at)),
            Self::Table(_) => Ok(()),
        }
    }

    /// Draws the table, where there is one.
    ///
    /// # Errors
    /// What the terminal says.
    pub(crate) fn draw(&self, picture: &Picture, frame: impl FnOnce() -> Frame) -> io::Result<()> {
        match self {
            Self::Json | Self::Lines => Ok(()),
            Self::Table(table) => table.draw(picture, &frame()),
        }
    }

    /// Gives the terminal back; what is told after that are lines.
    pub(crate) fn close(self) -> Self {
        match self {
            Self::Json => Self::Json,
            Self::Lines | Self::Table(_) => Self::Lines,
        }
    }
}

/// The terminal's second screen; dropping this gives the first one back as it was.
#[derive(Debug)]
pub(crate) struct Table {
    colour: bool,
}

impl Table {
    fn open() -> io::Result<Self> {
        // Whoever sets it to nothing has not set it: https://no-color.org.
        let colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let table = Self { colour };
        execute!(io::stdout(), EnterAlternateScreen, Hide, Clear(ClearType::All))?;
        Ok(table)
    }

    fn draw(&self, picture: &Picture, frame: &Frame) -> io::Result<()> {
        let (width, height) = size().unwrap_or((80, 24));
        let lines = picture.lines(frame, usize::from(height));
        let mut out = io::stdout().lock();
        queue!(out, BeginSynchronizedUpdate)?;
        for (row, line) in (0..height).zip(&lines) {
            self.draw_line(&mut out, row, line, usize::from(width))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        out.flush()
    }

    fn draw_line(
        &self,
        out: &mut impl Write,
        row: u16,
        line: &Line,
        width: usize,
    ) -> io::Result<()> {
        let text = line.render(width, self.colour);
        queue!(out, MoveTo(0, row), Print(text), Clear(ClearType::UntilNewLine))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing given back.
        drop(execute!(io::stdout(), Show, LeaveAlternateScreen));
    }
}
