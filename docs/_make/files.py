"""Pieces of reStructuredText, and files that change only when their content does."""

INKS = {"light": "#222832", "dark": "#ced6dd"}  # colours of the text in the themes


def listing(columns, rows):
    """A table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [columns, *rows]:
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
    return "\n".join([*lines, ""])


def table(title, columns, rows, above=""):
    """A section with a table, and a text above it."""
    return "\n".join([title, "-" * len(title), "", above, "", listing(columns, rows)])


def write(path, text):
    if not path.exists() or path.read_text() != text:  # an untouched file is not built again
        path.write_text(text)
