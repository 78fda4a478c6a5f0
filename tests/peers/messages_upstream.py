"""The half of the scripted provider that speaks Anthropic's Messages: `/v1/messages` and `/v1/messages/count_tokens`.

What it does depends on the model's name: `claude-echo` repeats the last text of the user, `claude-tools` asks for a tool,
`claude-thinking` thinks first, `claude-cut` hangs up in the middle, `claude-status-N` fails with that status,
`claude-overloaded` fails inside a stream that has begun. `claude-agent` uses the tool that a text of the user asks for
(`READ file`, `RUN command`) and then repeats the tool's result; `claude-long` answers with `LENGTH` pieces.
"""

import json
import re

SIGNATURE = "c2lnbmVkIGJ5IHRoZSBwcm92aWRlcg=="
# Pieces of a long answer, each an event of its own.
LENGTH = 20_000
INPUT = {"city": "Pune", "days": 2}


def last_text(body):
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content)


def texts(content):
    """Every text of a turn, results of tools included."""
    if isinstance(content, str):
        return [content]
    found = []
    for block in content or []:
        found += [block["text"]] if block.get("type") == "text" else texts(block.get("content"))
    return found


def agent(body):
    """What an agent's model does: the tool that the user asks for, then its result."""
    turns = [turn for turn in body["messages"] if turn["role"] in ("user", "assistant")]
    last = turns[-1]["content"]
    results = [block for block in last if isinstance(block, dict) and block.get("type") == "tool_result"]
    if results:
        return [{"type": "text", "text": "it says: " + "".join(texts(results[-1].get("content")))}]
    asked = [found for text in texts(last) if (found := re.search(r"(READ|RUN) (.+)", text))]
    names = {tool["name"] for tool in body.get("tools", [])}
    if asked and "Read" in names:
        return [{"type": "tool_use", "id": "toolu_a", "name": "Read", "input": {"file_path": asked[-1].group(2)}}]
    if asked and "exec_command" in names:
        return [{"type": "tool_use", "id": "toolu_a", "name": "exec_command", "input": {"cmd": asked[-1].group(2)}}]
    return [{"type": "text", "text": texts(last)[-1]}]


def blocks(model, text):
    if model == "claude-thinking":
        return [{"type": "thinking", "thinking": "let me see", "signature": SIGNATURE}, {"type": "text", "text": text}]
    if model == "claude-tools":
        return [{"type": "text", "text": "I look"}, {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": INPUT}]
    if model == "claude-long":
        return [{"type": "text", "text": "abcd" * LENGTH}]
    return [{"type": "text", "text": text}]


def usage(text, output):
    return {"input_tokens": len(text.split()), "cache_creation_input_tokens": 4, "cache_read_input_tokens": 6,
            "output_tokens": output}


def fail(handler, status, kind, message):
    handler.reply(status, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"},
                  [("retry-after", "7")])


def answer(handler, request):
    body, model = request.body, request.body["model"]
    if request.path.endswith("/count_tokens"):
        return handler.reply(200, {"input_tokens": 17})
    if model.startswith("claude-status-"):
        status = int(model.removeprefix("claude-status-"))
        kind = {429: "rate_limit_error", 529: "overloaded_error", 400: "invalid_request_error"}.get(status, "api_error")
        return fail(handler, status, kind, "told to fail")
    text = last_text(body)
    content = agent(body) if model == "claude-agent" else blocks(model, text)
    stop = "tool_use" if content[-1]["type"] == "tool_use" else "end_turn"
    head = {"id": "msg_up", "type": "message", "role": "assistant", "model": model + "-2025"}
    if not body.get("stream"):
        return handler.reply(200, {**head, "content": content, "stop_reason": stop, "stop_sequence": None,
                                   "usage": usage(text, 3)})
    return stream(handler, request, head, content, stop, text)


def pieces(block):
    """The block as it starts, and its deltas."""
    if block["type"] == "text":
        text = block["text"]
        deltas = [{"type": "text_delta", "text": text[at:at + 4]} for at in range(0, len(text), 4)]
        return {"type": "text", "text": ""}, deltas
    if block["type"] == "thinking":
        text = block["thinking"]
        deltas = [{"type": "thinking_delta", "thinking": text[at:at + 4]} for at in range(0, len(text), 4)]
        return ({"type": "thinking", "thinking": "", "signature": ""},
                [*deltas, {"type": "signature_delta", "signature": block["signature"]}])
    text = json.dumps(block["input"])
    deltas = [{"type": "input_json_delta", "partial_json": text[at:at + 5]} for at in range(0, len(text), 5)]
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": ""}, *deltas]


def stream(handler, request, head, content, stop, text):
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream; charset=utf-8")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()

    def event(kind, **fields):
        data = json.dumps({"type": kind, **fields})
        handler.chunk(f"event: {kind}\ndata: {data}\n\n".encode())

    try:
        event("message_start", message={**head, "content": [], "stop_reason": None, "stop_sequence": None,
                                        "usage": usage(text, 1)})
        event("ping")
        for index, block in enumerate(content):
            start, deltas = pieces(block)
            event("content_block_start", index=index, content_block=start)
            for at, delta in enumerate(deltas):
                if at == 1 and head["model"].startswith("claude-cut"):
                    handler.close_connection = True
                    handler.connection.close()
                    return
                if at == 1 and head["model"].startswith("claude-overloaded"):
                    event("error", error={"type": "overloaded_error", "message": "Overloaded"})
                    handler.chunk(b"")
                    return
                event("content_block_delta", index=index, delta=delta)
            event("content_block_stop", index=index)
        event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 3})
        event("message_stop")
        handler.chunk(b"")
    except (BrokenPipeError, ConnectionResetError):
        request.gone.set()
