"""A self-contained HTML page: text and tables at once, figures as they scroll into view, no network."""

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

_STYLE = """
:root { --ink:#1f2937; --soft:#6b7280; --page:#ffffff; --card:#f8fafc; --line:#e5e7eb; --accent:#0072B2; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink:#e5e7eb; --soft:#9ca3af; --page:#111827; --card:#1b2433; --line:#374151; --accent:#56B4E9; } }
* { box-sizing: border-box; }
@media screen { html { color-scheme: light dark; } }
html { scroll-behavior: smooth; }
body { margin:0; background:var(--page); color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif; }
main, header, footer { max-width:1180px; margin:0 auto; padding:0 28px; }
header { padding-top:36px; } header h1 { margin:0; font-size:30px; letter-spacing:-0.01em; }
header p { margin:6px 0 0; color:var(--soft); overflow-wrap:anywhere; }
nav { display:flex; flex-wrap:wrap; gap:6px 18px; margin-top:14px; font-size:14px; }
a { color:var(--accent); text-decoration:none; } a:hover { text-decoration:underline; }
.facts { display:grid; gap:14px; margin:26px 0 6px;
  grid-template-columns:repeat(auto-fit,minmax(200px,1fr)); }
.fact { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:14px 16px; }
.fact b { display:block; font-size:21px; line-height:1.25; overflow-wrap:anywhere; }
.fact span { color:var(--soft); font-size:13px; }
section { margin-top:44px; } h2 { font-size:22px; margin:0 0 4px; } h3 { font-size:16px; margin:26px 0 6px; }
section > p { max-width:860px; margin:6px 0 14px; color:var(--soft); }
.figure { min-width:700px; }
.scroll { overflow-x:auto; margin:10px 0; }
table { border-collapse:collapse; font-size:14px; font-variant-numeric:tabular-nums; min-width:50%; }
th, td { padding:6px 18px 6px 0; text-align:left; border-bottom:1px solid var(--line); vertical-align:top; }
th { color:var(--soft); font-weight:600; vertical-align:bottom; }
td:first-child { white-space:nowrap; } td + td:not(.number) { min-width:14em; }
td.number, th.number { text-align:right; white-space:nowrap; }
ul { max-width:860px; padding-left:20px; } li { margin:6px 0; }
summary { margin-top:20px; font-weight:600; cursor:pointer; }
dl { max-width:860px; } dt { font-weight:600; margin-top:12px; } dd { margin:2px 0 0; color:var(--soft); }
footer { margin-top:48px; padding-bottom:40px; color:var(--soft); font-size:13px; }
@media print {
  nav { display:none; } main, header, footer { padding:0; } body { font-size:13px; } table { font-size:11px; }
  .scroll { overflow:visible; } .figure { zoom:0.63; } .facts { grid-template-columns:repeat(4,1fr); }
  .scroll:has(.figure), .fact, tr, li, dd { break-inside:avoid; } h2, h2 + p, h3, dt { break-after:avoid; }
}
"""

# Figures wait as JSON; a figure is drawn as it nears the window, and redrawn in the page's ink when the
# colour scheme changes. Traces marked "ink" take the text colour. For paper all are drawn, in dark ink and one width.
_SCRIPT = """
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let onPaper = false;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = () => onPaper ? "#1f2937" : colour("--ink");
  const soft = () => onPaper ? "#6b7280" : colour("--soft");
  const drawn = new Set();
  const draw = (box) => {
    const figure = JSON.parse(document.getElementById(box.id + "-data").textContent);
    figure.layout.font = Object.assign({}, figure.layout.font, {color: soft()});
    figure.layout.title = Object.assign({}, figure.layout.title);
    figure.layout.title.font = Object.assign({}, figure.layout.title.font, {color: ink()});
    figure.data.filter((trace) => trace.meta === "ink").forEach((trace) => {
      if (trace.line) trace.line.color = ink(); else trace.textfont.color = ink(); });
    if (onPaper) figure.layout.width = 1124; else drawn.add(box);
    return Plotly.react(box, figure.data, figure.layout, {responsive: true, displaylogo: false,
      displayModeBar: false});
  };
  const boxes = Array.from(document.querySelectorAll(".figure"));
  const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) { watcher.unobserve(entry.target); draw(entry.target); }
  }), {rootMargin: "500px"});
  boxes.forEach((box) => watcher.observe(box));
  dark.addEventListener("change", () => drawn.forEach(draw));
  window.addEventListener("beforeprint", () => { onPaper = true; boxes.forEach(draw); });
  window.addEventListener("afterprint", () => { onPaper = false; boxes.forEach(draw); });
})();
"""


