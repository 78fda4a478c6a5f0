//! Automation: tidy checks.
