"""What applications do: each function makes calls through LiteLLM and returns how many.

Run as `python scenarios.py NAME` in a process of its own; the last line of its output is the number.
"""

import asyncio
import concurrent.futures
import multiprocessing
import os
import sys
import threading

import litellm

from sealgate_litellm import CapsuleError, CapsuleLogger, Capsules, CapsuleType

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def register(**settings):
    # LiteLLM keeps every callback that it has once taken over: scenarios that follow each other share one.
    if not settings and litellm.callbacks:
        return litellm.callbacks[0]
    if "SEALGATE_TEST_POSTGRES" in os.environ:
        settings.setdefault("capsules", Capsules(os.environ["SEALGATE_TEST_POSTGRES"]))
    logger = CapsuleLogger(**settings)
    litellm.callbacks = [logger]
    return logger


def ask(number=0, mock_response="Paris", **more):
    messages = [{"role": "user", "content": f"question {number}"}]
    return litellm.completion(model="gpt-4o", messages=messages, mock_response=mock_response, **more)


async def aask(number=0, mock_response="Paris", **more):
    messages = [{"role": "user", "content": f"question {number}"}]
    return await litellm.acompletion(model="gpt-4o", messages=messages, mock_response=mock_response, **more)


async def many(count, first=0):
    await asyncio.gather(*(aask(first + number) for number in range(count)))


def sync_calls():
    register()
    for number in range(50):
        ask(number)
    return 50


def async_100():
    register()
    asyncio.run(many(100))
    return 100


def async_1000():
    register()
    asyncio.run(many(1000))
    return 1000


def async_with_flush():
    logger = register()

    async def work():
        await many(50)
        assert await logger.aflush()
        assert logger.stats()["written"] == 50, logger.stats()

    asyncio.run(work())
    return 50


def threads():
    register()
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(ask, range(100)))
    return 100


def threads_and_loops():
    register()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        work = [pool.submit(ask, number) for number in range(40)]
        work += [pool.submit(asyncio.run, many(20, 100 * number)) for number in range(4)]
        for number in range(10):
            ask(number)
        asyncio.run(many(20))
        for done in work:
            done.result()
    return 40 + 4 * 20 + 10 + 20


def events_that_litellm_loses():
    """As when loops of several threads take LiteLLM's queue from each other: events are put where nobody looks, or not at
    all."""
    logger = register()
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER as worker

    worker.enqueue = lambda coroutine: None
    asyncio.run(many(30))
    assert logger.flush()
    assert logger.stats()["written"] == 30, logger.stats()

    def fail(async_coroutine):
        raise RuntimeError("dictionary changed size during iteration")

    async def flushed():
        worker.ensure_initialized_and_enqueue = fail
        await many(20, 30)
        assert await logger.aflush()
        assert logger.stats()["written"] == 50, logger.stats()
        del worker.ensure_initialized_and_enqueue
        await many(20, 50)

    asyncio.run(flushed())
    # The next loop finds what the one before left.
    asyncio.run(asyncio.wait_for(_until_written(logger, 70), 60))
    # The end of the process finds these.
    asyncio.run(many(250, 70))
    return 30 + 20 + 20 + 1 + 250


async def _until_written(logger, count):
    await aask(1000)
    while logger.stats()["written"] < count:
        await asyncio.sleep(0.01)


def a_slow_neighbour():
    """Another callback takes longer than the loop lives, and longer than LiteLLM waits for it."""
    from litellm.integrations.custom_logger import CustomLogger
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER as worker

    class Slow(CustomLogger):
        async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
            slow.append(kwargs)
            await asyncio.sleep(3600)

        async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
            raise asyncio.CancelledError

    slow = []
    logger = register()
    litellm.callbacks = [Slow(), logger]

    async def begun(count):
        async for _ in await aask(0, stream=True):
            pass
        await many(count - 1)
        while len(slow) < count:
            await asyncio.sleep(0.01)

    asyncio.run(begun(20))
    worker.timeout = 0.2
    asyncio.run(asyncio.wait_for(_slowly(logger), 120))
    # Cancelled within the call itself, which ends the call too.
    try:
        asyncio.run(aask(mock_response=Exception("provider is down")))
    except asyncio.CancelledError:
        pass
    return 26


