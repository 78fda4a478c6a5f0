//! The Capsule Protocol: build, canonicalise, seal, link and verify records.
//!
#![doc = include_str!("../README.md")]

pub mod canonical;
pub mod chain;
mod draft;
mod hash;
mod hex;
mod id;
pub mod json;
mod key;
pub mod keyring;
mod model;
pub mod pq;
mod time;
pub mod uri;
pub mod validate;
pub mod verify;

pub use draft::{
    Draft, DraftError, Linked, MAX_DOMAIN_CHARS, MAX_DRAFT_DEPTH, MAX_INTEGER_DIGITS,
    MAX_SESSION_ID_CHARS, SealError, Sealed,
};
pub use hash::{Hash, HashError};
pub use id::{Id, IdError};
pub use key::{PublicKey, PublicKeyError, SignError, Signer, SigningKey};
pub use model::{
    Authority, Capsule, CapsuleType, CapsuleTypeError, Context, DecisionOption, Execution,
    ModelError, Outcome, Reasoning, Text, ToolCall, Trigger,
};
pub use time::{Timestamp, TimestampError};
