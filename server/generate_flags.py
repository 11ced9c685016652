"""List every flag and environment variable of one vLLM release, without importing it.

    pip download --no-deps vllm==0.33.0 && python -m server.generate_flags vllm-0.33.0-*.whl > server/vllm_flags.json

Importing vLLM needs torch and a GPU's worth of packages; its sources say the same. Flags are the calls of
`add_argument` in `engine/arg_utils.py` and the fields of the frontend's dataclasses, variables the keys of
`envs.environment_variables`. `server.command` emits nothing that is not in this list (`tests/server/test_command.py`).
Also takes the folder of an installed vLLM, and huggingface_hub's wheel or folder as a second argument for its
variables.
"""

import argparse
import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FRONTEND_FILES = ("entrypoints/common/cli_args.py", "entrypoints/openai/cli_args.py")
_FRONTEND_CLASSES = {"BaseFrontendArgs", "FrontendArgs"}
# What `server.phases` reads in vLLM's log; the sources must still say it.
_LOG_LINES = (
    "Starting to load model",
    "Loading safetensors checkpoint shards",
    "Model loading took",
    "torch.compile",
    "Capturing CUDA graphs",
    "Graph capturing finished",
    "KV cache size: %s tokens",
    "Starting vLLM server on",
)


class Sources:
    """The Python files of a package, in a wheel or in a folder."""

    def __init__(self, path: Path, package: str) -> None:
        self._path, self._package = path, package
        self._wheel = zipfile.ZipFile(path) if path.is_file() else None

    def read(self, name: str) -> str | None:
        """Text of `package/name`, or None where it does not exist."""
        if self._wheel is None:
            file = self._path / name
            return file.read_text(encoding="utf-8") if file.exists() else None
        try:
            return self._wheel.read(f"{self._package}/{name}").decode()
        except KeyError:
            return None

    def names(self) -> list[str]:
        """All Python files, relative to the package."""
        if self._wheel is None:
            return sorted(str(file.relative_to(self._path)) for file in self._path.rglob("*.py"))
        prefix = f"{self._package}/"
        return sorted(
            n.removeprefix(prefix) for n in self._wheel.namelist() if n.startswith(prefix) and n.endswith(".py")
        )

    def version(self) -> str:
        """The release, from the wheel's name or the installed `_version.py`."""
        if self._wheel is not None:
            return self._path.name.split("-")[1]
        found = re.search(r"version = '([^']+)'", self.read("_version.py") or "")
        return found.group(1) if found else "unknown"


def _fields(tree: ast.AST, classes: set[str] | None = None) -> Iterator[tuple[str, str, ast.expr]]:
    """Annotated fields of classes: (class, field, annotation)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and (classes is None or node.name in classes):
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    yield node.name, item.target.id, item.annotation


def _choices(annotation: ast.expr, aliases: dict[str, ast.expr]) -> list[str]:
    """String members of every Literal in an annotation, names of literal types resolved."""
    found: list[str] = []
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal":
            found += [c.value for c in ast.walk(node.slice) if isinstance(c, ast.Constant) and isinstance(c.value, str)]
        elif isinstance(node, ast.Name) and node.id in aliases and aliases[node.id] is not annotation:
            found += _choices(aliases[node.id], {k: v for k, v in aliases.items() if k != node.id})
    return sorted(set(found))


def _is_bool(annotation: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "bool" for node in ast.walk(annotation))


def _aliases(trees: list[ast.Module]) -> dict[str, ast.expr]:
    """Literal types by name: `Mode = Literal[...]` and `Mode: TypeAlias = Literal[...]`."""
    result: dict[str, ast.expr] = {}
    for tree in trees:
        for node in tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() as value):
                    result[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.Subscript() as value):
                    result[name] = value
    return result


def _config_fields(trees: list[ast.Module], aliases: dict[str, ast.expr]) -> dict[tuple[str, str], dict[str, Any]]:
    """What argparse would be told about each config field: (class, field) -> switch, choices."""
    return {
        (cls, field): {"switch": _is_bool(note), "choices": _choices(note, aliases)}
        for tree in trees
        for cls, field, note in _fields(tree)
    }


def _argument_calls(tree: ast.AST) -> Iterator[tuple[list[str], ast.Call]]:
    """Calls of `add_argument("--flag", ...)`: the flags and the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            flags = [name for name in names if name.startswith("-")]
            if flags:
                yield flags, node


def _field_of(call: ast.Call, owners: dict[str, str]) -> tuple[str, str] | None:
    """(config class, field) of `add_argument("--x", **x_kwargs["field"])`, or of a dict that unpacks it."""
    for keyword in call.keywords:
        for node in ast.walk(keyword.value) if keyword.arg is None else ():
            match node:
                case ast.Subscript(value=ast.Name(id=variable), slice=ast.Constant(value=str(field))) if (
                    variable in owners
                ):
                    return owners[variable], field
    return None


