//! Fuzz bodies: plain functions over bytes that return an error text when a promise is
//! broken. Stable tests run them over a corpus, a fuzzer over whatever it likes.
