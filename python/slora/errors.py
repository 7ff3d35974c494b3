"""What goes wrong, as exceptions. Each is also the built-in exception that callers expect."""

from __future__ import annotations

import re


class SloraError(Exception):
    """Base of all errors of the engine."""

    def __init__(self, message: str, code: str = "", param: str = "") -> None:
        super().__init__(message)
        self.code = code  # a stable word for programs
        self.param = param  # the field at fault, or empty


class RequestError(SloraError, ValueError):
    """A request, an adapter or an option is refused; the message names the field, what was expected and what was found."""


class NotFoundError(SloraError, LookupError):
    """There is no adapter of this name."""


class QueueFullError(SloraError, RuntimeError):
    """The queue has no place now: try again later."""


class DeadlineExceededError(SloraError, TimeoutError):
    """The answer was not complete within the request's timeout."""


class EngineError(SloraError, RuntimeError):
    """The engine could not compute the answer."""


class ClosedError(EngineError):
    """The engine was closed."""


class ForkedError(EngineError):
    """The engine belongs to the parent process."""


class LoadError(EngineError):
    """The model could not be loaded, or the device can't be used."""


_KINDS: dict[str, type[SloraError]] = {
    "invalid_request": RequestError,
    "not_found": NotFoundError,
    "rate_limit": QueueFullError,
    "timeout": DeadlineExceededError,
}
_ARGUMENTS = {"backend": "device", "policy": "scheduling_policy"}
_CODES: dict[str, type[SloraError]] = {"closed": ClosedError, "forked": ForkedError}


def make_error(kind: str, code: str, message: str, param: str) -> SloraError:
    """The exception for an error of the engine. The option at fault is named as Python's argument, not as the program's."""
    message = re.sub("^--([a-z-]+):", lambda option: _ARGUMENTS.get(option[1], option[1].replace("-", "_")) + ":", message)
    error = _CODES.get(code) or _KINDS.get(kind, EngineError)
    return error(message, code, param)
