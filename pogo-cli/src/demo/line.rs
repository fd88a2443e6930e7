//! A line of text in several tones, cut to the width of the terminal before it is coloured.

use crossterm::style::Stylize;

/// What a piece of text says by its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Dim,
    Good,
    Warning,
    Bad,
}

/// A line of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pieces: Vec<(Tone, String)>,
}

impl Line {
    /// Adds `text` in `tone`.
    #[must_use]
    pub(crate) fn with(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.pieces.push((tone, text.into()));
        self
    }

    /// The line in at most `width` characters, coloured where wanted.
    pub(crate) fn render(&self, width: usize, colour: bool) -> String {
        let mut left = width;
        let mut out = String::new();
        for (tone, text) in &self.pieces {
            let cut: String = text.chars().take(left).collect();
            left -= cut.chars().count();
            out.push_str(&if colour { paint(*tone, &cut) } else { cut });
        }
        out
    }
}

fn paint(tone: Tone, text: &str) -> String {
    match tone {
        Tone::Plain => text.to_owned(),
        Tone::Strong => text.bold().to_string(),
        Tone::Dim => text.dim().to_string(),
        Tone::Good => text.green().to_string(),
        Tone::Warning => text.yellow().to_string(),
        Tone::Bad => text.red().bold().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_cut_by_what_is_seen_not_by_its_colours() {
        let line = Line::default().with(Tone::Bad, "down").with(Tone::Plain, " since noon");
        assert_eq!(line.render(8, false), "down sin");
        let painted = line.render(8, true);
        assert!(painted.contains("down") && painted.ends_with(" sin"), "{painted:?}");
        assert!(painted.contains('\u{1b}'), "{painted:?}");
        assert_eq!(line.render(2, false), "do");
    }
}
