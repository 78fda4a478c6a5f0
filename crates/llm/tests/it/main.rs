//! Tests of the wire formats through the public interface.

mod chat;
mod edit;
mod embeddings;
mod fuzz;
mod json;
mod provider;
mod scan;
mod sse;
mod stream;
mod transcript;
mod usage;
