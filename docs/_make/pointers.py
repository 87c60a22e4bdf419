"""A page that names a test or a line of the code that does not exist fails the build."""

import re


def check_pointers(page):
    """A test named in the page must exist, and an emphasised line must have the number of an equation."""
    text, root = page.read_text(), page.parent
    for file, test in re.findall(r"(test_\w+\.py)::(\w+)", text):
        if f"def {test}(" not in (root.parent / "tests" / file).read_text():
            raise RuntimeError(f"{page.name} names {file}::{test}, which does not exist")
    options = r"\.\. literalinclude:: (\S+)\n   :pyobject: (\w+)\n(?:   :[^\n]*\n)*?   :emphasize-lines: ([\d,]+)\n"
    for file, name, lines in re.findall(options, text):
        source = (root / file).read_text()
        body = source[re.search(rf"^(def|class) {name}\b", source, re.MULTILINE).start() :].splitlines()
        for number in map(int, lines.split(",")):
            if "# D" not in body[number - 1]:
                raise RuntimeError(f"{page.name} emphasises line {number} of {name}: {body[number - 1]!r}")
