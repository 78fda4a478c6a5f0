//! What the model looks at: hashed groups of characters and words.

/// Bits of a feature's number.
pub(crate) const BITS: u32 = 18;

/// Features that can be told apart.
pub(crate) const SIZE: usize = 1 << BITS;

/// Longest word whose letters are hashed into one feature.
const WORD: usize = 32;

/// Calls `each` with the number of every feature and the byte where it ends.
pub(crate) fn features(text: &str, mut each: impl FnMut(u32, usize)) {
    let mut last = [0x20_u64; 3];
    let mut word = 0_u64;
    let mut letters = 0_usize;
    let mut previous = [0_u64; 2];
    for (at, c) in text.char_indices() {
        let code = u64::from(c as u32);
        let [e, f, g] = last;
        // A rule of dashes says no more than three of them.
        if code == g && g == f && !c.is_alphanumeric() {
            continue;
        }
        each(number(mix(mix(mix(e, f), g), code), 4), at);
        last = [f, g, code];
        if c.is_alphanumeric() || c == '\'' {
            if letters < WORD {
                word = mix(word, code);
            }
            letters += 1;
        } else if letters > 0 {
            end_word(&mut word, &mut letters, &mut previous, at, &mut each);
        }
    }
    if letters > 0 {
        end_word(
            &mut word,
            &mut letters,
            &mut previous,
            text.len(),
            &mut each,
        );
    }
}

fn end_word(
    word: &mut u64,
    letters: &mut usize,
    previous: &mut [u64; 2],
    at: usize,
    each: &mut impl FnMut(u32, usize),
) {
    let [first, second] = *previous;
    each(number(*word, 11), at);
    each(number(mix(second, *word), 12), at);
    // Two words with any word between them.
    each(number(mix(mix(first, 77), *word), 14), at);
    *previous = [second, *word];
    *word = 0;
    *letters = 0;
}

fn mix(hash: u64, code: u64) -> u64 {
    (hash.rotate_left(5) ^ code).wrapping_mul(0x517c_c1b7_2722_0a95)
}

fn number(hash: u64, kind: u64) -> u32 {
    (mix(hash, kind).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)) as u32
}
