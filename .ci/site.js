// What is wrong with a page: {width: [...], contrast: [...]}
(least) => {
  const width = [], contrast = [];
  const name = (e) => `${e.localName}.${[...e.classList].join(".")}`;
  const limit = document.documentElement.clientWidth;
  // what is wider may scroll in itself inside the article (code, tables, formulas, pictures), but not the whole article
  const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX) && e.closest(".bd-article, dialog");
  const inside = (e) => (e = e.parentElement) && (scrolls(e) || inside(e));
  const shown = (e) => e.checkVisibility() && e.getBoundingClientRect().left < limit && e.getBoundingClientRect().width > 1;
  const wide = [...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > limit + 1 && shown(e) && !inside(e));
  if (wide.length || document.scrollingElement.scrollWidth > limit) {
    const names = [...new Set(wide.map(name))].slice(0, 6).join(" ");
    width.push(`wider than a phone, ${document.scrollingElement.scrollWidth} of ${limit} pixels: ${names}`);
  }

  // colours as [r, g, b, alpha]; the canvas knows every way to write one
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const cache = new Map();
  const parse = (text) => {
    if (!cache.has(text)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = text;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      cache.set(text, [r, g, b, a / 255]);
    }
    return cache.get(text);
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const background = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) {
      const layer = parse(getComputedStyle(e).backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const seen = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(e.tagName)) continue;
    if (!e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(e);
    const below = background(e);
    let ink = parse(e.namespaceURI.endsWith("svg") ? style.fill : style.color), alpha = 1;
    for (let a = e; a; a = a.parentElement) alpha *= getComputedStyle(a).opacity;
    ink = over([...ink.slice(0, 3), ink[3] * alpha], below);
    const found = ratio(ink, below);
    const key = `${ink.map(Math.round)} on ${below.map(Math.round)}`;
    if (found < least && !seen.has(key)) {
      seen.add(key);
      contrast.push(`contrast ${found.toFixed(2)}, ${name(e)} in ${name(e.parentElement)}: ${texts.currentNode.data.trim().slice(0, 40)}`);
    }
  }
  return { width, contrast };
}
