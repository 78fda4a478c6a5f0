//! HTTP both ways: relay, hooks and configuration. The only hyper.
