//! Where a command writes what was asked for: lines for people, or JSON lines.

use std::io::{self, Stdout, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::clean_json;

/// How a line looks where there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The head of a table.
    Head,
    /// What is there now, or well.
    Good,
    /// What is gone, or wrong.
    Bad,
    /// What differs, or needs a look.
    Changed,
    /// What is beside the point.
    Dim,
}

impl Look {
    fn style(self) -> Style {
        match self {
            Self::Head => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Changed => AnsiColor::Yellow.on_default(),
            Self::Dim => Style::new().dimmed(),
        }
    }
}

/// Where a command writes.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    is_json: bool,
    is_coloured: bool,
}

impl std::fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen")
            .field("is_json", &self.is_json)
            .finish_non_exhaustive()
    }
}

impl<'a> Screen<'a> {
    /// Writes to stdout, with colours where it is a terminal that has them and nobody wants none (`NO_COLOR`).
    pub fn stdout(out: &'a mut Stdout, is_json: bool) -> Self {
        Self {
            is_coloured: AutoStream::choice(&*out) != ColorChoice::Never,
            out,
            is_json,
        }
    }

    /// Writes lines without colours.
    #[cfg(test)]
    pub(crate) fn plain(out: &'a mut dyn Write, is_json: bool) -> Self {
        Self {
            out,
            is_json,
            is_coloured: false,
        }
    }

    /// Whether JSON lines were asked for.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// Writes a line for people. What comes from outside must be clean in it.
    ///
    /// # Errors
    /// When nobody takes it.
    pub fn line(&mut self, text: &str, look: Option<Look>) -> io::Result<()> {
        match look.filter(|_| self.is_coloured) {
            Some(look) => {
                let style = look.style();
                writeln!(self.out, "{style}{text}{style:#}")
            }
            None => writeln!(self.out, "{text}"),
        }
    }

    /// Writes an object as a JSON line, with its `message_type` in front.
    ///
    /// # Errors
    /// When nobody takes it.
    pub fn json(&mut self, message_type: &str, mut value: Value) -> io::Result<()> {
        if let Value::Object(object) = &mut value {
            object.insert("message_type".to_owned(), message_type.into());
        }
        let text = value.to_string();
        writeln!(self.out, "{}", clean_json(&text))
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When nobody takes them.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Hands on what was held back until there is a line of it.
    ///
    /// # Errors
    /// When nobody takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
