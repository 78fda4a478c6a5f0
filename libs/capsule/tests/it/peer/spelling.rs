//! JSON texts that spell a value in an unusual way.

use capsule::json::Value;

/// A small generator of choices, so that a spelling follows from its seed.
pub(super) struct Choices(pub(super) u64);

impl Choices {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX generator; the upper bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// The value in an unusual but exact spelling: white space, escapes, members out of order and twice.
pub(super) fn spell(value: &Value, choices: &mut Choices) -> String {
    let mut out = String::new();
    write(value, choices, &mut out);
    out
}

fn space(choices: &mut Choices, out: &mut String) {
    out.push_str(["", "", "", " ", "\n", "\t", "\r\n "][choices.below(7)]);
}

fn write(value: &Value, choices: &mut Choices, out: &mut String) {
    space(choices, out);
    match value {
        Value::String(text) => string(text, choices, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write(item, choices, out);
            }
            space(choices, out);
            out.push(']');
        }
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            if choices.below(2) == 0 {
                members.reverse();
            }
            // An earlier member of the same key, which the later one replaces.
            let doubled = members.first().map(|(key, _)| (*key, &Value::Null));
            let doubled = doubled.filter(|_| choices.below(3) == 0);
            out.push('{');
            for (at, (key, member)) in doubled.into_iter().chain(members).enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                space(choices, out);
                string(key, choices, out);
                space(choices, out);
                out.push(':');
                write(member, choices, out);
            }
            space(choices, out);
            out.push('}');
        }
        Value::Float(float) => match choices.below(3) {
            0 => out.push_str(&format!("{float:e}").replace('e', "E+").replace("E+-", "E-")),
            1 => out.push_str(&format!("{float:?}")),
            _ => out.push_str(&String::from_utf8_lossy(&capsule::canonical::to_vec(value))),
        },
        other => out.push_str(&String::from_utf8_lossy(&capsule::canonical::to_vec(other))),
    }
    space(choices, out);
}

fn string(text: &str, choices: &mut Choices, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        let must = character < ' ' || matches!(character, '"' | '\\');
        if must || choices.below(4) == 0 {
            let upper = choices.below(2) == 0;
            for unit in character.encode_utf16(&mut [0; 2]) {
                let digits = if upper {
                    format!("{unit:04X}")
                } else {
                    format!("{unit:04x}")
                };
                out.push_str("\\u");
                out.push_str(&digits);
            }
        } else if character == '/' {
            out.push_str("\\/");
        } else {
            out.push(character);
        }
    }
    out.push('"');
}
