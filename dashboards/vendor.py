"""Copy the browser libraries out of node_modules into static/vendor, with a manifest of their SRI digests.

Run by `make setup` after `npm ci`. Templates take the digest from the manifest, so a file that was altered after
this step is refused by the browser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
from pathlib import Path

FILES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "echarts.simple.min.js": "echarts/dist/echarts.simple.min.js",
}


def sri(data: bytes) -> str:
    """The subresource-integrity value of a file's bytes."""
    return "sha384-" + base64.b64encode(hashlib.sha384(data).digest()).decode()


def vendor(modules: Path, target: Path) -> dict[str, str]:
    """Copy every file of FILES and write `manifest.json`; returns name -> SRI. FileNotFoundError before `npm ci`."""
    target.mkdir(parents=True, exist_ok=True)
    manifest = {}
    for name, source in FILES.items():
        shutil.copyfile(modules / source, target / name)
        manifest[name] = sri((target / name).read_bytes())
    (target / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")
    return manifest


if __name__ == "__main__":
    here = Path(__file__).parent
    try:
        vendor(here / "node_modules", here / "static" / "vendor")
    except FileNotFoundError as missing:
        sys.stderr.write(f"{missing.filename} is missing; run `npm ci` in dashboards first\n")
        sys.exit(1)
