//! Ids of calls: UUID version 7 (RFC 9562), made here, never taken from a client.

use std::cell::RefCell;

const POOL: usize = 1024;

struct Pool {
    bytes: [u8; POOL],
    used: usize,
}

thread_local! {
    // One system call per hundred ids instead of one per id.
    static POOL_OF_THREAD: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL], used: POOL }) };
}

/// The system's random source failed; nothing may be served without it.
#[derive(Debug, thiserror::Error)]
#[error("the system's random source failed")]
pub(crate) struct NoRandomness;

/// A fresh id for a call that arrived `unix_micros` microseconds after the epoch.
///
/// # Errors
/// When the system has no randomness to give.
pub(crate) fn call_id(unix_micros: i64) -> Result<capsule::Id, NoRandomness> {
    let random = ten_random_bytes()?;
    let millis = u64::try_from(unix_micros / 1000).unwrap_or(0);
    Ok(capsule::Id::from_bytes(
        *uuid::Builder::from_unix_timestamp_millis(millis, &random)
            .as_uuid()
            .as_bytes(),
    ))
}

/// A uniformly random number, for drawing among deployments.
///
/// # Errors
/// When the system has no randomness to give.
pub(crate) fn random_u64() -> Result<u64, NoRandomness> {
    let [a, b, c, d, e, f, g, h, _, _] = ten_random_bytes()?;
    Ok(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

fn ten_random_bytes() -> Result<[u8; 10], NoRandomness> {
    POOL_OF_THREAD.with_borrow_mut(|pool| {
        if pool.used + 10 > POOL {
            getrandom::fill(&mut pool.bytes).map_err(|_| NoRandomness)?;
            pool.used = 0;
        }
        let mut out = [0; 10];
        for (to, from) in out.iter_mut().zip(pool.bytes.iter_mut().skip(pool.used)) {
            *to = *from;
            *from = 0;
        }
        pool.used += 10;
        Ok(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_sorted_by_time_and_distinct() {
        let early = call_id(1_000_000_000_000).expect("randomness").to_string();
        let late = call_id(1_000_000_002_000).expect("randomness").to_string();
        assert!(early < late);
        assert_eq!(early.as_bytes().get(14), Some(&b'7'));
        let many: std::collections::HashSet<_> = (0..1000)
            .map(|_| call_id(5).expect("randomness").to_string())
            .collect();
        assert_eq!(many.len(), 1000);
    }
}
