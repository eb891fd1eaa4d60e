//! Lines that others write again and again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// So often the same is written at most.
const AT_MOST: Duration = Duration::from_secs(10);
/// So many different lines are remembered.
const REMEMBERED: usize = 256;

/// What was written when, and how often it came since.
#[derive(Debug, Default)]
pub(crate) struct Repeated(HashMap<String, (Instant, u64)>);

impl Repeated {
    /// `None` for a line that was written just now; else how many like it were not written since. Lines that differ in numbers are
    /// alike: ports, sessions, times.
    pub(crate) fn look(&mut self, line: &str, now: Instant) -> Option<u64> {
        let alike: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
        if let Some((written, since)) = self.0.get_mut(&alike) {
            if now.duration_since(*written) < AT_MOST {
                *since += 1;
                return None;
            }
            *written = now;
            return Some(std::mem::take(since));
        }
        if self.0.len() >= REMEMBERED {
            self.0
                .retain(|_, (written, _)| now.duration_since(*written) < AT_MOST);
        }
        // Where even these are too many, each is written.
        if self.0.len() < REMEMBERED {
            self.0.insert(alike, (now, 0));
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_counted_and_written_once_in_ten_seconds() {
        let (mut repeated, begin) = (Repeated::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(repeated.look("session 1 is lost", begin), Some(0));
        for second in 1..10 {
            assert_eq!(
                repeated.look(&format!("session {second} is lost"), after(second)),
                None
            );
        }
        assert_eq!(repeated.look("something else", after(9)), Some(0));
        assert_eq!(repeated.look("session 77 is lost", after(10)), Some(9));
        assert_eq!(repeated.look("session 77 is lost", after(30)), Some(0));
        for number in 0..2 * REMEMBERED {
            let letters: String = number
                .to_string()
                .chars()
                .map(|c| char::from(c as u8 + 49))
                .collect();
            repeated.look(&letters, after(31));
        }
        assert!(repeated.0.len() <= REMEMBERED);
    }
}