def _owners(tree: ast.AST) -> dict[str, str]:
    """Variables bound by `x_kwargs = get_kwargs(SomeConfig)`."""
    result: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=variable)], value=ast.Call(func=ast.Name(id="get_kwargs"), args=[ast.Name(id=cls)])
            ):
                result[variable] = cls
    return result


def _action(call: ast.Call) -> str:
    return " ".join(ast.unparse(k.value) for k in call.keywords if k.arg == "action")


def flags(sources: Sources) -> dict[str, dict[str, Any]]:
    """All flags of `vllm serve`.

    Args:
        sources: vLLM's files.

    Returns:
        Flag -> `switch` (takes no value; its `--no-` form is listed too) and `choices` where the type is a Literal.
    """
    engine = ast.parse(sources.read("engine/arg_utils.py") or "")
    trees = [ast.parse(sources.read(n) or "") for n in sources.names() if n.startswith("config/")]
    frontend = [ast.parse(text) for name in _FRONTEND_FILES if (text := sources.read(name))]
    strict = [ast.parse(text) for text in [sources.read("tool_parsers/tool_strict_level.py")] if text]
    aliases = _aliases([*trees, *frontend, *strict, engine])
    known = _config_fields(trees, aliases)
    owners = _owners(engine)
    result: dict[str, dict[str, Any]] = {}

    def add(names: list[str], *, switch: bool, choices: list[str]) -> None:
        for name in names:
            result[name] = {"switch": switch, "choices": choices}
            if switch and name.startswith("--"):
                result[f"--no-{name.removeprefix('--')}"] = {"switch": True, "choices": []}

    for tree in [engine, *frontend]:
        for names, call in _argument_calls(tree):
            owner = _field_of(call, owners)
            nothing: dict[str, Any] = {"switch": False, "choices": []}
            facts = known.get(owner, nothing) if owner else nothing
            switch = facts["switch"] or "BooleanOptional" in _action(call) or "store_true" in _action(call)
            add(names, switch=switch, choices=facts["choices"])
    for tree in frontend:
        for _, field, note in _fields(tree, _FRONTEND_CLASSES):
            add([f"--{field.replace('_', '-')}"], switch=_is_bool(note), choices=_choices(note, aliases))
    return dict(sorted(result.items()))


def speculative_fields(sources: Sources) -> list[str]:
    """Keys that `--speculative-config` takes."""
    tree = ast.parse(sources.read("config/speculative.py") or "")
    return sorted({field for _, field, _ in _fields(tree, {"SpeculativeConfig"})})


def tool_parsers(sources: Sources) -> list[str]:
    """Names that `--tool-call-parser` takes."""
    tree = ast.parse(sources.read("tool_parsers/__init__.py") or "")
    keys = [k.value for n in ast.walk(tree) if isinstance(n, ast.Dict) for k in n.keys if isinstance(k, ast.Constant)]
    return sorted({str(key) for key in keys})


def variables(sources: Sources) -> list[str]:
    """Environment variables that vLLM declares in `envs.py`."""
    tree = ast.parse(sources.read("envs.py") or "")
    for node in ast.walk(tree):
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.AnnAssign) and isinstance(target, ast.Name) and target.id == "environment_variables":
            keys = node.value.keys if isinstance(node.value, ast.Dict) else []
            return sorted(str(key.value) for key in keys if isinstance(key, ast.Constant))
    return []


def hub_variables(sources: Sources) -> list[str]:
    """`HF_*` variables that huggingface_hub reads."""
    text = sources.read("constants.py") or ""
    return sorted(set(re.findall(r"""["'](HF_[A-Z0-9_]+)["']""", text)))


def log_lines(sources: Sources) -> dict[str, bool]:
    """Whether the sources still contain each line that `server.phases` looks for."""
    missing = set(_LOG_LINES)
    for name in sources.names():
        if not missing:
            break
        if name.startswith(("v1/", "model_executor/model_loader/", "entrypoints/", "compilation/")):
            text = sources.read(name) or ""
            missing -= {line for line in missing if line in text}
    return {line: line not in missing for line in _LOG_LINES}


def describe(vllm: Path, hub: Path | None = None) -> dict[str, Any]:
    """Everything above as one JSON-ready value."""
    sources = Sources(vllm, "vllm")
    return {
        "vllm": sources.version(),
        "flags": flags(sources),
        "speculative": speculative_fields(sources),
        "tool_parsers": tool_parsers(sources),
        "environment": variables(sources),
        "hub_environment": hub_variables(Sources(hub, "huggingface_hub")) if hub else [],
        "log_lines": log_lines(sources),
    }


def main() -> None:
    """Command line: print the list as JSON."""
    parser = argparse.ArgumentParser(description="List vLLM's flags and variables from its sources.")
    parser.add_argument("vllm", type=Path, help="vLLM's wheel, or the folder of an installed vLLM")
    parser.add_argument("hub", type=Path, nargs="?", help="huggingface_hub's wheel or folder")
    options = parser.parse_args()
    json.dump(describe(options.vllm, options.hub), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
