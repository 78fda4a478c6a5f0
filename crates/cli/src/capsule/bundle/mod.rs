//! Evidence bundles: chosen records of a ledger with everything that proves them to somebody who holds nothing but the
//! ledger's first public key. Keys of the JSON object, in canonical form:
//!
//! | key | value |
//! |---|---|
//! | `bundle` | 1, the version of this form |
//! | `checkpoint` | the signed checkpoint, a C2SP signed note |
//! | `checkpoint_key` | its verifier key, which the genesis names too |
//! | `filter` | what the records were chosen by; null when by place or id |
//! | `ledger` | entries of the genesis and of all key rotations: what leads from the first key to the others |
//! | `records` | entries of the chosen records, in order |
//! | `tree_size` | records under the checkpoint |
//!
//! An entry has `leaf_index`, `inclusion_proof` (base64 hashes, lowest first; RFC 6962) and `record` (the sealed record).

pub mod filter;
pub mod make;
pub mod verify;

/// The version that `bundle` names.
pub const VERSION: u64 = 1;
