"""The part of the scripted provider that speaks OpenAI's Responses, with answers that it keeps: create, retrieve, delete.

What it does depends on the model's name: `echo` repeats the last text of the user, `tools` calls the function `weather`,
`agent` runs the command of a text `RUN command` with the function `exec_command` and repeats its output.
"""

import json
import re

CREATED = 1_700_000_000
WEATHER = ("weather", '{"city":"Pune","days":2}')


def text_of(content):
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def last_text(body):
    given = body.get("input")
    if isinstance(given, str):
        return given
    users = [item for item in given if item.get("role") == "user"]
    return text_of(users[-1]["content"]) if users else ""


def output(body, number):
    """The items of the answer."""
    model, text = body["model"], last_text(body)
    call = WEATHER if model == "tools" else None
    if model == "agent":
        results = [item for item in body["input"] if item.get("type") == "function_call_output"]
        asked = re.search(r"RUN (.+)", text)
        if results:
            text = "it says: " + text_of(results[-1]["output"])
        elif asked:
            call = ("exec_command", json.dumps({"cmd": asked.group(1)}))
    if call:
        return [{"id": f"fc_{number}", "type": "function_call", "status": "completed", "call_id": f"call_{number}",
                 "name": call[0], "arguments": call[1]}]
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return [{"id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant", "content": [part]}]


def response(body, number, status, items):
    usage = {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 3,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 8}
    return {"id": f"resp_{number}", "object": "response", "created_at": CREATED, "status": status, "error": None,
            "incomplete_details": None, "instructions": body.get("instructions"), "max_output_tokens": None,
            "model": body["model"] + "-2026", "output": items, "parallel_tool_calls": True,
            "previous_response_id": body.get("previous_response_id"), "reasoning": {"effort": None, "summary": None},
            "store": body.get("store", True), "temperature": 1.0, "text": {"format": {"type": "text"}},
            "tool_choice": "auto", "tools": body.get("tools", []), "top_p": 1.0, "truncation": "disabled",
            "usage": usage if status == "completed" else None, "user": None, "metadata": {}}


def create(handler, request):
    body, model = request.body, request.body["model"]
    kept = handler.server.kept
    previous = body.get("previous_response_id")
    if previous and previous not in kept:
        return handler.fail(400, f"Previous response with id '{previous}' not found.", "invalid_request_error",
                            "previous_response_not_found")
    if model.startswith("status-"):
        return handler.fail(int(model.removeprefix("status-")), "told to fail", "some_error", None)
    number = handler.server.number()
    items = output(body, number)
    whole = response(body, number, "completed", items)
    if body.get("store", True):
        kept[whole["id"]] = whole
    if not body.get("stream"):
        return handler.reply(200, whole)
    return stream(handler, request, events(body, number, whole))


def events(body, number, whole):
    """The events of the answer in the order of OpenAI's API reference."""
    begun = response(body, number, "in_progress", [])
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(whole["output"]):
        at = {"item_id": item["id"], "output_index": index}
        if item["type"] == "function_call":
            yield "response.output_item.added", {"output_index": index, "item": {**item, "status": "in_progress", "arguments": ""}}
            for start in range(0, len(item["arguments"]), 5):
                yield "response.function_call_arguments.delta", {**at, "delta": item["arguments"][start:start + 5]}
            yield "response.function_call_arguments.done", {**at, "name": item["name"], "arguments": item["arguments"]}
        else:
            (part,) = item["content"]
            at["content_index"] = 0
            yield "response.output_item.added", {"output_index": index, "item": {**item, "status": "in_progress", "content": []}}
            yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
            for start in range(0, len(part["text"]), 4):
                yield "response.output_text.delta", {**at, "delta": part["text"][start:start + 4], "logprobs": []}
            yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}
            yield "response.content_part.done", {**at, "part": part}
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield "response.completed", {"response": whole}


def stream(handler, request, listed):
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream; charset=utf-8")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    try:
        for number, (kind, fields) in enumerate(listed):
            data = json.dumps({"type": kind, "sequence_number": number, **fields})
            handler.chunk(f"event: {kind}\ndata: {data}\n\n".encode())
        handler.chunk(b"")
    except (BrokenPipeError, ConnectionResetError):
        request.gone.set()


def stored(handler, request):
    """GET and DELETE of a response that was kept."""
    kept = handler.server.kept
    path, _, query = request.path.partition("?")
    identity = path.rpartition("/")[2]
    found = kept.get(identity)
    if found is None:
        return handler.fail(404, f"Response with id '{identity}' not found.", "invalid_request_error", None)
    if handler.command == "DELETE":
        del kept[identity]
        return handler.reply(200, {"id": identity, "object": "response", "deleted": True})
    if "stream=true" in query:
        return stream(handler, request, events(found, identity.removeprefix("resp_"), found))
    return handler.reply(200, found)
