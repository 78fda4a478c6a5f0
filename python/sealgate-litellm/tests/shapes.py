"""Messages of any shape, and what a record shows of them."""

MESSAGES = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [],
    None,
    "a text",
    ["two", "texts"],
    [1, 2, 3],
    {"role": "user", "content": "not in a list"},
    [{"role": "user", "content": None}],
    [{"role": "user", "content": "\u00e9\u4e2d\U0001f600 \"quoted\" \\ \n \x7f"}, {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}],
    [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text", "text": "two"}]}],
    [{"role": "user", "content": "numbers", "cache": {"depth": 3, "on": True, "off": None, "big": 12345678901234567890}}],
]
REQUESTS = [
    "What is the capital of France?", "", "", "a text", "two\ntexts", "[3 tokens]", "", "", MESSAGES[8][0]["content"], "one\n[image_url]\ntwo", "numbers",
]
