//! Intents, order, sealing, commit, recovery, tree and proofs. The owner of one writer per chain.
