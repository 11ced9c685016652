"""A large file over HTTP: resumed where it broke off, checked by its digest, shown by a progress bar."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import sys
import warnings
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx

from llama70b.errors import ConnectionFailed, ProtocolError

with warnings.catch_warnings():  # of a notebook without ipywidgets, where the bar is text
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm

_ATTEMPTS = 5
_TIMEOUT = httpx.Timeout(30.0, connect=15.0)


def show_progress(progress: bool | None) -> bool:
    """Whether to draw a bar: as told, else on a terminal or in a notebook."""
    return progress if progress is not None else sys.stderr.isatty() or "ipykernel" in sys.modules


def sha256(path: Path) -> str:
    """Digest of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, target: Path, digest: str, *, label: str, progress: bool | None = None) -> Path:
    """Fetch a file, going on where an earlier try stopped.

    The unfinished file is `target` with `.part` added; it becomes `target` only when its digest is right.

    Args:
        url: http, https or file.
        target: Where to put it.
        digest: SHA-256, hexadecimal.
        label: Name of the file, for the bar and the errors.
        progress: Draw a bar; None decides by the terminal.

    Returns:
        `target`.

    Raises:
        ConnectionFailed: The connection broke five times; the part fetched stays for the next call.
        ProtocolError: The server refuses (its status is in the error), or what it sent is not the file.
    """
    part = target.with_name(target.name + ".part")
    address = urlsplit(url)
    if address.scheme == "file":
        shutil.copyfile(url2pathname(address.path), part)
    else:
        _fetch(url, part, label=label, progress=progress)
    found = sha256(part)
    if found != digest:
        part.unlink()
        raise ProtocolError(
            f"{label} arrived with SHA-256 {found[:16]}..., expected {digest[:16]}...; it was deleted",
            hint="run again; if it stays so, the index serves another file",
        )
    return part.replace(target)


def _fetch(url: str, part: Path, *, label: str, progress: bool | None) -> None:
    trust = httpx.create_ssl_context()
    trust.load_default_certs(
        ssl.Purpose.SERVER_AUTH
    )  # certifi's and the system's: companies add their own to the latter
    with (
        httpx.Client(verify=trust, timeout=_TIMEOUT, follow_redirects=True) as http,
        tqdm(unit="B", unit_scale=True, unit_divisor=1024, desc=label, disable=not show_progress(progress)) as bar,
    ):
        for attempt in range(_ATTEMPTS):
            try:
                _resume(http, url, part, bar)
            except httpx.TransportError as error:
                if attempt == _ATTEMPTS - 1:
                    raise ConnectionFailed(
                        f"the download of {label} broke off: {type(error).__name__}",
                        hint=f"run again to go on after {_size(part):,} bytes",
                    ) from error
            else:
                return


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _resume(http: httpx.Client, url: str, part: Path, bar: tqdm[object]) -> None:
    have = _size(part)
    # identity: with a compressed body, offsets in the file and on the wire would differ.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with http.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            # All of it is here already, which the digest will tell, or the part is of another file.
            if answer.headers.get("Content-Range") != f"bytes */{have}":
                part.unlink()
                _resume(http, url, part, bar)
            return
        if not answer.is_success:
            raise ProtocolError(
                f"the server answered {answer.status_code} to the download of {part.stem}", status=answer.status_code
            )
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        have = have if resumed else 0
        length = int(answer.headers.get("Content-Length", 0))
        bar.total = have + length if length else None
        bar.reset(bar.total)
        bar.update(have)
        with part.open("ab" if resumed else "wb") as file:
            for block in answer.iter_raw():  # as it comes: what a larger block had gathered would be lost at a break
                file.write(block)
                bar.update(len(block))
