"""Every shell block: commands of ours are parsed by their own parsers, and what they name exists."""

import re
import shlex
import tomllib
from importlib.util import find_spec

import pytest
import typer

from llama70b.cli._app import app
from tests.docs.pages import ROOT, Page, documentation

PAGES = documentation()
TARGETS = set(re.findall(r"^([a-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for package in (
        "llama70b",
        "langchain_llama70b",
        "llamaindex_llama70b",
        "server",
        "tests/conformance",
        "tests/engines",
    )
    for path in (ROOT / package).rglob("*.py")
)


def commands(page: Page) -> list[tuple[int, list[str]]]:
    """Return the simple commands of a page's shell blocks, with their lines, as words."""
    found = []
    for block in page.blocks:
        if block.language not in {"bash", "sh", "shell", "console", ""}:
            continue
        text = block.text.replace("\\\n", "  ")
        for offset, line in enumerate(text.splitlines()):
            for part in re.split(r"&&|\|\||;|(?<!\|)\|(?!\|)", re.sub(r"(^|\s)#.*", "", line)):
                try:
                    words = shlex.split(part)
                except ValueError:  # prose in a block without a language
                    continue
                while words and re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", words[0], re.DOTALL):
                    words = words[1:]
                if words:
                    found.append((block.line + offset, words))
    return found


def parse(words: list[str]) -> None:
    """Let the command's own parser read its arguments; nothing is run."""
    command = typer.main.get_command(app)
    rest = [word for word in words[1:] if word != "..."]  # "and so on"
    while subcommands := getattr(command, "commands", None):
        assert rest, f"{words}: a subcommand is missing"
        if rest[0] in {"--help", "--version", "--install-completion"}:
            return
        assert rest[0] in subcommands, f"{words}: {rest[0]} is none of {sorted(subcommands)}"
        command, rest = subcommands[rest[0]], rest[1:]
        if getattr(command, "invoke_without_command", False) and (not rest or rest[0].startswith("-")):
            break
    command.make_context(command.name, list(rest))


EVERY = [(page, line, words) for page in PAGES for line, words in commands(page)]


def named(*programs: str) -> list[object]:
    return [pytest.param(words, id=f"{page.name}:{line}") for page, line, words in EVERY if words[0] in programs]


@pytest.mark.parametrize("words", named("llama70b"))
def test_commands_of_ours_are_understood(words: list[str]) -> None:
    parse(words)


def test_a_wrong_option_is_found() -> None:
    with pytest.raises(Exception, match="--no-such-option"):
        parse(["llama70b", "usage", "export", "--no-such-option"])
    with pytest.raises(AssertionError, match="explode"):
        parse(["llama70b", "explode"])


@pytest.mark.parametrize("words", named("make"))
def test_targets_exist(words: list[str]) -> None:
    assert {word for word in words[1:] if "=" not in word} <= TARGETS


@pytest.mark.parametrize("words", named("pip"))
def test_extras_exist(words: list[str]) -> None:
    for word in words:
        if extras := re.fullmatch(r"llama70b\[([\w,]+)\]", word):
            assert set(extras[1].split(",")) <= EXTRAS


@pytest.mark.parametrize("words", named("python"))
def test_modules_exist(words: list[str]) -> None:
    if words[1:2] != ["-m"]:
        return
    module = words[2]
    in_the_tree = ROOT.joinpath(*module.split("."))
    assert in_the_tree.with_suffix(".py").is_file() or (in_the_tree / "__main__.py").is_file() or find_spec(module)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_are_read_somewhere(page: Page) -> None:
    for variable in set(
        re.findall(r"\bLLAMA(?:70B|8B)_[A-Z][A-Z0-9_]*[A-Z0-9]", page.path.read_text(encoding="utf-8"))
    ):
        suffix = variable.split("_", 1)[1]
        assert f"{variable}" in SOURCES or f"_{suffix}" in SOURCES, f"{variable} is read by nothing"
