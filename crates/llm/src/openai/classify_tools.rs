//! The texts of tools, calls, schemas and formats.

use super::classify::Walk;
use crate::scan::{Kind, Node};
use crate::transcript::{OpaqueKind, Part};

impl Walk {
    pub(crate) fn calls(&mut self, calls: Node<'_>) {
        match calls.kind() {
            Kind::Array => calls.items().for_each(|call| self.tool_call(call)),
            _ => self.below(calls),
        }
    }

    fn tool_call(&mut self, call: Node<'_>) {
        if call.kind() != Kind::Object {
            return self.below(call);
        }
        for (key, value) in call.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "id" => self.identifier(value),
                "type" => self.word(value),
                "function" | "custom" => self.call(value),
                "provider_specific_fields" if value.kind() == Kind::Object => {
                    for (key, value) in value.entries() {
                        match key.is_str("thought_signature") && value.kind() == Kind::String {
                            true => self.out.push_opaque(OpaqueKind::Reasoning, value),
                            false => self.unknown(key, value),
                        }
                    }
                }
                _ => self.unknown(key, value),
            }
        }
    }

    /// Name and arguments of a call.
    pub(crate) fn call(&mut self, call: Node<'_>) {
        if call.kind() != Kind::Object {
            return self.below(call);
        }
        for (key, value) in call.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "name" => self.text(Part::ToolName, value),
                "arguments" => self.text(Part::ToolArguments, value),
                "input" => self.text(Part::ToolInput, value),
                _ => self.unknown(key, value),
            }
        }
    }

    pub(crate) fn tool(&mut self, tool: Node<'_>) {
        if tool.kind() != Kind::Object {
            return self.below(tool);
        }
        for (key, value) in tool.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" => self.word(value),
                "function" | "custom" => self.function(value),
                // A tool without the inner object.
                "name" => self.text(Part::ToolName, value),
                "description" => self.text(Part::ToolDescription, value),
                "parameters" | "input_schema" => self.schema(value),
                _ => self.unknown(key, value),
            }
        }
    }

    pub(crate) fn function(&mut self, function: Node<'_>) {
        if function.kind() != Kind::Object {
            return self.below(function);
        }
        for (key, value) in function.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "name" => self.text(Part::ToolName, value),
                "description" => self.text(Part::ToolDescription, value),
                "parameters" => self.schema(value),
                _ => self.unknown(key, value),
            }
        }
    }

    /// `tool_choice` and the older `function_call`.
    pub(crate) fn choice(&mut self, choice: Node<'_>) {
        match choice.kind() {
            Kind::Object => {
                for (key, value) in choice.entries() {
                    let name = key.as_str().unwrap_or_default();
                    match &*name {
                        "type" => self.word(value),
                        "name" => self.text(Part::ToolName, value),
                        "function" | "custom" => self.call(value),
                        _ => self.unknown(key, value),
                    }
                }
            }
            _ => self.word(choice),
        }
    }

    pub(crate) fn response_format(&mut self, format: Node<'_>) {
        for (key, value) in format.entries() {
            if key.is_str("type") {
                self.word(value);
            } else if key.is_str("json_schema") && value.kind() == Kind::Object {
                for (key, value) in value.entries() {
                    let name = key.as_str().unwrap_or_default();
                    match &*name {
                        "name" => self.text(Part::Name, value),
                        "schema" => self.schema(value),
                        "description" => self.text(Part::ToolDescription, value),
                        _ => self.unknown(key, value),
                    }
                }
            } else {
                self.unknown(key, value);
            }
        }
    }

    pub(crate) fn prediction(&mut self, prediction: Node<'_>) {
        if prediction.kind() != Kind::Object {
            return self.below(prediction);
        }
        for (key, value) in prediction.entries() {
            if key.is_str("type") {
                self.word(value);
            } else if key.is_str("content") && value.kind() == Kind::Array {
                for part in value.items() {
                    match part.kind() {
                        Kind::Object => self.part(part, Part::Prediction),
                        _ => self.text(Part::Prediction, part),
                    }
                }
            } else if key.is_str("content") {
                self.text(Part::Prediction, value);
            } else {
                self.unknown(key, value);
            }
        }
    }
}
