"""`llama70b syllogism eval`."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from llama70b.cli._common import OK, guarded, note
from llama70b.endpoint import Endpoint
from llama70b.errors import ConfigurationError
from llama70b.evaluation import (
    ARMS,
    Item,
    Journal,
    Lane,
    Record,
    Run,
    Settings,
    generate,
    load_items,
    open_run,
    plan,
    run,
)
from llama70b.evaluation.report import require_extra, write_report

AGENTS = {"langchain_agent": "langchain_llama70b._eval", "llamaindex_agent": "llamaindex_llama70b._eval"}
"""Where the arms that need a framework live; imported by name, when used."""
_UNAIDED = [name for name, arm in ARMS.items() if not arm.needs_model]
_SAY_EVERY = 50


class _Import(StrEnum):
    ALL_TERMS = "all_terms"
    NONE = "none"


class _ToolUse(StrEnum):
    AUTO = "auto"
    FORCED = "forced"


class _Language(StrEnum):
    EN = "en"
    ZH = "zh"


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Answers and report go here; made if need be.")],
    *,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--endpoint",
            metavar="NAME=URL[,MODEL]",
            help="A model to ask; may be repeated. Its key: the environment's <NAME>_API_KEY, or LLAMA70B_API_KEY if "
            "it is the only one. [default: LLAMA70B_BASE_URL as 70b]",
        ),
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Start the small local engine and ask it, too.")] = False,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            "--arm", metavar="NAME[:N]", help=f"Repeatable; with :N only the first N items. {', '.join(ARMS)}"
        ),
    ] = None,
    items: Annotated[
        Path | None, typer.Option("--items", metavar="FILE", help='JSON Lines: {"id", "text", "valid", "plausible"?}.')
    ] = None,
    number: Annotated[int, typer.Option("--number", "-n", min=2, help="How many items to generate.")] = 128,
    seed: Annotated[int, typer.Option("--seed", help="Of the items and of the sampler.")] = 0,
    language: Annotated[_Language, typer.Option("--language", help="Of the generated items.")] = _Language.EN,
    import_: Annotated[
        _Import, typer.Option("--import", help="all_terms: every class named has a member; none: it may be empty.")
    ] = _Import.ALL_TERMS,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Of a written-out answer.")] = 512,
    agent_tokens: Annotated[int, typer.Option("--agent-tokens", min=1, help="Of each of an agent's answers.")] = 512,
    tool_use: Annotated[
        _ToolUse, typer.Option("--tool-use", help="Agents: the model may call the checker, or must (tiny models).")
    ] = _ToolUse.AUTO,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, max=2.0)] = 0.0,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Questions at once at an endpoint.")] = 4,
    price: Annotated[
        list[str] | None,
        typer.Option("--price-per-hour", metavar="NAME=DOLLARS", help="For an estimate of the cost; repeatable."),
    ] = None,
    remark: Annotated[
        list[str] | None, typer.Option("--note", metavar="TEXT", help="For the report: engine, hardware; repeatable.")
    ] = None,
    most: Annotated[
        int | None, typer.Option("--at-most", min=1, metavar="N", help="Ask N questions now; start again to go on.")
    ] = None,
) -> None:
    """Measure how well models, prompts and agents judge syllogisms.

    Every answer is written down at once in FOLDER; start the same command again to go on after an interruption.
    Without a question left, it only writes the report anew. Exit code 0: done; 2: stopped, what was answered is kept.

    Examples:
        llama70b syllogism eval results --arm parser_only --arm always_invalid --arm atmosphere

        llama70b syllogism eval results --endpoint 70b=https://host/v1 --endpoint 8b=https://other/v1,meta-llama/Llama-3.1-8B-Instruct

        llama70b syllogism eval results --local --items mine.jsonl --arm bare --arm read_and_check
    """
    with guarded():
        require_extra()
        settings = Settings(
            import_=import_.value,
            temperature=temperature,
            seed=seed,
            max_tokens=max_tokens,
            agent_tokens=agent_tokens,
            tool_use=tool_use.value,
        )
        generated = None if items else {"number": number, "seed": seed, "language": language.value}
        wanted = Run(
            _items(items, generated, settings),
            settings,
            notes=list(remark or ()),
            prices={name: _dollars(value) for name, value in _pairs(price, "--price-per-hour")},
            generated=generated,
        )
        arms, limits = _arms(arm)
        with _endpoints(endpoint, arms, local=local) as endpoints:
            wanted.models = {name: one.model for name, one in endpoints.items()}
            held = open_run(folder, wanted)
            with Journal(folder) as journal:
                lanes = _cut(plan(held.items, arms, endpoints, journal, limits), most)
                _ask(lanes, settings, journal, concurrency)
                left = sum(len(lane.items) for lane in plan(held.items, arms, endpoints, journal, limits))
        for path in write_report(folder):
            typer.echo(path)
        if left:
            note(f"{left} questions are left: start the same command again to go on")
        raise typer.Exit(OK)


def _items(path: Path | None, generated: dict[str, Any] | None, settings: Settings) -> tuple[Item, ...]:
    if path is None:
        assert generated is not None
        return generate(**generated, import_=settings.import_)
    try:
        return load_items(path.read_text("utf-8"), source=path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _arms(given: list[str] | None) -> tuple[list[str], dict[str, int]]:
    limits: dict[str, int] = {}
    for one in given or ARMS:
        name, colon, count = one.partition(":")
        if name not in ARMS:
            raise ConfigurationError(f"there is no arm {name!r}", hint=f"the arms are {', '.join(ARMS)}")
        if colon and not (count.isascii() and count.isdigit() and int(count) > 0):
            raise ConfigurationError(f"{one!r}: after the colon stands how many items, 1 or more")
        limits[name] = int(count) if colon else sys.maxsize
    return [name for name in ARMS if name in limits], limits


def _pairs(given: Sequence[str] | None, option: str) -> Iterator[tuple[str, str]]:
    for one in given or ():
        name, equals, value = one.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) or not value:
            raise ConfigurationError(f"{option} {one!r}: write NAME=VALUE, the name of letters, digits, . _ -")
        yield name, value


def _dollars(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigurationError(f"--price-per-hour: {text!r} is no number of dollars")
    return value


@contextlib.contextmanager
def _endpoints(given: list[str] | None, arms: Sequence[str], *, local: bool) -> Iterator[dict[str, Endpoint]]:
    """Give the endpoints by name; the local engine runs as long as the context lasts."""
    found: dict[str, Endpoint] = {}
    named = list(_pairs(given, "--endpoint"))
    for name, value in named:
        if name in found:
            raise ConfigurationError(f"--endpoint {name!r} is given twice")
        url, _, model = value.partition(",")
        prefix = re.sub(r"\W", "_", name).upper()
        one = Endpoint.from_env(prefix=prefix, base_url=url, model=model or None)
        if len(named) == 1 and not one.auth_headers():
            one = Endpoint.from_env(base_url=url, model=model or None)
        found[name] = one
    needed = [name for name in arms if ARMS[name].needs_model]
    if not needed:
        yield {}
        return
    with contextlib.ExitStack() as stack:
        if local:
            from llama70b.local import LocalEngine  # noqa: PLC0415 - an extra of its own

            found["local"] = stack.enter_context(LocalEngine())
        if not found:
            try:
                found["70b"] = Endpoint.from_env()
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"{', '.join(needed)}: no model to ask",
                    hint=f"give --endpoint or --local, or choose arms that need none: {', '.join(_UNAIDED)}",
                ) from error
        yield found


def _cut(lanes: list[Lane], most: int | None) -> list[Lane]:
    if most is None:
        return lanes
    kept = []
    for lane in lanes:
        kept.append(Lane(lane.arm, lane.endpoint_name, lane.endpoint, lane.items[:most]))
        most -= len(kept[-1].items)
    return kept


def _ask(lanes: list[Lane], settings: Settings, journal: Journal, concurrency: int) -> None:
    total = sum(len(lane.items) for lane in lanes)
    if not total:
        return
    done = 0
    # disable=None: a bar on a terminal only; elsewhere a line now and then.
    with tqdm(total=total, unit="answer", file=sys.stderr, disable=None, dynamic_ncols=True) as bar:

        def told(record: Record) -> None:
            nonlocal done
            done += 1
            bar.set_description(f"{record.arm} {record.endpoint}", refresh=False)
            bar.update()
            if bar.disable and (done % _SAY_EVERY == 0 or done == total):
                note(f"{done} of {total} answers ({record.arm} {record.endpoint})")
            if record.error:
                bar.write(f"{record.arm} {record.endpoint} {record.item}: {record.error}", file=sys.stderr)

        asyncio.run(run(lanes, settings, journal, agents=AGENTS, concurrency=concurrency, on_record=told))
