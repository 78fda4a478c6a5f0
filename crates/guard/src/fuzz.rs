//! Fuzz bodies: plain functions over bytes that say what promise was broken.
