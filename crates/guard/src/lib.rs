//! Detectors and maskers over text, streaming windows included. Pure.
