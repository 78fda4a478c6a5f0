//! Who may do what, for how much: identity, permissions, budgets, rates, rules. Pure.
