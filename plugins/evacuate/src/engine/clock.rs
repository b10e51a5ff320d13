//! Waiting: doubling delays with jitter, from a seed, so that a run can be replayed.

use super::event::At;

/// The first delay after a failure that may pass, in milliseconds.
const FIRST: i64 = 250;
/// The longest delay between two tries, in milliseconds.
const LONGEST: i64 = 10_000;

/// A small generator (xorshift64*): jitter needs no more.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// When to try again after `tries` failures: `first` doubling up to ten seconds, of which a random half is waited
    /// at least, so that many waiters do not come at once.
    pub fn backoff(&mut self, now: At, first: i64, tries: u32) -> At {
        let full = first.saturating_mul(1 << tries.min(16)).min(LONGEST);
        let half = u64::try_from(full / 2).unwrap_or(0);
        let jitter = i64::try_from(self.next() % (half + 1)).unwrap_or(0);
        now.saturating_add(full / 2).saturating_add(jitter)
    }

    /// The same for failures of the server or the connection.
    pub fn retry(&mut self, now: At, tries: u32) -> At {
        self.backoff(now, FIRST, tries)
    }
}

#[cfg(test)]
mod tests {
    use super::{Dice, LONGEST};

    #[test]
    fn delays_double_and_stay_within_bounds() {
        let mut dice = Dice::new(7);
        for tries in 0..40 {
            let full = (1_000_i64 << tries.min(16)).min(LONGEST);
            for _ in 0..100 {
                let at = dice.backoff(5, 1_000, tries) - 5;
                assert!((full / 2..=full).contains(&at), "{tries}: {at}");
            }
        }
    }
}
