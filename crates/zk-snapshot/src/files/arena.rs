//! The bytes of the znodes that a tree holds, one after another.

/// Dead bytes are cleared away where they are more than the live ones, and than these.
const DEAD_BYTES: usize = 32 << 20;
const NONE: u32 = u32::MAX;

/// Where some bytes are in an [`Arena`], or that there are none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    at: usize,
    length: u32,
}

impl Span {
    /// No bytes at all, as null data are.
    pub(super) const NULL: Self = Self { at: 0, length: NONE };
    /// No bytes, of a length of 0.
    pub(super) const EMPTY: Self = Self { at: 0, length: 0 };

    fn length(self) -> usize {
        match self.length {
            NONE => 0,
            length => length as usize,
        }
    }
}

#[derive(Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    dead: usize,
}

impl Arena {
    pub(super) fn get(&self, span: Span) -> Option<&[u8]> {
        (span.length != NONE).then(|| &self.bytes[span.at..span.at + span.length()])
    }

    pub(super) fn keep(&mut self, bytes: Option<&[u8]>) -> Span {
        let Some(bytes) = bytes else { return Span::NULL };
        let span = Span {
            at: self.bytes.len(),
            length: u32::try_from(bytes.len()).unwrap_or(NONE),
        };
        self.bytes.extend_from_slice(bytes);
        span
    }

    /// Notes that nobody asks for these any more.
    pub(super) fn release(&mut self, span: Span) {
        self.dead += span.length();
    }

    /// Puts `bytes` where those of `span` were, or elsewhere if they are not as long.
    pub(super) fn replace(&mut self, span: &mut Span, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) if bytes.len() == span.length as usize => {
                self.bytes[span.at..span.at + bytes.len()].copy_from_slice(bytes);
            }
            bytes => {
                self.release(*span);
                *span = self.keep(bytes);
            }
        }
    }

    /// Whether so many are dead that they are to be cleared away.
    pub(super) fn is_wasteful(&self) -> bool {
        self.dead > DEAD_BYTES.max(self.bytes.len() / 2)
    }
}
