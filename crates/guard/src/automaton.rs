//! An Aho-Corasick automaton over folded UTF-8 that knows how deep it is.
//!
//! The depth of a state is the length of the longest suffix read so far that could still
//! become a match: what a stream has to hold back. That is why this is not a library:
//! those that search fast do not tell their depth.

use crate::Action;
use std::collections::VecDeque;

/// No rule.
const NONE: u32 = u32::MAX;

/// State of the automaton.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State(u32);

impl State {
    /// Nothing read could become a match.
    pub(crate) fn is_root(self) -> bool {
        self.0 == 0
    }
}

/// A rule that ends at a state and the length of its folded form in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) rule: u32,
    pub(crate) length: u32,
}

#[derive(Debug, Clone)]
struct Node {
    edges: Vec<(u8, u32)>,
    fail: u32,
    depth: u32,
    /// The first blocking rule that ends here.
    block: Hit,
    /// The longest masking rule that ends here.
    mask: Hit,
    /// The rule blamed when a candidate in this state outgrows the window.
    candidate: (Action, u32),
}

const NO_HIT: Hit = Hit {
    rule: NONE,
    length: 0,
};

impl Node {
    fn new(depth: u32) -> Node {
        let (block, mask) = (NO_HIT, NO_HIT);
        Node {
            edges: Vec::new(),
            fail: 0,
            depth,
            block,
            mask,
            candidate: (Action::Mask, NONE),
        }
    }

    fn edge(&self, byte: u8) -> Option<u32> {
        let found = self.edges.iter().find(|(label, _)| *label == byte);
        found.map(|(_, target)| *target)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Automaton {
    nodes: Vec<Node>,
    root: [u32; 256],
}

impl Automaton {
    /// Builds from folded, non-empty patterns; the place in the list is the rule.
    pub(crate) fn new(patterns: &[(String, Action)]) -> Automaton {
        let mut built = Automaton {
            nodes: vec![Node::new(0)],
            root: [0; 256],
        };
        for (rule, (pattern, action)) in patterns.iter().enumerate() {
            built.insert(pattern.as_bytes(), rule as u32, *action);
        }
        built.link();
        built
    }

    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    fn insert(&mut self, pattern: &[u8], rule: u32, action: Action) {
        let mut at = 0_u32;
        for (depth, &byte) in (1_u32..).zip(pattern) {
            at = match self.node(at).and_then(|node| node.edge(byte)) {
                Some(next) => next,
                None => {
                    let next = self.nodes.len() as u32;
                    self.nodes.push(Node::new(depth));
                    if let Some(node) = self.nodes.get_mut(at as usize) {
                        node.edges.push((byte, next));
                    }
                    next
                }
            };
            if let Some(node) = self.nodes.get_mut(at as usize) {
                let (known, first) = node.candidate;
                if first == NONE || action > known {
                    node.candidate = (action, rule);
                }
            }
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            let hit = Hit {
                rule,
                length: pattern.len() as u32,
            };
            let slot = match action {
                Action::Block => &mut node.block,
                Action::Mask | Action::Alert => &mut node.mask,
            };
            if slot.rule == NONE {
                *slot = hit;
            }
        }
    }

    /// Fail links in breadth-first order; hits are inherited along them.
    fn link(&mut self) {
        let first = self
            .node(0)
            .map(|root| root.edges.clone())
            .unwrap_or_default();
        for &(byte, target) in &first {
            if let Some(slot) = self.root.get_mut(usize::from(byte)) {
                *slot = target;
            }
        }
        let mut queue: VecDeque<u32> = first.iter().map(|(_, target)| *target).collect();
        while let Some(at) = queue.pop_front() {
            let Some(node) = self.node(at) else { continue };
            let (fail, edges) = (node.fail, node.edges.clone());
            let (block, mask) = self
                .node(fail)
                .map_or((NO_HIT, NO_HIT), |f| (f.block, f.mask));
            if let Some(node) = self.nodes.get_mut(at as usize) {
                if block.rule < node.block.rule {
                    node.block = block;
                }
                if node.mask.rule == NONE {
                    node.mask = mask;
                }
            }
            for (byte, target) in edges {
                let fail = self.next(State(fail), byte);
                if let Some(child) = self.nodes.get_mut(target as usize) {
                    child.fail = fail.0;
                }
                queue.push_back(target);
            }
        }
    }

    /// The state after one more byte. Amortised constant time.
    pub(crate) fn next(&self, state: State, byte: u8) -> State {
        let mut at = state.0;
        while at != 0 {
            let Some(node) = self.node(at) else { break };
            if let Some(next) = node.edge(byte) {
                return State(next);
            }
            at = node.fail;
        }
        State(self.root.get(usize::from(byte)).copied().unwrap_or(0))
    }

    /// Length in bytes of the longest suffix that could still become a match.
    pub(crate) fn depth(&self, state: State) -> u32 {
        self.node(state.0).map_or(0, |node| node.depth)
    }

    /// The blocking rule that ends here: the one configured first.
    pub(crate) fn block(&self, state: State) -> Option<Hit> {
        let hit = self.node(state.0)?.block;
        (hit.rule != NONE).then_some(hit)
    }

    /// The longest masking rule that ends here.
    pub(crate) fn mask(&self, state: State) -> Option<Hit> {
        let hit = self.node(state.0)?.mask;
        (hit.rule != NONE).then_some(hit)
    }

    /// Who is blamed when a candidate in this state outgrows the window.
    pub(crate) fn candidate(&self, state: State) -> Option<(Action, u32)> {
        let candidate = self.node(state.0)?.candidate;
        (candidate.1 != NONE).then_some(candidate)
    }
}
