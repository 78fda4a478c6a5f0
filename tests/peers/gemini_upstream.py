"""The half of the scripted provider that speaks Gemini's generateContent, as strict as the real one where agents meet it: turns
take turns, results follow the calls that they answer, a call comes back with the signature that it was made with, and
parameters of functions are written in the part of JSON Schema that Gemini reads.

`gemini-echo` repeats the last text of the user; `gemini-agent` uses the tool that a text of the user asks for (`READ file`,
`RUN command`) and then repeats the tool's result.
"""

import json
import re

SIGNATURE = "c2lnbmVkIGJ5IGdlbWluaQ=="
# What a schema may hold; anything else is a 400.
SCHEMA = {"type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties", "required",
          "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf", "propertyOrdering",
          "default", "items", "minimum", "maximum"}
MEMBERS = {"contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig", "cachedContent"}
CONFIG = {"temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "thinkingConfig", "candidateCount", "seed",
          "responseMimeType", "responseSchema", "presencePenalty", "frequencyPenalty"}


def wrong_schema(schema, path):
    """Where a schema leaves what Gemini reads."""
    if not isinstance(schema, dict):
        return f"{path} is no schema"
    for name in schema:
        if name not in SCHEMA:
            return f'Unknown name "{name}" at \'{path}\''
    children = list(schema.get("properties", {}).items())
    children += [("items", schema["items"])] if "items" in schema else []
    children += [(f"anyOf[{at}]", one) for at, one in enumerate(schema.get("anyOf", []))]
    return next((found for name, child in children if (found := wrong_schema(child, f"{path}.{name}"))), None)


def wrong(body):
    """What the real one would refuse; nothing when the request is right."""
    for name in body:
        if name not in MEMBERS:
            return f'Unknown name "{name}"'
    for name in body.get("generationConfig", {}):
        if name not in CONFIG:
            return f'Unknown name "{name}" at \'generation_config\''
    calls = []
    for at, turn in enumerate(body["contents"]):
        if turn["role"] != ("user", "model")[at % 2]:
            return f"contents[{at}]: turns must alternate, beginning with the user"
        if not turn["parts"]:
            return f"contents[{at}]: no parts"
        results = [part["functionResponse"]["name"] for part in turn["parts"] if "functionResponse" in part]
        if turn["role"] == "user" and (calls or results) and results != calls:
            return f"contents[{at}]: results {results} of calls {calls}"
        made = [part for part in turn["parts"] if "functionCall" in part]
        calls = [part["functionCall"]["name"] for part in made]
        if made and made[0].get("thoughtSignature") != SIGNATURE:
            return f"contents[{at}]: function call is missing a thought_signature"
    for tool in body.get("tools", []):
        for function in tool.get("functionDeclarations", []):
            schema = function.get("parameters")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}", function["name"]):
                return f"Invalid function name {function['name']}"
            if schema is not None and (found := wrong_schema(schema, function["name"])):
                return found
    return None


def answer_parts(model, body):
    """What the model says."""
    last = body["contents"][-1]["parts"]
    texts = [part["text"] for part in last if "text" in part]
    if model == "gemini-agent":
        results = [part["functionResponse"]["response"] for part in last if "functionResponse" in part]
        if results:
            return [{"text": "it says: " + json.dumps(results[-1], ensure_ascii=False)}]
        asked = [found for text in texts if (found := re.search(r"(READ|RUN) (.+)", text))]
        names = {function["name"] for tool in body.get("tools", []) for function in tool.get("functionDeclarations", [])}
        call = None
        if asked and "Read" in names:
            call = {"name": "Read", "args": {"file_path": asked[-1].group(2)}}
        elif asked and "exec_command" in names:
            call = {"name": "exec_command", "args": {"cmd": asked[-1].group(2)}}
        if call:
            return [{"text": "thinking about it", "thought": True}, {"functionCall": call, "thoughtSignature": SIGNATURE}]
    return [{"text": texts[-1] if texts else ""}]


def candidate(parts, finish=None):
    one = {"content": {"role": "model", "parts": parts}, "index": 0}
    return {**one, "finishReason": finish} if finish else one


def answer(handler, request):
    body = request.body
    model, method = request.path.split("?")[0].rsplit("/", 1)[1].split(":")
    if (message := wrong(body)) is not None:
        error = {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}
        return handler.reply(400, {"error": error})
    parts = answer_parts(model, body)
    usage = {"promptTokenCount": 12, "candidatesTokenCount": 3, "totalTokenCount": 15, "thoughtsTokenCount": 0}
    whole = {"modelVersion": model + "-001", "responseId": "gem-up"}
    if method == "generateContent":
        return handler.reply(200, {**whole, "candidates": [candidate(parts, "STOP")], "usageMetadata": usage})
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()

    def event(one):
        handler.chunk(f"data: {json.dumps({**whole, 'candidates': [one], 'usageMetadata': usage})}\r\n\r\n".encode())

    try:
        for part in parts:
            text = part.get("text")
            if text is None:
                event(candidate([part]))
                continue
            for at in range(0, len(text), 4):
                event(candidate([{**part, "text": text[at:at + 4]}]))
        event(candidate([{"text": ""}], "STOP"))
        handler.chunk(b"")
    except (BrokenPipeError, ConnectionResetError):
        request.gone.set()
