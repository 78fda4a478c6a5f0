//! How much: money, requests, tokens and parallel calls, counted against limits in one atomic step.
//!
//! [`Book`] holds what was used; the limits come with each call, from the entities as they are at that moment, so that a
//! changed limit holds at once. Windows are computed when they are read; nothing runs in the background.

mod account;
mod book;
mod caps;
mod exceeded;
mod span;
mod standing;

#[cfg(test)]
mod book_tests;
#[cfg(test)]
mod reference_tests;

pub use book::{Ask, Book, Crossed, Demand, Measure, Rules, TokenKind, Used};
pub use book::{Hold, Shelf, Usage};
pub use caps::{Caps, ModelCap, WindowCap};
pub use exceeded::{Dimension, Exceeded, Object, ObjectKind};
pub use span::{Calendar, Period, Span, SpanError};
pub use standing::Standing;
