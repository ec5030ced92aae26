"""Errors of the alerting room.

InputError
├── RuleFileError    a rule file or a rule test file is wrong (file:line)
└── TemplateError    a label or annotation template cannot be parsed or expanded
ZhishouError
└── ChannelError     a channel could not deliver; `retryable` says whether later may work
"""

from __future__ import annotations

from monitor.errors import InputError, ZhishouError


class RuleFileError(InputError):
    """A rule file is wrong; `where` is file:line."""


class TemplateError(InputError):
    """A template cannot be parsed or expanded."""


class ChannelError(ZhishouError):
    """A channel could not deliver. Retryable: the far side was down or busy; otherwise it refused for good."""

    def __init__(self, message: str, *, retryable: bool, where: str = "", hint: str = "") -> None:
        self.retryable = retryable
        super().__init__(message, where=where, hint=hint)
