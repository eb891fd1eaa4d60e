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
    goes_on: bool,
    is_gone: bool,
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
            goes_on: false,
            is_gone: false,
        }
    }

    /// Writes lines without colours.
    #[cfg(test)]
    pub(crate) fn plain(out: &'a mut dyn Write, is_json: bool) -> Self {
        Self {
            out,
            is_json,
            is_coloured: false,
            goes_on: false,
            is_gone: false,
        }
    }

    /// From here on it is no failure that nobody reads any more: there is more to do than to show something.
    pub(crate) fn go_on_unread(&mut self) {
        self.goes_on = true;
    }

    fn put(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        if self.is_gone {
            return Ok(());
        }
        match write(self.out) {
            Err(error) if self.goes_on && error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_gone = true;
                Ok(())
            }
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(io::Error::new(
                error.kind(),
                format!("the output cannot be written: {error}"),
            )),
            written => written,
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
                self.put(|out| writeln!(out, "{style}{text}{style:#}"))
            }
            None => self.put(|out| writeln!(out, "{text}")),
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
        self.put(|out| writeln!(out, "{}", clean_json(&text)))
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When nobody takes them.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(|out| out.write_all(bytes))
    }

    /// Hands on what was held back until there is a line of it.
    ///
    /// # Errors
    /// When nobody takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.put(|out| out.flush())
    }
}

/// Tells people something on stderr. That nobody reads there is no reason to end otherwise.
pub fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Whoever reads has enough after the first line.
    struct Head(usize);

    impl Write for Head {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0 {
                0 => Err(io::ErrorKind::BrokenPipe.into()),
                _ => {
                    self.0 -= bytes.iter().filter(|byte| **byte == b'\n').count();
                    Ok(bytes.len())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A disk that is full.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn work_goes_on_where_nobody_reads_and_fails_where_nothing_can_be_written() {
        let mut head = Head(1);
        let mut screen = Screen::plain(&mut head, false);
        screen.line("one", None).unwrap();
        let gone = screen.line("two", None).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
        screen.go_on_unread();
        screen.line("three", None).unwrap();
        screen.json("four", json!({})).unwrap();
        screen.raw(b"five").unwrap();
        screen.flush().unwrap();
        let mut full = Full;
        let mut screen = Screen::plain(&mut full, false);
        screen.go_on_unread();
        assert!(screen.line("one", None).is_err());
    }
}