async def _slowly(logger):
    await many(5, 20)
    while logger.stats()["written"] < 25:
        await asyncio.sleep(0.01)


def reported_by_two_threads():
    """A text completion is a completion inside, and LiteLLM gives both to its pool as one call."""
    register()
    from litellm.litellm_core_utils.litellm_logging import Logging

    asked, both = [], threading.Event()
    should_run = Logging.should_run_logging

    def slowly(call, event_type, stream=False):
        answer = should_run(call, event_type, stream)
        if event_type == "sync_success":
            asked.append(event_type)
            if len(asked) % 2 == 0:
                both.set()
            else:
                both.clear()
                both.wait(0.5)
        return answer

    Logging.should_run_logging = slowly
    for number in range(4):
        litellm.text_completion(model="gpt-3.5-turbo-instruct", prompt=f"Say {number}", mock_response="hi")
    return 4


def _child(count):
    for number in range(count):
        ask(number)


def _child_async(count):
    asyncio.run(many(count))


def processes():
    """Four of them, started afresh, on one file that does not exist yet."""
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_fresh, args=(25,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0, child.exitcode
    return 100


def _fresh(count):
    register()
    _child(count - 10)
    _child_async(10)


def fork_after_use():
    """Children of a process that records already, made in each way; it goes on recording meanwhile."""
    register()
    for number in range(10):
        ask(number)
    asyncio.run(many(10))
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(count,)) for work, count in ((_child, 7), (_child, 1), (_child_async, 8))]
    for child in children:
        child.start()
        ask()
    pid = os.fork()
    if pid == 0:
        ask()
        sys.exit(0)
    ask()
    for child in children:
        child.join()
        assert child.exitcode == 0, child.exitcode
    assert os.waitpid(pid, 0)[1] == 0
    return 20 + 3 + 16 + 1 + 1


def fork_under_load():
    """Forks while other threads record. Straight through the hooks: LiteLLM's own locks do not survive such forks."""
    logger = register()
    stop = threading.Event()
    made = []

    def event():
        logger.log_success_event({"model": "m", "messages": QUESTION, "call_type": "completion"}, None, 1.0, 2.0)

    def load():
        count = 0
        while not stop.is_set() and count < 20_000:
            event()
            count += 1
        made.append(count)

    loads = [threading.Thread(target=load) for _ in range(3)]
    for thread in loads:
        thread.start()
    children = []
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            for _ in range(3):
                event()
            sys.exit(0)
        children.append(pid)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    stop.set()
    for thread in loads:
        thread.join()
    return sum(made) + 15


def streams_sync():
    register()
    for number in range(5):
        text = "".join(chunk.choices[0].delta.content or "" for chunk in ask(number, stream=True))
        assert text == "Paris", text
    return 5


def streams_async():
    register()

    async def stream(number):
        return [chunk async for chunk in await aask(number, stream=True)]

    async def work():
        await asyncio.gather(*(stream(number) for number in range(10)))

    asyncio.run(work())
    return 10


def exceptions():
    """Every exception class of LiteLLM, from synchronous and from asynchronous calls."""
    register()
    import inspect

    count = 0
    for name, kind in sorted(vars(litellm.exceptions).items()):
        if not (inspect.isclass(kind) and issubclass(kind, Exception)) or kind.__module__ != "litellm.exceptions":
            continue
        error = _made(kind, f"failed as {name}")
        if error is None:
            continue
        for call in (lambda: ask(mock_response=error), lambda: asyncio.run(aask(mock_response=error))):
            try:
                call()
            except Exception as raised:
                assert f"failed as {name}" in str(raised), (name, raised)
            else:
                raise AssertionError(f"{name} was not raised")
            count += 1
    assert count >= 30, count
    return count


def _made(kind, message):
    import inspect

    known = {
        "message": message, "model": "gpt-4o", "llm_provider": "openai", "status_code": 500, "request_data": {},
        "original_exception": Exception("original"), "current_cost": 2.0, "max_budget": 1.0, "should_cool_down": False,
        "guardrail_name": "words", "ids": ["1"], "response": None, "deployment": "one", "num_retries": 0,
    }
    arguments = {
        name: known[name] for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if name in known and (parameter.default is inspect.Parameter.empty or name == "message")
    }
    try:
        error = kind(**arguments)
    except Exception as problem:
        print(f"{kind.__name__} cannot be made: {problem!r}", file=sys.stderr)
        return None
    if message not in str(error):
        error.args = (message,)
        if message not in str(error):
            print(f"{kind.__name__} does not show its message", file=sys.stderr)
            return None
    return error


