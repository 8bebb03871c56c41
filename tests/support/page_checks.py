"""What a browser finds wrong with a page for those who see or hear it otherwise."""

from playwright.sync_api import Page


def faults_of(page: Page) -> list[str]:
    """Whatever has no name for a screen reader, is too pale to be read, or is too wide."""
    found: list[str] = [*page.evaluate(_WITHOUT_LABEL), *page.evaluate(_TOO_PALE)]
    width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return found if width <= room else [*found, f"{width} pixels wide, with room for {room}"]


_WITHOUT_LABEL = """() =>
  [...document.querySelectorAll(
    "input:not([type=hidden]), select, textarea, button, a[href], summary")]
    .filter((each) => !(each.labels?.length || each.getAttribute("aria-label")
      || each.getAttribute("aria-labelledby") || each.textContent.trim()))
    .map((each) => each.outerHTML.slice(0, 120))"""
"""What a screen reader would have no name for."""

_TOO_PALE = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const over = (colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((each) => each / 255)
    .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const said = [...element.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!said || element.closest("svg, option") || !element.checkVisibility()) continue;
    const grounds = [];
    for (let each = element; each; each = each.parentElement)
      grounds.unshift(getComputedStyle(each).backgroundColor);
    const ground = over(grounds);
    const text = over([...grounds, getComputedStyle(element).color]);
    const [low, high] = [light(ground), light(text)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${element.outerHTML.slice(0, 100)}`);
  }
  return found;
}"""
"""Texts whose contrast is under 4.5 to 1 (WCAG 2.2, 1.4.3)."""
