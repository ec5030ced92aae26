"""LNX-009: at least 8 characters of at least 3 classes."""

from __future__ import annotations

from rules.compliance.check import Check, Outcome, failed, not_applicable, passed
from rules.compliance.facts import Facts
from rules.compliance.parse import PASSWORD_STACKS, Setting, last, number, pam, settings

MIN_LENGTH = 8
MIN_CLASSES = 3
_CREDITS = ("dcredit", "ucredit", "lcredit", "ocredit")


def judge(facts: Facts) -> Outcome:
    """pwquality.conf, then its .d folder, then the arguments of the module, which win."""
    modules = [
        e
        for e in pam(facts.rows("pam"), "password", PASSWORD_STACKS)
        if e.module in {"pam_pwquality", "pam_cracklib"}
    ]
    if not modules:
        return not_applicable("未启用 pam_pwquality,见 LNX-008", "pam_pwquality is not active, see LNX-008")
    found = settings(facts.rows("pwquality", "pwquality-d"))
    found += [Setting(key, value, e.line) for e in modules for key, value in e.arguments.items()]
    length, classes = last(found, "minlen"), last(found, "minclass")
    mixed_in = [item for key in _CREDITS if (item := last(found, key)) and (number(item) or 0) <= -1]
    lines = [item.line for item in (length, classes, *mixed_in) if item]
    long_enough = (number(length) or MIN_LENGTH) >= MIN_LENGTH  # the module's own default is 8
    mixed = (number(classes) or 0) >= MIN_CLASSES or len(mixed_in) >= MIN_CLASSES
    if long_enough and mixed:
        return passed("长度和字符种类符合要求", "length and character classes are as required", lines)
    wrong = [
        text
        for ok, text in ((long_enough, f"长度不足 {MIN_LENGTH}"), (mixed, f"字符种类不足 {MIN_CLASSES}"))
        if not ok
    ]
    return failed(
        "口令规则不足:" + "、".join(wrong), "password rules are too weak (length or classes)", lines
    )


CHECK = Check(
    "LNX-009",
    "8.1.4.1.a",
    "口令不少于 8 位且不少于 3 类字符",
    "Passwords have 8 characters of 3 classes",
    ("pam", "pwquality", "pwquality-d"),
    judge,
)
