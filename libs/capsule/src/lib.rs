//! The Capsule Protocol: build, canonicalise, seal, link and verify records.
