//! Tools, the choice among them and the wanted output format.

use super::anthropic_model::Generation;
use super::{JSON_TOOL, Job, TranslateError, anthropic_parts as parts};
use crate::scan::{Kind, Node};

/// What a chat body says about tools and formats.
pub(super) struct Wanted<'a> {
    pub(super) tools: Option<Node<'a>>,
    pub(super) functions: Option<Node<'a>>,
    pub(super) choice: Option<Node<'a>>,
    pub(super) parallel: Option<bool>,
    pub(super) format: Option<Node<'a>>,
    pub(super) effort: Option<Node<'a>>,
    pub(super) output_config: Option<Node<'a>>,
    pub(super) thinking: bool,
}

/// How the wanted output format is said.
enum Format<'a> {
    /// Not at all.
    Free,
    /// As a schema of the API.
    Schema(Node<'a>),
    /// As a tool that takes the output; the schema if there is one.
    Tool(Option<Node<'a>>),
}

/// Appends `tools`, `tool_choice` and `output_config`.
pub(super) fn write(
    wanted: &Wanted<'_>,
    job: &mut Job<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TranslateError> {
    let format = format(wanted, job)?;
    let mut count = 0_usize;
    let mut strict = false;
    let listed = wanted.tools.into_iter().flat_map(|tools| tools.items());
    let legacy = wanted.functions.into_iter().flat_map(|tools| tools.items());
    for tool in listed {
        open(out, &mut count);
        strict |= one(tool, out)?;
    }
    for function in legacy {
        open(out, &mut count);
        strict |= definition(function, None, out)?;
    }
    if let Format::Tool(schema) = &format {
        open(out, &mut count);
        json_tool(*schema, out);
        job.back.json_tool = true;
    }
    if strict {
        job.dropped.push("tools.function.strict".to_owned());
    }
    if count > 0 {
        out.push(b']');
        choice(wanted, matches!(format, Format::Tool(_)), job, out)?;
    }
    output_config(wanted, &format, out);
    Ok(())
}

fn open(out: &mut Vec<u8>, count: &mut usize) {
    let lead: &[u8] = if *count == 0 { b",\"tools\":[" } else { b"," };
    out.extend_from_slice(lead);
    *count = count.saturating_add(1);
}

/// One tool; gives whether it asked to be held to its schema.
fn one(tool: Node<'_>, out: &mut Vec<u8>) -> Result<bool, TranslateError> {
    let kind = tool.get("type").and_then(|kind| kind.as_str());
    match (kind.as_deref(), tool.get("function")) {
        (Some("function") | None, Some(function)) => {
            let mark = parts::cache_mark(tool).or_else(|| parts::cache_mark(function));
            definition(function, mark, out)
        }
        // A function without the inner object.
        (Some("function"), None) => definition(tool, parts::cache_mark(tool), out),
        // A tool of OpenAI's or of nobody's.
        (None, None) if tool.get("input_schema").is_none() => Err(unsupported(tool)),
        (Some("custom"), None) if tool.get("input_schema").is_none() => Err(unsupported(tool)),
        // A tool of the Messages API as it is.
        _ if tool.get("name").is_some() || kind.as_deref() == Some("mcp_toolset") => {
            out.extend_from_slice(tool.raw());
            Ok(false)
        }
        _ => Err(unsupported(tool)),
    }
}

fn unsupported(tool: Node<'_>) -> TranslateError {
    let place = tool.doc().path(tool.id());
    let message = format!("'{place}' is a tool that an Anthropic deployment does not have.");
    TranslateError::new(place, message)
}

fn definition(
    function: Node<'_>,
    mark: Option<Node<'_>>,
    out: &mut Vec<u8>,
) -> Result<bool, TranslateError> {
    let Some(name) = function
        .get("name")
        .filter(|name| name.kind() == Kind::String)
    else {
        return Err(unsupported(function));
    };
    out.extend_from_slice(b"{\"name\":");
    out.extend_from_slice(name.raw());
    let description = function.get("description");
    if let Some(text) = description.filter(|text| text.kind() == Kind::String) {
        out.extend_from_slice(b",\"description\":");
        out.extend_from_slice(text.raw());
    }
    out.extend_from_slice(b",\"input_schema\":");
    schema(function.get("parameters"), out);
    parts::end(out, mark);
    let strict = function.get("strict").and_then(|strict| strict.as_bool());
    Ok(strict == Some(true))
}

/// A schema of an object: the API wants its type said.
fn schema(schema: Option<Node<'_>>, out: &mut Vec<u8>) {
    match schema.filter(|schema| schema.kind() == Kind::Object) {
        None => out.extend_from_slice(b"{\"type\":\"object\",\"properties\":{}}"),
        Some(schema) if schema.get("type").is_some() => out.extend_from_slice(schema.raw()),
        Some(schema) => {
            out.extend_from_slice(b"{\"type\":\"object\"");
            if schema.entries().next().is_some() {
                out.push(b',');
            }
            out.extend_from_slice(schema.raw().get(1..).unwrap_or(b"}"));
        }
    }
}

fn json_tool(given: Option<Node<'_>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":\"");
    out.extend_from_slice(JSON_TOOL.as_bytes());
    out.extend_from_slice(b"\",\"input_schema\":");
    match given {
        Some(_) => schema(given, out),
        None => out.extend_from_slice(
            b"{\"type\":\"object\",\"additionalProperties\":true,\"properties\":{}}",
        ),
    }
    out.push(b'}');
}

fn choice(
    wanted: &Wanted<'_>,
    forced: bool,
    job: &mut Job<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TranslateError> {
    let named = |choice: Node<'_>| {
        let function = choice.get("function").unwrap_or(choice);
        function.get("name").map(|name| name.id())
    };
    let word = wanted.choice.and_then(|choice| choice.as_str());
    let mut lead: &[u8] = b"{\"type\":\"auto\"";
    let mut name = None;
    match (wanted.choice, word.as_deref()) {
        (_, Some("none")) => {
            out.extend_from_slice(b",\"tool_choice\":{\"type\":\"none\"}");
            return Ok(());
        }
        // The format's tool alone can be forced while the others wait.
        (None, _) | (_, Some("auto")) if forced && !wanted.thinking => {
            let more = wanted.tools.or(wanted.functions).is_some();
            lead = match more {
                true => b"{\"type\":\"any\"",
                false => b"{\"type\":\"tool\",\"name\":\"json_tool_call\"",
            };
        }
        (None, _) if wanted.parallel != Some(false) => return Ok(()),
        (None, _) | (_, Some("auto")) => {}
        (_, Some("required")) => lead = b"{\"type\":\"any\"",
        (Some(choice), None) => {
            name = named(choice).map(|id| choice.doc().node(id));
            lead = b"{\"type\":\"tool\",\"name\":";
            if name.is_none() {
                return job.cannot("tool_choice");
            }
        }
        _ => return job.cannot("tool_choice"),
    }
    out.extend_from_slice(b",\"tool_choice\":");
    out.extend_from_slice(lead);
    if let Some(name) = name {
        out.extend_from_slice(name.raw());
    }
    if wanted.parallel == Some(false) {
        out.extend_from_slice(b",\"disable_parallel_tool_use\":true");
    }
    out.push(b'}');
    Ok(())
}

fn format<'a>(wanted: &Wanted<'a>, job: &mut Job<'_>) -> Result<Format<'a>, TranslateError> {
    let Some(format) = wanted.format else {
        return Ok(Format::Free);
    };
    let kind = format.get("type").and_then(|kind| kind.as_str());
    match kind.as_deref() {
        Some("text") => Ok(Format::Free),
        Some("json_object") => Ok(Format::Tool(format.get("response_schema"))),
        Some("json_schema") => {
            let inner = format.get("json_schema").unwrap_or(format);
            let schema = inner
                .get("schema")
                .filter(|schema| schema.kind() == Kind::Object);
            let strict = inner.get("strict").and_then(|strict| strict.as_bool()) == Some(true);
            let native = Generation::of(job.options.model).output_format();
            Ok(match schema {
                Some(schema) if strict && native => Format::Schema(schema),
                schema => Format::Tool(schema),
            })
        }
        _ => {
            job.cannot("response_format")?;
            Ok(Format::Free)
        }
    }
}

fn output_config(wanted: &Wanted<'_>, format: &Format<'_>, out: &mut Vec<u8>) {
    let schema = match format {
        Format::Schema(schema) => Some(*schema),
        _ => None,
    };
    let own = wanted
        .output_config
        .filter(|config| config.kind() == Kind::Object);
    let mut comma = false;
    let mut member = |out: &mut Vec<u8>, name: &[u8]| {
        let lead: &[u8] = if comma { b"," } else { b",\"output_config\":{" };
        out.extend_from_slice(lead);
        out.extend_from_slice(name);
        out.push(b':');
        comma = true;
    };
    for (key, value) in own.into_iter().flat_map(|own| own.entries()) {
        let said = (key.is_str("format") && schema.is_some())
            || (key.is_str("effort") && wanted.effort.is_some());
        if !said {
            member(out, key.raw());
            out.extend_from_slice(value.raw());
        }
    }
    if let Some(effort) = wanted.effort {
        member(out, b"\"effort\"");
        let word: &[u8] = match effort.as_str().as_deref() {
            Some("minimal") => b"\"low\"",
            Some("xhigh") => b"\"max\"",
            _ => effort.raw(),
        };
        out.extend_from_slice(word);
    }
    if let Some(schema) = schema {
        member(out, b"\"format\"");
        out.extend_from_slice(b"{\"type\":\"json_schema\",\"schema\":");
        out.extend_from_slice(schema.raw());
        out.push(b'}');
    }
    if comma {
        out.push(b'}');
    }
}
