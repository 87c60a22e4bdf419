"""Holds the built pages to what a reader needs: `python .ci/site.py docs/_build/html [--pictures DIR]`.

Without a browser: nothing is loaded from another host, every image has a text, every page a description. With one
(`pip install playwright`, and Chromium or Chrome on the system): no page scrolls sideways on a phone, all text has a
contrast of 4.5, light and dark, what the pages' scripts load comes from the site, too, and its search finds what people
look for.
"""

import argparse
import asyncio
import functools
import http.server
import pathlib
import re
import shutil
import sys
import threading
from html.parser import HTMLParser

PHONE, DESK = 375, 1400  # pixels
SEARCHED = "SHAP", "MAPIE", "Optuna", "MLflow", "conda", "early stopping", "class weights", "GPU"
CONTRAST = 4.5  # WCAG 2.2, level AA
BROWSERS = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"
LOADED = "src", "srcset", "data", "poster"  # attributes; href only of the links that load
LOADING = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch", "manifest"}
FOREIGN = re.compile(r"(?:https?:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", re.IGNORECASE)
PROBE = pathlib.Path(__file__).with_name("site.js").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects what is wrong with a page that needs no browser to be seen."""

    def __init__(self, text):
        super().__init__()
        self.faults, self.described = [], False
        self.feed(text)
        if not self.described:
            self.faults.append("no description")

    def handle_data(self, data):
        """Look at a style sheet inside the page."""
        if self.lasttag == "style":
            self.faults += [f"loads {url}" for url in IN_STYLES.findall(data)]

    def handle_starttag(self, tag, attributes):
        """Look at a tag."""
        found = {name: value or "" for name, value in attributes}
        loaded = [found[name] for name in LOADED if name in found]
        if tag == "link" and LOADING & set(found.get("rel", "").split()):
            loaded.append(found.get("href", ""))
        for part in " ".join(loaded).split():
            self.faults += [f"loads {part}"] * bool(FOREIGN.match(part))
        if tag == "img" and not found.get("alt", "").strip():
            self.faults.append(f"no text for the image {found.get('src')}")
        self.described |= tag == "meta" and found.get("name") == "description" and bool(found.get("content"))


def read(folder):
    """Faults by page, of pages and style sheets."""
    faults = {
        path: Page(path.read_text(encoding="utf-8")).faults
        for path in sorted(folder.rglob("*.html"))
        if "_static" not in path.parts
    }
    for path in folder.rglob("*.css"):
        faults[path] = [f"loads {url}" for url in IN_STYLES.findall(path.read_text(encoding="utf-8"))]
    return {path.relative_to(folder).as_posix(): found for path, found in faults.items()}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that says nothing."""

    def log_message(self, *args):
        """Say nothing."""


async def look(browser, host, pages, faults, pictures):
    """Take pages from the list until it is empty, and add what is wrong with them."""
    context = await browser.new_context(viewport={"width": PHONE, "height": 800}, reduced_motion="reduce")
    loads = []

    async def answer(route):
        if route.request.url.startswith(host):
            await route.continue_()
        else:
            loads.append(route.request.url)
            await route.abort()

    await context.route(re.compile("^https?:"), answer)
    page = await context.new_page()
    while pages:
        name = pages.pop()
        loads.clear()
        await page.goto(f"{host}/{name}")
        await page.evaluate("window.MathJax?.startup?.promise.then(() => null)")
        await page.add_style_tag(content="* { transition: none !important }")
        for theme in ("light", "dark"):
            await page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            found = await page.evaluate(PROBE, CONTRAST)
            faults[name] += [f"{theme}: {fault}" for fault in found["contrast"]] + found["width"]
            for width in (PHONE, DESK) if pictures else ():
                await page.set_viewport_size({"width": width, "height": 800})
                path = pictures / f"{name.removesuffix('.html').replace('/', '-')}-{theme}-{width}.png"
                await page.screenshot(path=path, full_page=True)
            await page.set_viewport_size({"width": PHONE, "height": 800})
        faults[name] += [f"loads {url}" for url in loads]
    await context.close()


async def search(browser, host, faults):
    """Search as a reader does."""
    page = await browser.new_page()
    for words in SEARCHED:
        await page.goto(f"{host}/search.html?q={words}")
        try:
            await page.wait_for_selector("ul.search li a", timeout=20_000)
        except Exception as error:  # the class is the browser's
            faults["search.html"].append(f"finds nothing for {words!r} ({type(error).__name__})")


async def browse(executable, folder, names, faults, pictures):
    """Serve the folder and look at its pages, two at a time."""
    from playwright.async_api import async_playwright

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_address[1]}"
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        await asyncio.gather(*(look(browser, host, names, faults, pictures) for _ in range(2)))
        await search(browser, host, faults)
        await browser.close()
    server.shutdown()


def browser_of_the_system():
    """A path; or None, and why."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return None, "playwright is not installed"
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found, "there is no Chromium or Chrome" if found is None else ""


def main():
    """Print what is wrong, and give the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="the built pages")
    parser.add_argument("--pictures", type=pathlib.Path, help="a folder for screenshots of the pages")
    parser.add_argument("--pages", default="", help="only pages whose path this regular expression finds")
    arguments = parser.parse_args()
    faults = read(arguments.folder)
    executable, reason = browser_of_the_system()
    names = [name for name in faults if name.endswith(".html") and re.search(arguments.pages, name)]
    if executable:
        if arguments.pictures:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
        asyncio.run(browse(executable, arguments.folder, names.copy(), faults, arguments.pictures))
    else:
        print(f"Skipped: width on a phone and contrast, as {reason}.")
    lines = [f"{name}: {fault}" for name, found in sorted(faults.items()) for fault in dict.fromkeys(found)]
    print("\n".join(lines) or f"{len(names)} pages are as they should be.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
