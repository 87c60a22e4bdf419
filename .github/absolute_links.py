"""Make the relative links and images of a Markdown file absolute, for readers of a package index.

    python absolute_links.py README.md https://host/owner/repository REF

rewrites the file in place. Links lead to the page of the file at REF, pictures to its bytes.
"""

import pathlib
import re
import sys

IMAGE = re.compile(r"(?P<before>!\[[^\[\]]*\]\()(?P<target>[^\s()]+)")  # ![text](target)
LINK = re.compile(r"(?P<before>(?<!!)\[(?:[^\[\]]|!\[[^\[\]]*\]\([^()]*\))*\]\()(?P<target>[^\s()]+)")  # [text](target)
HTML = re.compile(r'(?P<before><(?P<tag>img|source|a)\b[^>]*?\b(?:src|srcset|href)=")(?P<target>[^"]+)')
REFERENCE = re.compile(r"(?P<before>^\[[^\]]+\]:\s+)(?P<target>\S+)", re.MULTILINE)  # [name]: target
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
PICTURES = {".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp"}


def absolute(target: str, repository: str, ref: str, *, picture: bool) -> str:
    """Address of a target, unless it has one or is a heading of this page.

    >>> absolute("docs/a.rst#b", "https://host/o/r", "v1", picture=False)
    'https://host/o/r/blob/v1/docs/a.rst#b'
    >>> absolute("./docs/a.svg", "https://host/o/r", "v1", picture=True)
    'https://host/o/r/raw/v1/docs/a.svg'
    >>> absolute("#ten-lines", "https://host/o/r", "v1", picture=False)
    '#ten-lines'
    >>> absolute("https://numpy.org", "https://host/o/r", "v1", picture=False)
    'https://numpy.org'
    """
    if re.match(r"[a-z][a-z0-9+.-]*:|#|//", target, re.IGNORECASE):
        return target
    return f"{repository}/{'raw' if picture else 'blob'}/{ref}/{target.removeprefix('./').lstrip('/')}"


def rewrite(text: str, repository: str, ref: str) -> str:
    r"""Make a text's links absolute; code stays as it is.

    >>> rewrite("[a](b.md), ![c](d.png), `[e](f.md)`", "https://host/o/r", "v1")
    '[a](https://host/o/r/blob/v1/b.md), ![c](https://host/o/r/raw/v1/d.png), `[e](f.md)`'
    >>> rewrite("[![c](d.svg)](b.md)", "https://host/o/r", "v1")
    '[![c](https://host/o/r/raw/v1/d.svg)](https://host/o/r/blob/v1/b.md)'
    >>> rewrite('<source srcset="d.svg"><a href="b.md">b</a>', "https://host/o/r", "v1")
    '<source srcset="https://host/o/r/raw/v1/d.svg"><a href="https://host/o/r/blob/v1/b.md">b</a>'
    >>> rewrite("see [b]\n\n[b]: b.md", "https://host/o/r", "v1")
    'see [b]\n\n[b]: https://host/o/r/blob/v1/b.md'
    >>> rewrite("[`b.md`](b.md)", "https://host/o/r", "v1")
    '[`b.md`](https://host/o/r/blob/v1/b.md)'
    """
    codes = []

    def hide(match: re.Match[str]) -> str:
        codes.append(match[0])
        return f"\0{len(codes) - 1}\0"

    def replace(match: re.Match[str]) -> str:
        target = match["target"]
        picture = match.re is IMAGE or match.groupdict().get("tag") in {"img", "source"}
        picture |= pathlib.PurePosixPath(target).suffix in PICTURES
        return match["before"] + absolute(target, repository, ref, picture=picture)

    text = CODE.sub(hide, text)
    for pattern in (IMAGE, LINK, HTML, REFERENCE):
        text = pattern.sub(replace, text)
    return re.sub("\0([0-9]+)\0", lambda match: codes[int(match[1])], text)


if __name__ == "__main__":
    path = pathlib.Path(sys.argv[1])
    path.write_text(rewrite(path.read_text(encoding="utf-8"), sys.argv[2], sys.argv[3]), encoding="utf-8")
