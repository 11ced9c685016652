"""The scripted server of `llama70b.testing`, by the name the tests know it."""

from llama70b.testing.scripted import KEY, MODEL, WINDOW, Answer, Raw, Request, ScriptedServer, error

__all__ = ["KEY", "MODEL", "WINDOW", "Answer", "Raw", "Request", "ScriptedServer", "error"]
