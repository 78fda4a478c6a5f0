"""A LiteLLM callback that seals one capsule per answered call; the lock keeps the chain free of conflicts."""
import asyncio

from litellm.integrations.custom_logger import CustomLogger
from qp_capsule import Capsule, Capsules, CapsuleType


class SealEveryCall(CustomLogger):
    def __init__(self):
        super().__init__()
        self.capsules, self.lock = Capsules(), asyncio.Lock()

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        usage, text = response_obj.usage, response_obj.choices[0].message.content
        tokens = {"tokens_in": usage.prompt_tokens, "tokens_out": usage.completion_tokens}
        capsule = Capsule.create(
            CapsuleType.CHAT, trigger={"source": "litellm", "request": str(kwargs["messages"][-1]["content"])},
            reasoning={"model": kwargs["model"]}, outcome={"status": "success", "result": text, "metrics": tokens})
        async with self.lock:
            await self.capsules.chain.seal_and_store(capsule, seal=self.capsules.seal)


seal_every_call = SealEveryCall()
