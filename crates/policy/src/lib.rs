//! Who may do what, for how much: identity, permissions, budgets, rates, rules. Pure.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: every
//! fact a decision needs is an argument. The crate also knows no HTTP status:
//! it says what is wrong, the gateway says which number that is.

pub mod auth;
pub mod budget;
pub mod identity;
pub mod key_text;
pub mod master_key;
pub mod money;
pub mod price;
pub mod price_table;
pub mod route;
pub mod router;
pub mod rules;
pub mod secret;
pub mod slots;

pub use auth::{AuthError, Authenticator, Caller, Credential, KeyId, Permission};
pub use budget::Exceeded;
pub use master_key::{MasterKey, MasterKeyRefusal};
pub use money::{MicroUsd, MoneyError};
pub use price::{Billed, Cost, CostSource, Price, Rate};
pub use route::{Lookup, Method, ROUTES, Route, RouteId};
pub use router::{Considered, FailureClass, Rejection, RouteError, Router, RouterBuilder, Target};
pub use secret::Secret;
pub use slots::{Slot, Slots};
