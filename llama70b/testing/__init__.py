"""A vLLM to test against without one: real sockets, scripted answers, Llama 3.3's own token counts.

    from llama70b.testing import Answer, CountingServer, KEY

    server = CountingServer()
    server.say("Hello")
    ... Client(Endpoint(server.url, api_key=KEY)) ...
    assert server.prompts == [36]
    server.close()

`ScriptedServer` counts nothing and needs nothing but Python; `CountingServer` needs `pip install llama-models
tiktoken`. Never imported by the package itself.
"""

from llama70b.testing.counting import CountingServer
from llama70b.testing.scripted import KEY, MODEL, WINDOW, Answer, Raw, Request, Script, ScriptedServer, error
from llama70b.testing.tokens import TemplateError, prompt_tokens, text_tokens

__all__ = [
    "KEY",
    "MODEL",
    "WINDOW",
    "Answer",
    "CountingServer",
    "Raw",
    "Request",
    "Script",
    "ScriptedServer",
    "TemplateError",
    "error",
    "prompt_tokens",
    "text_tokens",
]
