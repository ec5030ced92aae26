"""The exception tree.

ZhishouError                 anything a user can be told about
├── InputError               a file, an argument or a request is wrong (exit code 2, HTTP 400)
├── NotFoundError            the named thing does not exist, or is outside the caller's scope (HTTP 404)
├── DeniedError              the caller may not do this (HTTP 403)
├── UnreachableError         a device or server did not answer (exit code 3)
└── IntegrityError           stored or received data is not what was written (exit code 1)

Every error says what was wrong, where, and what to do, in English (`str(error)`) and in Chinese (`error.zh`).
"""

from __future__ import annotations


class ZhishouError(Exception):
    """An error with a place and a remedy.

    `where` is `file:line`, a device id or an address; `hint` says what to do. `zh` is the Chinese sentence
    (message, place and remedy); it falls back to the English one for errors only engineers see.
    """

    exit_code = 1

    def __init__(self, message: str, *, zh: str = "", where: str = "", hint: str = "") -> None:
        self.message = message
        self.where = where
        self.hint = hint
        english = f"{where}: {message}" if where else message
        if hint:
            english = f"{english}; {hint}"
        self.zh = zh or english
        super().__init__(english)


class InputError(ZhishouError):
    """A file, an argument or a request is wrong."""

    exit_code = 2


class NotFoundError(ZhishouError):
    """The named thing does not exist, or is outside the caller's scope: both look the same on purpose."""

    exit_code = 2


class DeniedError(ZhishouError):
    """The caller may not do this."""

    exit_code = 2


class UnreachableError(ZhishouError):
    """A device or server did not answer."""

    exit_code = 3


class IntegrityError(ZhishouError):
    """Stored or received data is not what was written."""
