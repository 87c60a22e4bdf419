"""Additions to the pages of Sphinx: descriptions, alt texts of the gallery's thumbnails, typeset formulas."""

import pathlib
import re
from html import escape

from docutils import nodes
from sphinx import addnodes

LENGTH = 155  # characters that a search engine shows
J = "J(W, b) = (sum_i w_i loss_i + alpha/2 sum_h ||W[h]||^2) / sum_i w_i"
TYPESET = r"J(W, b) = \frac{\sum_i w_i\,\mathrm{loss}_i + \frac{\alpha}{2} \sum_h \lVert W^{(h)} \rVert^2}{\sum_i w_i}"


def describe(app, pagename, templatename, context, doctree):
    """Give a page its first paragraph as a description, or its title."""
    title = re.sub("<[^>]+>", "", context.get("title") or pagename)
    paragraphs = doctree.findall(nodes.paragraph) if doctree is not None else ()
    texts = (p.astext() for p in paragraphs if isinstance(p.parent, (nodes.section, addnodes.desc_content)))
    text = next((text for text in texts if len(text) > 40), "")
    text = " ".join(f"{title}: {text}".split())
    if len(text) > LENGTH:
        text = text[:LENGTH].rsplit(" ", 1)[0] + " ..."
    if not text.endswith((".", "...")):
        text = text.rstrip(": ") + f" - {app.config.project}"
    context["metatags"] = context.get("metatags", "") + f'<meta name="description" content="{escape(text)}" />\n'


def name_thumbnails(app, doctree, docname):
    """Give the thumbnails of the gallery the titles of their pages as alt texts."""
    titles = {pathlib.PurePosixPath(name).name: title.astext() for name, title in app.env.titles.items()}
    for image in doctree.findall(nodes.image):
        found = re.search(r"sphx_glr_(\w+)_thumb", image["uri"])
        if found and not image.get("alt"):
            image["alt"] = titles.get(found[1], found[1])


def typeset(app, what, name, obj, options, lines):
    """Typeset the objective; docstrings have it as plain text, since they are read in editors, too."""
    lines[:] = [f"{line.partition('J')[0]}.. math:: {TYPESET}" if line.strip() == J else line for line in lines]
