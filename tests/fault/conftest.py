"""The fault server, and the four ways to call it."""

import os
import ssl
from collections.abc import Iterator

import pytest
import trustme

from tests.fault.asking import CHATS, STREAMS, WAYS, Asker
from tests.fault.faultd import FaultServer


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from outside; retries wait a tenth of what they would."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("LLAMA", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("llama70b._retry.BASE_S", 0.05)


@pytest.fixture(scope="session")
def faultd() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[FaultServer]:
    """Another origin, which must never hear from us."""
    with FaultServer() as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def tls_faultd(authority: trustme.CA) -> Iterator[FaultServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FaultServer(tls=context) as server:
        yield server


def _asker(request: pytest.FixtureRequest) -> Asker:
    return Asker(request.param, lambda seen: request.node.user_properties.append(("seen", seen)))


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest) -> Asker:
    """One call in each of the four ways."""
    return _asker(request)


@pytest.fixture(params=CHATS)
def ask_chat(request: pytest.FixtureRequest) -> Asker:
    return _asker(request)


@pytest.fixture(params=STREAMS)
def ask_stream(request: pytest.FixtureRequest) -> Asker:
    return _asker(request)
