//! UUID version 7 (RFC 9562 section 5.7): time-ordered, so that the id index grows at its right edge.

use std::cell::RefCell;

use capsule::{Id, Timestamp};

/// Random bytes fetched from the kernel at a time; one id takes ten.
const POOL: usize = 640;

thread_local! {
    static RANDOM: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL], used: POOL }) };
}

struct Pool {
    bytes: [u8; POOL],
    used: usize,
}

/// The kernel gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct NoRandomness(String);

/// A new id for something that happens at `now`: 48 bits of milliseconds, then 74 random bits.
///
/// # Errors
/// When the operating system's random source fails.
pub fn new_id(now: Timestamp) -> Result<Id, NoRandomness> {
    let [a, b, c, d, e, f, g, h, i, j] = random()?;
    let [_, _, t0, t1, t2, t3, t4, t5] = (now.micros().max(0) / 1000).to_be_bytes();
    Ok(Id::from_bytes([
        t0,
        t1,
        t2,
        t3,
        t4,
        t5,
        0x70 | (a & 0x0f),
        b,
        0x80 | (c & 0x3f),
        d,
        e,
        f,
        g,
        h,
        i,
        j,
    ]))
}

fn random() -> Result<[u8; 10], NoRandomness> {
    RANDOM.with_borrow_mut(|pool| {
        if let Some(found) = pool.take() {
            return Ok(found);
        }
        getrandom::fill(&mut pool.bytes).map_err(|error| NoRandomness(error.to_string()))?;
        pool.used = 0;
        pool.take()
            .ok_or_else(|| NoRandomness("empty pool".to_owned()))
    })
}

impl Pool {
    fn take(&mut self) -> Option<[u8; 10]> {
        let found = *self.bytes.get(self.used..)?.first_chunk::<10>()?;
        self.used += 10;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_variant_and_order() {
        let ids: Vec<String> = (0..200)
            .map(|ms| {
                new_id(Timestamp::new(1_767_225_600_000_000 + ms * 1000))
                    .unwrap()
                    .to_string()
            })
            .collect();
        assert!(ids.iter().all(|id| id.as_bytes()[14] == b'7'), "{ids:?}");
        assert!(ids.iter().all(|id| b"89ab".contains(&id.as_bytes()[19])));
        assert!(ids.is_sorted());
        assert!(ids.windows(2).all(|pair| pair[0][24..] != pair[1][24..]));
    }
}
