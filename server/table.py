"""The table that `python -m server.profiles` prints, narrow enough for a terminal of 80 columns. Needs rich."""

from rich import box
from rich.console import Console
from rich.table import Table

from server.capacity import LONELY_ANSWER_TOKENS, PRICE_NOTE, SCHEDULING_S, VOLUME_GB_S, capacity
from server.profiles import PROFILES, Profile

_COLUMNS = ("profile", "GPU", "$/h", "KV tokens", "full", "roof", "tok/s", "cold", "$/q")
_LEGEND = (
    "$/h: one replica with its CPU and memory. KV tokens: context that fits beside the weights; full: how many "
    "requests of the longest length that is. roof: bandwidth bound of one stream, tok/s: its speed (m measured, "
    f"p published, e estimated). cold: {SCHEDULING_S:.0f} s + weights / {VOLUME_GB_S} GB/s + engine start with warm "
    "caches; computed, not observed on Modal. $/q: a lonely question = cold start + "
    f"{LONELY_ANSWER_TOKENS} tokens + idle tail."
)


def row(profile: Profile) -> tuple[str, ...]:
    """One line of the table, as strings in the order of the columns."""
    figures = capacity(profile)
    return (
        profile.name,
        profile.gpu_request,
        f"{figures.usd_per_hour:.2f}",
        f"{figures.kv_tokens:,}",
        f"{figures.full_contexts:.1f}",
        f"{figures.roofline_tok_s:.0f}",
        f"{profile.speed.tok_s:.1f} {profile.speed.kind[0]}",
        f"{figures.cold_start_s:.0f} s",
        f"{figures.usd_per_lonely_question:.2f}",
    )


def table() -> Table:
    """All profiles as a rich table."""
    result = Table(title="llama70b server profiles", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name in _COLUMNS:
        result.add_column(name, justify="left" if name in {"profile", "GPU"} else "right", no_wrap=True)
    for profile in PROFILES.values():
        result.add_row(*row(profile))
    return result


def main() -> None:
    """Print the table and where its numbers come from."""
    console = Console(highlight=False)
    console.print(table())
    console.print(f"{_LEGEND}\n{PRICE_NOTE}\n")
    for profile in PROFILES.values():
        console.print(
            f"[bold]{profile.name}[/bold]: {profile.summary}. Speed {profile.speed.kind}: {profile.speed.source}."
        )
