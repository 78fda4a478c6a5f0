//! CPU time of the checks per kilobyte: `cargo run --release --example speed -- [TEXTS.jsonl]`.
//!
//! Without a file it reads texts of its own: plain chat, and text dense with personal data.

#![expect(clippy::print_stdout, reason = "a tool that prints figures")]

use std::hint::black_box;
use std::time::Instant;

use guard::{
    Action, BlockedWords, Check, InjectionCheck, InjectionSettings, Origin, PatternCheck,
    PiiSettings, SecretSettings, Word,
};

const CHAT: &str = "Thanks for getting back to me so quickly. I have read the draft twice and I like \
    where it is going, but the second part could be shorter. Could you explain how the new plan \
    differs from the old one, and what we would have to change before the end of the month? We \
    met 12 customers in March; most of them asked for the same thing. ";

const DENSE: &str = "Name: Ana, mail ana.perez@mail.example.org, phone +44 7911 123456, card 4111 1111 \
    1111 1111, IBAN GB82 WEST 1234 5698 7654 32, ssn 123-45-6789, ip 203.0.113.9, aadhaar 2341 2341 \
    2346, pan ABCPE1234F, gst 27AAPFU0939F1ZV, upi ravi.k@okaxis, ifsc SBIN0001234, plate MH 12 AB \
    1234, key ghp_16C7e42F292c6912E7710c838347Ae178B4a. ";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let checks: Vec<Box<dyn Check>> = vec![
        Box::new(PatternCheck::pii("pii", PiiSettings::default())),
        Box::new(PatternCheck::secrets("secrets", SecretSettings::default())),
        Box::new(BlockedWords::new("content", terms(10_000), None)?),
        Box::new(InjectionCheck::new(
            "injection",
            InjectionSettings::default(),
            Origin::User,
        )),
    ];
    for (kind, seed) in [("chat", CHAT), ("dense", DENSE)] {
        for size in [1_000, 32_000] {
            let text: String = seed.chars().cycle().take(size).collect();
            let mut together = 0.0;
            for check in &checks {
                let micros = measure(check.as_ref(), &text);
                println!(
                    "{kind:<6} {size:>6} bytes  {:<10} {micros:>8.2} us/KB",
                    check.name()
                );
                if check.name() != "injection" {
                    together += micros;
                }
            }
            println!("{kind:<6} {size:>6} bytes  pii + secrets + content {together:.2} us/KB");
        }
    }
    Ok(())
}

/// Words that do not occur in ordinary text.
fn terms(count: usize) -> Vec<Word> {
    let term = |number: usize| {
        let letters = "bcdfghjklmnpqrstvwz";
        let letter = |place: u32| {
            let at = number / letters.len().pow(place) % letters.len();
            letters.chars().nth(at).unwrap_or('b')
        };
        let keyword = format!("{}{}o{}{}ux", letter(0), letter(1), letter(2), letter(3));
        Word {
            keyword,
            action: Action::Mask,
            description: None,
        }
    };
    (0..count).map(term).collect()
}

/// Microseconds of CPU per 1,000 bytes: the best of some rounds, since others use the machine too.
fn measure(check: &dyn Check, text: &str) -> f64 {
    let rounds = (4_000_000 / text.len()).max(4);
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let began = Instant::now();
        black_box(check.scan(black_box(text)));
        best = best.min(began.elapsed().as_secs_f64());
    }
    best * 1e6 / (text.len() as f64 / 1000.0)
}