class Page:
    """Collects sections, then renders them: `section`, then paragraphs, tables and figures into it."""

    def __init__(self, title: str, subtitle: str) -> None:
        self.title = title
        self.subtitle = subtitle
        self._facts: list[tuple[str, str]] = []
        self._body: list[str] = []
        self._headings: list[str] = []
        self._figures: list[str] = []

    def fact(self, value: str, meaning: str) -> None:
        """A card on top of the page: a value in large type and what it means."""
        self._facts.append((value, meaning))

    def section(self, heading: str, text: str) -> None:
        """Start a section with an opening paragraph."""
        if self._headings:
            self._body.append("</section>")
        self._headings.append(heading)
        self._body.append(f'<section id="s{len(self._headings)}"><h2>{_text(heading)}</h2>')
        self.paragraph(text)

    def heading(self, text: str) -> None:
        self._body.append(f"<h3>{_text(text)}</h3>")

    def paragraph(self, text: str) -> None:
        if text:
            self._body.append(f"<p>{_text(text)}</p>")

    def sentences(self, texts: Iterable[str]) -> None:
        """A list, a sentence an entry."""
        self._body.append(f"<ul>{''.join(f'<li>{_text(text)}</li>' for text in texts)}</ul>")

    def definitions(self, entries: Iterable[tuple[str, str]]) -> None:
        """Terms with their explanations."""
        items = "".join(f"<dt>{_text(term)}</dt><dd>{_text(meaning)}</dd>" for term, meaning in entries)
        self._body.append(f"<dl>{items}</dl>")

    def table(self, table: "pd.DataFrame") -> None:
        """Show a data frame of texts; a column whose texts look like numbers is set flush right."""
        columns = [str(column) for column in table.columns]
        cells = [[str(value) for value in table[column]] for column in table.columns]
        numeric = [_is_numeric(column) for column in cells]
        head = "".join(_cell("th", name, right) for name, right in zip(columns, numeric, strict=True))
        rows = (
            "<tr>" + "".join(_cell("td", value, right) for value, right in zip(row, numeric, strict=True)) + "</tr>"
            for row in zip(*cells, strict=True)
        )
        self._body.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        )

    def folded(self, heading: str, table: "pd.DataFrame") -> None:
        """A table that opens at a click, and is not printed unless it is open."""
        self._body.append(f"<details><summary>{_text(heading)}</summary>")
        self.table(table)
        self._body.append("</details>")

    def figure(self, figure: "go.Figure", caption: str = "") -> None:
        """A Plotly figure, drawn when it comes into view; a narrow window scrolls it, for its texts would overlap."""
        name = f"figure-{len(self._figures)}"
        height = int(figure.layout.height or 420)  # pyright: ignore[reportAttributeAccessIssue]
        label = _text(figure.layout.title.text or "")  # pyright: ignore[reportAttributeAccessIssue]
        box = f'<div class="figure" id="{name}" role="img" aria-label="{label}" style="height:{height}px"></div>'
        self._body.append(f'<div class="scroll">{box}</div>')
        self.paragraph(caption)
        data = (figure.to_json() or "{}").replace("<", "\\u003c")  # no tag can end the script from inside
        self._figures.append(f'<script type="application/json" id="{name}-data">{data}</script>')

    def render(self) -> str:
        """The whole page as HTML; plotly.js is inlined once, when there is a figure at all."""
        from plotly.offline import get_plotlyjs

        links = "".join(f'<a href="#s{k}">{_text(h)}</a>' for k, h in enumerate(self._headings, start=1))
        facts = "".join(
            f'<div class="fact"><b>{_text(value)}</b><span>{_text(meaning)}</span></div>'
            for value, meaning in self._facts
        )
        scripts = [*self._figures, f"<script>{get_plotlyjs()}</script>", f"<script>{_SCRIPT}</script>"]
        return "\n".join(
            [
                '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f"<title>{_text(self.title)}</title><style>{_STYLE}</style></head><body>",
                f"<header><h1>{_text(self.title)}</h1><p>{_text(self.subtitle)}</p><nav>{links}</nav></header>",
                f'<main><div class="facts">{facts}</div>' if facts else "<main>",
                *self._body,
                "</section>" if self._headings else "",
                "</main><footer>Made by fintok. Everything on this page is in this one file.</footer>",
                *(scripts if self._figures else []),
                "</body></html>",
            ]
        )


def _text(text: str) -> str:
    return html.escape(str(text))


def _cell(tag: str, value: str, right: bool) -> str:
    return f'<{tag} class="number">{_text(value)}</{tag}>' if right else f"<{tag}>{_text(value)}</{tag}>"


def _is_numeric(column: Sequence[str]) -> bool:
    marks = str.maketrans("", "", ",.%+-−–<eE ×")
    shown = [value for value in column if value not in ("", "–")]
    return bool(shown) and all(value.translate(marks).isdigit() for value in shown)
