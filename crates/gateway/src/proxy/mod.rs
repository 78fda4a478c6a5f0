//! A governed call, stage by stage. [`pipeline`] is the order; each other module is one stage or what stages share.

pub(crate) mod admit;
pub(crate) mod answer;
pub(crate) mod authenticate;
pub(crate) mod call;
pub(crate) mod canonical;
pub(crate) mod channels;
pub(crate) mod check;
pub(crate) mod child;
pub(crate) mod coverage;
pub(crate) mod events;
pub(crate) mod facts;
pub(crate) mod headers;
pub(crate) mod held;
pub(crate) mod inspect;
pub(crate) mod open;
pub(crate) mod pipeline;
pub(crate) mod price;
pub(crate) mod rates;
pub(crate) mod record;
pub(crate) mod recover;
pub(crate) mod refusals;
pub(crate) mod reserve;
pub(crate) mod settle;
pub(crate) mod staged;
pub(crate) mod stored;
pub(crate) mod stream;
