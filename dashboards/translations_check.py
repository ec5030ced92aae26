"""`python -m dashboards.translations_check`: every Chinese sentence of the console is marked, and has English.

Exits 1 and names the place of each Chinese literal that no gettext call wraps, and each message without English.
`zh=` texts of errors are exempt: their English is the error's own message.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

HERE = Path(__file__).parent
CATALOGUE = HERE / "translations" / "en" / "LC_MESSAGES" / "messages.po"
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
KEYWORDS = {"_": None, "_l": None, "gettext": None, "lazy_gettext": None}
_CHINESE = re.compile(r"[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef]")
_MARKERS = set(KEYWORDS)
_PLACEHOLDER = re.compile(r"%\((\w+)\)[0-9]*[sd]")
# Words of another language's own switch, and words compared with, not shown.
_EXEMPT = {"中", "中文", "急停", "，", "符合", "基本符合", "不符合"}


def messages(folder: Path = HERE) -> set[str]:
    """Every message the code and templates ask for."""
    found = extract_from_dir(str(folder), METHODS, keywords=KEYWORDS)
    return {item[2] for item in found if isinstance(item[2], str)}


def unmarked_in_python(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of Chinese literals outside gettext calls, `zh=` arguments and docstrings."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MARKERS:
            skipped.update(id(part) for part in ast.walk(node))
        elif isinstance(node, ast.Call):
            skipped.update(id(p) for k in node.keywords if k.arg == "zh" for p in ast.walk(k.value))
            if isinstance(node.func, ast.Name) and node.func.id == "_required":
                skipped.update(id(p) for p in ast.walk(node.args[-1]))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if (
            isinstance(text, str)
            and id(node) not in skipped
            and text not in _EXEMPT
            and _CHINESE.search(text)
        ):
            yield node.lineno, text  # type: ignore[attr-defined]


def unmarked_in_template(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of Chinese in template text or expressions outside gettext calls."""
    tree = Environment(autoescape=True).parse(source)
    skipped = {
        id(part)
        for call in tree.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.node.name in _MARKERS
        for part in call.find_all(nodes.Const)
    }
    for data in tree.find_all(nodes.TemplateData):
        if _CHINESE.search(data.data):
            yield data.lineno, data.data.strip()
    for constant in tree.find_all(nodes.Const):
        text = constant.value
        if (
            isinstance(text, str)
            and id(constant) not in skipped
            and text not in _EXEMPT
            and _CHINESE.search(text)
        ):
            yield constant.lineno, text


def problems(folder: Path = HERE, catalogue: Path = CATALOGUE) -> list[str]:
    """Everything wrong, one line each."""
    found = []
    for path in sorted(folder.rglob("*")):
        if "node_modules" in path.parts or path.name == Path(__file__).name:
            continue
        if path.suffix == ".py":
            unmarked = unmarked_in_python(path.read_text("utf-8"))
        elif path.suffix == ".html":
            unmarked = unmarked_in_template(path.read_text("utf-8"))
        else:
            continue
        found += [f"{path.relative_to(folder)}:{line}: not marked: {text[:60]}" for line, text in unmarked]
    with catalogue.open("rb") as file:
        english = {m.id: m.string for m in read_po(file, locale="en") if m.id and not m.fuzzy}
    for message in sorted(messages(folder)):
        translated = english.get(message)
        if not isinstance(translated, str) or not translated:
            found.append(f"no English: {message}")
        elif set(_PLACEHOLDER.findall(message)) != set(_PLACEHOLDER.findall(translated)):
            found.append(f"placeholders differ: {message}")
    return found


if __name__ == "__main__":
    wrong = problems()
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    sys.exit(1 if wrong else 0)
