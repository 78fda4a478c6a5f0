"""A provider for tests: speaks OpenAI's wire on loopback and does what the model name says.

Every request is kept as it came, so that a test can compare what was sent with what was checked. Names ending in a
number are options of a behaviour, see `Handler.chat`.
"""

import base64
import itertools
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gemini_upstream
import messages_upstream
import responses_upstream

CREATED = 1_700_000_000
KEY = "sk-upstream-canary-7c1f0c7d52f04f8e9a5b"


def last_user_text(body):
    for message in reversed(body.get("messages", [])):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            return "".join(part.get("text", "") for part in content or [])
    return ""


def usage(prompt, answer):
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


class Request:
    def __init__(self, path, headers, raw):
        self.path = path
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.raw = raw
        self.body = json.loads(raw) if raw else None
        self.gone = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def received(self):
        raw = self.rfile.read(int(self.headers.get("content-length", "0")))
        request = Request(self.path, self.headers, raw)
        with self.server.lock:
            self.server.requests.append(request)
        return request

    def do_GET(self):
        request = self.received()
        if self.headers.get("authorization") != f"Bearer {KEY}":
            return self.fail(401, "Incorrect API key provided", "invalid_request_error", "invalid_api_key")
        return responses_upstream.stored(self, request)

    do_DELETE = do_GET

    def do_POST(self):
        request = self.received()
        if ":generateContent" in self.path or ":streamGenerateContent" in self.path:
            if self.headers.get("x-goog-api-key") != KEY or KEY in self.path:
                return self.reply(401, {"error": {"code": 401, "message": "no key", "status": "UNAUTHENTICATED"}})
            return gemini_upstream.answer(self, request)
        if "/v1/messages" in self.path:
            if self.headers.get("x-api-key") != KEY or not self.headers.get("anthropic-version"):
                return messages_upstream.fail(self, 401, "authentication_error", "invalid x-api-key")
            return messages_upstream.answer(self, request)
        if self.headers.get("authorization") != f"Bearer {KEY}":
            return self.fail(401, "Incorrect API key provided", "invalid_request_error", "invalid_api_key")
        if self.path.endswith("/embeddings"):
            return self.embeddings(request.body)
        if self.path.endswith("/chat/completions"):
            return self.chat(request)
        if self.path.endswith("/responses"):
            return responses_upstream.create(self, request)
        if self.path.endswith("/moderations"):
            return self.reply(200, {"id": "modr-up", "model": request.body["model"],
                                    "results": [{"flagged": False, "categories": {}, "category_scores": {}}]})
        if self.path.endswith("/completions"):
            return self.completion(request.body)
        return self.fail(404, "no such path", "invalid_request_error", None)

    # answers

    def reply(self, status, body, headers=()):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def fail(self, status, message, kind, code, headers=()):
        self.reply(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, headers)

    def embeddings(self, body):
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = []
        for index, text in enumerate(inputs):
            vector = [float(len(text)), 0.5, -1.25]
            packed = base64.b64encode(struct.pack("<3f", *vector)).decode()
            data.append({"object": "embedding", "index": index,
                         "embedding": packed if body.get("encoding_format") == "base64" else vector})
        count = sum(len(text.split()) for text in inputs)
        self.reply(200, {"object": "list", "data": data, "model": body["model"],
                         "usage": {"prompt_tokens": count, "total_tokens": count}})

    def completion(self, body):
        self.reply(200, {"id": "cmpl-up", "object": "text_completion", "created": CREATED, "model": body["model"],
                         "choices": [{"index": 0, "text": body["prompt"], "finish_reason": "stop", "logprobs": None}],
                         "usage": usage(len(body["prompt"].split()), 3)})

    def chat(self, request):
        body, model = request.body, request.body["model"]
        if model.startswith("status-"):
            status = int(model.removeprefix("status-"))
            headers = [("retry-after", "7"), ("set-cookie", "a=b"), ("x-internal", KEY)]
            message, code = f"told to fail; your key is {KEY}", None
            if "too long" in last_user_text(body):
                message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
                code = "context_length_exceeded"
            return self.fail(status, message, "some_error", code, headers)
        if model == "not-json":
            return self.reply(200, b"<html>surprise</html>")
        if body.get("stream"):
            return self.stream(request)
        text = last_user_text(body)
        choices = []
        for index in range(body.get("n") or 1):
            message = {"role": "assistant", "content": f"{text}" if index == 0 else f"{text} ({index})"}
            finish = "stop"
            if model == "tools":
                message = {"role": "assistant", "content": None, "tool_calls": [self.tool_call()]}
                finish = "tool_calls"
            choices.append({"index": index, "message": message, "finish_reason": finish, "logprobs": None})
        self.reply(200, {"id": "chatcmpl-up", "object": "chat.completion", "created": CREATED, "model": model + "-2024",
                         "choices": choices, "usage": usage(len(text.split()), 3), "system_fingerprint": "fp"},
                   [("set-cookie", "a=b"), ("x-internal", "host-17")])

    def tool_call(self):
        return {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Pune","days":2}'}}

    def stream(self, request):
        body, model = request.body, request.body["model"]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        text = last_user_text(body)

        def event(choice, **more):
            choices = [] if choice is None else [choice]
            chunk = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": CREATED,
                     "model": model + "-2024", "choices": choices, **more}
            self.chunk(b"data: " + json.dumps(chunk).encode() + b"\n\n")

        def delta(index, finish=None, **fields):
            return {"index": index, "delta": fields, "finish_reason": finish}

        try:
            count = body.get("n") or 1
            for index in range(count):
                event(delta(index, role="assistant", content=""))
            if model == "tools":
                call = self.tool_call()
                arguments = call["function"]["arguments"]
                head = {"index": 0, "id": call["id"], "type": "function", "function": {"name": "weather", "arguments": ""}}
                event(delta(0, tool_calls=[head]))
                for piece in arguments:
                    event(delta(0, tool_calls=[{"index": 0, "function": {"arguments": piece}}]))
                event(delta(0, finish="tool_calls"))
            else:
                step = 1 if model == "letters" else 4
                for start in range(0, len(text), step):
                    for index in range(count):
                        event(delta(index, content=text[start:start + step]))
                    if model == "endless" and start == 0:
                        self.endless(request, event, delta)
                        return
                    if model == "cut" and start > 0:
                        self.close_connection = True
                        self.connection.close()
                        return
                for index in range(count):
                    event(delta(index, finish="stop"))
            if (body.get("stream_options") or {}).get("include_usage"):
                event(None, usage=usage(len(text.split()), 3))
            self.chunk(b"data: [DONE]\n\n")
            self.chunk(b"")
        except (BrokenPipeError, ConnectionResetError):
            request.gone.set()

    def endless(self, request, event, delta):
        """Goes on until the gateway hangs up, at most a minute; the pace is set by the server's stop event."""
        for _ in range(600):
            if self.server.stop.wait(0.1):
                return
            event(delta(0, content="."))

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


class Upstream(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.requests = []
        # Responses that were asked to be kept, by id.
        self.kept = {}
        self.numbers = itertools.count(1)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        # A connection that the other side closed is part of the tests, not an error of this process.
        pass

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def close(self):
        self.stop.set()
        self.shutdown()
        self.server_close()

    def number(self):
        return next(self.numbers)

    def since(self, mark):
        with self.lock:
            return self.requests[mark:]

    def mark(self):
        with self.lock:
            return len(self.requests)
