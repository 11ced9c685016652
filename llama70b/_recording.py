"""One run being recorded: told once when it begins and once when it ends, whichever of its ends comes first. No I/O."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import threading
import weakref
from asyncio import CancelledError
from collections.abc import Mapping
from typing import Any

from llama70b import _fork
from llama70b._assemble import Assembler
from llama70b._flow import CallFlow
from llama70b._observe import Recorder, Run, RunEnd, RunOutcome, run_context
from llama70b._ops import OK, Context
from llama70b.errors import Llama70BError
from llama70b.types import ChatRequest, Completion

_LOG = logging.getLogger("llama70b")
_failing: set[int] = set()
"""Recorders, by identity, of which a failure has been logged."""


class Recording:
    """Tells a recorder of one run.

    Attributes:
        assembler: Of a stream, to say how much had arrived; set when the stream opens.
        first_token: When the first piece of a stream arrived, on the monotonic clock.
    """

    def __init__(self, recorder: Recorder, run: Run, flow: CallFlow, context: Context) -> None:
        self.assembler: Assembler | None = None
        self.first_token: float | None = None
        self._recorder = recorder
        self._run = run
        self._flow = flow
        self._context = context
        self._pid = os.getpid()
        self._open = [None]  # popped by whoever ends it: several threads may try, and the garbage collector

    @classmethod
    def begin(
        cls, recorder: Recorder, request: ChatRequest, body: Mapping[str, Any], flow: CallFlow, context: Context
    ) -> Recording:
        """Tell the recorder that a run begins.

        Raises:
            Llama70BError: The recorder refuses the run.
        """
        run = Run(
            request_id=context.request_id,
            endpoint=context.endpoint.root_url,
            model=body["model"],
            stream=body["stream"],
            messages=len(request.messages),
            tools=len(request.tools),
            prompt_chars=sum(len(message.content) for message in request.messages),
            max_tokens=body.get("max_tokens"),
            started=context.now(),
            started_at=context.wall(),
            context=run_context(),
            price_per_hour=context.endpoint.price_per_hour,
            request=request,
        )
        try:
            recorder.started(run)
        except Llama70BError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the call goes on
            _log_failure(recorder)
        return cls(recorder, run, flow, context)

    def watch(self, owner: object, assembler: Assembler) -> None:
        """Record the run as abandoned if the owner is dropped, or the process ends, before it has ended."""
        self.assembler = assembler
        weakref.finalize(owner, _reporter.put, self).atexit = False
        _reporter.expect(self)

    def answered(self, answer: Completion, *, interrupted_by: Llama70BError | None = None) -> None:
        """Note the answer, or what is returned in its place."""
        first = answer.choices[0]
        chars = sum(
            len(choice.message.content) + sum(len(call.arguments) for call in choice.message.tool_calls)
            for choice in answer.choices
        )
        self._end(
            "answered" if interrupted_by is None else "interrupted",
            model=answer.model or None,
            usage=answer.usage,
            finish_reason=first.finish_reason,
            answer_chars=chars,
            status=OK,
            error=None if interrupted_by is None else type(interrupted_by).__name__,
        )

    def failed(self, error: BaseException) -> None:
        """Note what ended the run instead of an answer."""
        match error:
            case GeneratorExit():
                self.stopped("closed")
            case CancelledError() | KeyboardInterrupt() | SystemExit():
                self.stopped("cancelled", error=type(error).__name__)
            case Llama70BError():
                status = OK if error.status is None and self.assembler is not None else error.status
                self.stopped("failed", error=type(error).__name__, status=status)
            case _:
                self.stopped("failed", error=type(error).__name__)

    def stopped(self, outcome: RunOutcome, *, error: str | None = None, status: int | None = None) -> None:
        """Note an end without an answer, with what had arrived."""
        arrived: dict[str, Any] = {"status": status}
        if self.assembler is not None:
            arrived = {"status": status or OK, **self.assembler.arrived()}
        self._end(outcome, error=error, **arrived)

    def _end(self, outcome: RunOutcome, **what: Any) -> None:
        if os.getpid() != self._pid:
            return  # the run is the parent's
        try:
            self._open.pop()
        except IndexError:
            return
        _reporter.forget(self)
        if self.assembler is not None:
            what["pieces"] = self.assembler.pieces
        end = RunEnd(
            outcome,
            ended=self._context.now(),
            ended_at=self._context.wall(),
            sent=self._flow.sent,
            first_token=self.first_token,
            attempts=self._flow.posts,
            cold_start_s=self._flow.cold_s,
            **what,
        )
        try:
            self._recorder.finished(self._run, end)
        except Exception:  # noqa: BLE001 - as above
            _log_failure(self._recorder)


class _Reporter:
    """Ends the runs that nobody ends, from a thread of its own.

    The garbage collector may find one at any moment, also while this thread holds a lock that the recorder wants. So
    it only puts the run into a queue that may be used from there.
    """

    def __init__(self) -> None:
        self.after_fork()
        self._at_exit = False
        _fork.watch(self)

    def after_fork(self) -> None:
        """Begin anew in a forked child: threads and runs are the parent's."""
        self._dropped: queue.SimpleQueue[Recording] = queue.SimpleQueue()
        self._expected: set[Recording] = set()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def expect(self, recording: Recording) -> None:
        self._expected.add(recording)
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    if not self._at_exit:  # after the recorder's own, so that at exit it runs before
                        atexit.register(self._finish)
                        self._at_exit = True
                    self._thread = threading.Thread(target=self._run, name="llama70b-recorder", daemon=True)
                    with contextlib.suppress(RuntimeError):  # the process is ending: `_finish` does it
                        self._thread.start()

    def forget(self, recording: Recording) -> None:
        self._expected.discard(recording)

    def put(self, recording: Recording) -> None:
        if recording in self._expected:  # else it has ended
            self._dropped.put(recording)

    def _run(self) -> None:
        while True:
            self._dropped.get().stopped("abandoned")

    def _finish(self) -> None:
        for recording in list(self._expected):
            recording.stopped("abandoned")


_reporter = _Reporter()


def _log_failure(recorder: Recorder) -> None:
    if id(recorder) in _failing:
        return
    _failing.add(id(recorder))
    _LOG.warning("the recorder %s failed; runs go on unrecorded", type(recorder).__name__, exc_info=True)
