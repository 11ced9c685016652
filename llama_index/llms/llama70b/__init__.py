"""`Llama70B` by the name under which LlamaIndex's integrations are looked for; the package is `llamaindex_llama70b`."""

from llamaindex_llama70b import Llama70B

__all__ = ["Llama70B"]
