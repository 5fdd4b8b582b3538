"""Prints the README's commands that install from a checkout and then run something of it, a line each.

    python .ci/commands.py

They are the lines `pip install ... && python ...` within its fences, with or without a prompt before them.
"""
import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def commands(text):
    """Those of a text in Markdown, in their order."""
    fences = re.findall(r"^ *(?:[-*] +|\d+\. +)?```[^\n]*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = (re.sub(r"^\s*(\$ )?", "", line).rstrip() for fence in fences for line in fence.splitlines())
    return [line for line in lines if re.match(r"""pip install (-\S+ )*['"]?\.\S* && python """, line)]


if __name__ == "__main__":
    found = commands(README.read_text(encoding="utf-8"))
    print("\n".join(found) if found else sys.exit("README.md prints no such command"))