def other_endpoints():
    register()
    litellm.embedding(model="text-embedding-3-small", input=["a", "b"], mock_response=[0.1, 0.2])
    litellm.text_completion(model="gpt-3.5-turbo-instruct", prompt="Say hi", mock_response="hi")
    litellm.completion(
        model="gpt-4o",
        messages=[{"role": "system", "content": "be brief"}, {"role": "user", "content": [
            {"type": "text", "text": "What is this? \ud83d"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}],
        mock_response="a picture")
    litellm.completion(
        model="gpt-4o", messages=QUESTION, mock_tool_calls=[
            {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}},
            {"id": "2", "type": "function", "function": {"name": "broken", "arguments": '{"city": '}}])
    return 4


def documented():
    """Every parameter of the published page."""
    register(capsules=Capsules(os.environ["QUANTUMPIPES_DATA_DIR"] + "/other.db"), agent_id="trading-bot", domain="finance",
             capsule_type=CapsuleType.AGENT, swallow_errors=True)
    ask()
    return 1


def reference_objects():
    import qp_capsule

    register(capsules=qp_capsule.Capsules(), capsule_type=qp_capsule.CapsuleType.TOOL)
    ask()
    return 1


def masked():
    register(content="masked")
    litellm.completion(
        model="gpt-4o", messages=[{"role": "user", "content": "write to jane.canary@example.com"}],
        mock_response="x" * 1990 + " jane.canary@example.com")
    return 1


def hashed():
    register(content="hash")
    litellm.completion(model="gpt-4o", messages=[{"role": "user", "content": "canary-question"}], mock_response="canary-answer")
    litellm.completion(model="gpt-4o", messages=QUESTION, mock_tool_calls=[
        {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "canary-city"}'}}])
    try:
        litellm.completion(model="gpt-4o", messages=QUESTION, mock_response=Exception("canary-error"))
    except Exception:
        pass
    return 3


def outlast():
    """Records while the store is gone: they wait, and are written when it is back."""
    import subprocess
    import time

    logger = register()
    control = os.environ["SEALGATE_TEST_RESTART"].split()
    subprocess.run([*control[:-1], "stop"], cwd="/", stdout=subprocess.DEVNULL, check=True)
    for number in range(40):
        ask(number)
    # One try at least meets a store that is gone.
    until = time.monotonic() + 20
    while not logger.stats()["failed_commits"]:
        assert time.monotonic() < until, logger.stats()
        time.sleep(0.01)
    # A restart of a stopped server starts it with the options it had.
    subprocess.run(control, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    assert logger.flush()
    return 40


def shapes():
    """Whatever the messages are, there is a record; also of events that lack everything."""
    from shapes import MESSAGES

    logger = register()
    for number, messages in enumerate(MESSAGES):
        logger.log_success_event({"model": f"shape-{number}", "messages": messages, "call_type": "completion"}, None, 1.0, 2.0)
    itself = []
    itself.append(itself)
    for event in (
        ({}, None, None, None), (None, None, None, None), ({"messages": itself}, object(), "yesterday", 5), ({"messages": object()}, [], 1.0, 0.0),
        ({"model": None, "call_type": None, "messages": [None]}, {"choices": [None]}, 1.0, 2.0),
    ):
        logger.log_success_event(*event)
        logger.log_failure_event(*event)
    return len(MESSAGES) + 10


def back_pressure():
    """A queue with room for two: hooks wait, in threads and on a loop, and every record is written."""
    from sealgate_litellm import _capsules

    _capsules.MAX_RECORDS = 2
    logger = register()
    event = {"model": "m", "messages": QUESTION, "call_type": "completion"}, None, 1.0, 2.0

    def load(_number):
        for _ in range(50):
            logger.log_success_event(*event)

    async def work():
        await asyncio.gather(*(logger.async_log_success_event(*event) for _ in range(50)))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        loads = pool.map(load, range(4))
        asyncio.run(work())
        list(loads)
    assert logger.flush()
    stats = logger.stats()
    assert stats["waits_for_room"] > 0 and stats["written"] == 250, stats
    return 250


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


def locked_file():
    """Another program holds the file: one logger raises, the other keeps its record; none is lost."""
    import subprocess

    kept = register()
    raising = CapsuleLogger(swallow_errors=False)
    event = {"model": "m", "messages": QUESTION, "call_type": "completion"}, None, 1.0, 2.0
    raising.log_success_event(*event)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, kept.capsules.target], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    kept.log_success_event(*event)
    for call in (lambda: raising.log_success_event(*event), lambda: asyncio.run(raising.async_log_failure_event(*event))):
        try:
            call()
        except CapsuleError as error:
            assert "lock" in str(error), error
        else:
            raise AssertionError("a record that is not written must raise")
    stats = kept.stats()
    assert (stats["written"], stats["waiting"], stats["failing"]) == (1, 3, True), stats
    assert stats["failed_commits"] >= 1 and "lock" in stats["last_error"], stats
    holder.stdin.close()
    assert holder.wait() == 0
    assert kept.flush()
    assert (kept.stats()["written"], kept.stats()["failing"]) == (4, False), kept.stats()
    return 4


def key_rotation():
    """A process goes on while its key is replaced, by each of the tools."""
    import subprocess

    logger = register()
    count, stop = 0, threading.Event()
    made = []

    def load():
        number = 0
        while not stop.is_set():
            logger.log_success_event({"model": "m", "messages": QUESTION, "call_type": "completion"}, None, 1.0, 2.0)
            number += 1
            stop.wait(0.002)
        made.append(number)

    thread = threading.Thread(target=load)
    thread.start()
    for tool in os.environ["SEALGATE_TEST_TOOLS"].split(":"):
        for number in range(5):
            ask(number)
        count += 5
        assert logger.flush()
        before = logger.capsules.public_key
        subprocess.run([tool, "keys", "rotate"], check=True, stdout=subprocess.DEVNULL)
        assert logger.capsules.public_key != before
    for number in range(5):
        ask(number)
    stop.set()
    thread.join()
    assert logger.flush()
    assert logger.stats()["failed_commits"] == 0, logger.stats()
    return count + 5 + made[0]


def over_tls():
    """Refused addresses say why and hold no password; the others work."""
    import json

    told = json.loads(os.environ["SEALGATE_TEST_TLS"])
    for url, words in told["refused"]:
        try:
            Capsules(url)
        except CapsuleError as error:
            assert words in str(error), (url, str(error))
            assert told["password"] not in str(error), str(error)
        else:
            raise AssertionError(url)
    logger = None
    for url in told["accepted"]:
        logger = register(capsules=Capsules(url))
    for number in range(5):
        ask(number)
    # LiteLLM keeps callbacks that it has once taken over; these heard of no call before.
    assert logger is not None
    return 5


def sigterm_sync():
    """SIGTERM to a script while its calls are being reported."""
    register()
    for number in range(30):
        ask(number)
    return _end_by_sigterm(30)


def sigterm_async():
    register()

    async def work():
        await many(200)
        _end_by_sigterm(200)
        await asyncio.sleep(60)

    asyncio.run(work())


def _end_by_sigterm(count):
    import signal
    import time

    print(count, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0 if sys._getframe(1).f_code.co_name == "work" else 60)
    return count


def raising():
    """With swallow_errors=False a hook returns when its record is durable, and raises when it cannot be written."""
    logger = register(swallow_errors=False)
    ask()
    logger.log_success_event({"model": "m", "messages": QUESTION}, None, 1.0, 2.0)
    assert logger.stats()["written"] >= 1
    asyncio.run(logger.async_log_success_event({"model": "m", "messages": QUESTION}, None, 1.0, 2.0))
    for settings in ({"capsule_type": "banana"}, {"domain": "x" * 51}, {"content": "some"}, {"capsules": object()}):
        for swallow in (True, False):
            try:
                CapsuleLogger(**settings, swallow_errors=swallow)
            except CapsuleError as error:
                print(error, file=sys.stderr)
            else:
                raise AssertionError(settings)
    return 3


if __name__ == "__main__":
    made = sum(globals()[name]() for name in sys.argv[1].split("+"))
    print(made, flush=True)
