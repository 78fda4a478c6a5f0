//! Provider wire formats, streams, transcript, edits, usage and prices. Pure.
