"""A LiteLLM callback that writes one sealed, hash-chained record for every call and loses none.

    import litellm
    from sealgate_litellm import CapsuleLogger

    litellm.callbacks = [CapsuleLogger()]

Records follow the Capsule Protocol 1.0. By default they go to the SQLite file and are signed with the key of the
reference package ``qp-capsule``, so that its tool verifies and continues them.
"""

from ._capsules import Capsules, CapsuleType
from ._logger import CapsuleLogger
from ._native import CapsuleError, __version__

__all__ = ["CapsuleError", "CapsuleLogger", "CapsuleType", "Capsules", "__version__"]
