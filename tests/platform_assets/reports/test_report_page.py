"""The page and the preview: what came from outside stays text, and what is shown can be read by everybody."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from contracts.commits import Commit
from contracts.gates import Finding
from contracts.report_document import Report, Sample
from contracts.table_contract import Column
from platform_assets.reports.partition_report import write_report
from platform_assets.reports.preview import render_markdown
from platform_assets.reports.report_page import render_page
from platform_assets.reports.wording import visible
from tests.sales import DAY, HEADER, SALES, SalesHome, row

HOSTILE = {
    "a script": "<script>alert(1)</script>",
    "an image with a handler": '<img src="x" onerror="alert(1)">',
    "a way out of an attribute": "\"' onmouseover='alert(1)' x=\"",
    "SVG": "<svg onload=alert(1)><title></title></svg>",
    "a way out of the style": "</style></title></svg></bdi><script>alert(1)</script>",
    "an entity": "&lt;script&gt; &amp;",
    "a template": "{{ 7 * 7 }}{% raw %}${7*7}",
    "a Markdown link": "[click](javascript:alert(1)) ![](http://evil.example/x.png) <http://evil.example>",
    "a Markdown fence": "``` ` ``<b>bold</b>`` ` ```",
    "a bare address": "http://evil.example www.evil.example a@evil.example",
    "a table's bar": "a | b | **c** | # d",
}
INVISIBLE = {
    "a terminal's escape": ("\x1b[2J\x1b]0;owned\x07", "\u2039ESC\u203a[2J\u2039ESC\u203a]0;owned\u2039U+0007\u203a"),
    "a null": ("a\x00b", "a\u2039NUL\u203ab"),
    "an 8-bit escape": ("\x9b31m", "\u2039U+009B\u203a31m"),
    "a direction mark": ("user\u202egnp.exe", "user\u2039U+202E\u203agnp.exe"),
    "a zero-width space": ("a\u200bb", "a\u2039U+200B\u203ab"),
    "a tag character": ("a\U000e0041", "a\u2039U+E0041\u203a"),
    "a line separator": ("a\u2028b", "a\u2039U+2028\u203ab"),
}
VOID = {"meta", "br"}
ELEMENTS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "main",
        "footer",
        "section",
        "article",
        "h1",
        "h2",
        "h3",
    ),
    *(
        "p",
        "span",
        "div",
        "dl",
        "dt",
        "dd",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "details",
    ),
    *(
        "summary",
        "figure",
        "figcaption",
        "svg",
        "g",
        "path",
        "text",
        "code",
        "bdi",
        "strong",
        "time",
        "br",
        "i",
        "small",
    ),
    *("h4", "a", "abbr", "nav", "image", "defs", "use"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "style", "id", "title", "scope", "role", "datetime"),
    *("aria-label", "aria-labelledby", "data-label", "x", "y", "width", "height", "viewbox", "preserveaspectratio"),
    *("d", "transform", "tabindex", "href", "rel"),
}


class Page(HTMLParser):
    """A page's elements in order, its text, and whether its tags match."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def hostile_report(sales: SalesHome, value: str) -> tuple[Commit, Report, str, str]:
    """A real report with `value` wherever people from outside may put one, its page and its preview."""
    quoted = '"' + value.replace('"', '""') + '"'
    column = f"col {value}".replace("\x00", "")  # no contract can name a column so
    columns = (*SALES.columns, Column(name=column, type="VARCHAR", description=value))
    contract = SALES.model_copy(update={"columns": columns, "description": value, "version": f"1 {value}"})
    sales = sales.under(contract)
    header = HEADER.strip() + ',"' + column.replace('"', '""') + '"\n'
    lines = [f"{n},south,1.50,2024-03-01T10:00:00,{quoted},{quoted}\n" for n in range(1, 5)]
    lines.append(f"9,{quoted},1,2024-03-01T10:00:00,,{quoted}\n")
    name = value.replace("/", "_").replace("\x00", "_")
    sales.drop(header + "".join(lines), f"{DAY} {name}.csv")
    commit = sales.ingest().commit
    stored = Report.from_bytes(Path(write_report(sales.workspace, contract, commit).place).read_bytes())
    finding = Finding(subject=value, expected=value, observed=value, fix=value)
    gates = (
        stored.gates[0].model_copy(update={"warnings": (finding,), "observed": value, "expected": value}),
        *stored.gates[1:],
    )
    report = stored.model_copy(
        update={"gates": gates, "partition": value, "lineage": stored.lineage.model_copy(update={"run_id": value})}
    )
    return commit, report, render_page(report), render_markdown(report)


def check_harmless(page: Page) -> None:
    assert page.open == []
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    assert {name for _, attributes in page.elements for name in attributes} <= ATTRIBUTES


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_values_stay_text_on_the_page(sales: SalesHome, value: str) -> None:
    _, report, html, _ = hostile_report(sales, value)
    page = Page(html)
    check_harmless(page)
    assert report.quarantine
    # title, heading, drop, description, version, finding, column's name and description, values, raw record ...
    assert page.text.count(value) >= 14


@pytest.mark.parametrize(("value", "shown"), INVISIBLE.values(), ids=INVISIBLE.keys())
def test_what_would_not_show_is_written_out(sales: SalesHome, value: str, shown: str) -> None:
    _, _, html, markdown = hostile_report(sales, value)
    assert not set(html) & set("".join(c for c in value if not c.isprintable()))
    assert Page(html).text.count(shown) >= 14
    assert shown in markdown
    assert not set(markdown) & set("".join(c for c in value if not c.isprintable()))


@given(text=st.text())
def test_no_text_has_anything_invisible_left(text: str) -> None:
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", visible(text))


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_values_stay_text_in_the_preview(sales: SalesHome, value: str) -> None:
    _, report, _, _ = hostile_report(sales, value)
    failed = report.gates[0].model_copy(
        update={"verdict": "FAIL", "findings": (Finding(subject=value, expected=value, observed=value),), "gate": value}
    )
    held = report.model_copy(update={"state": "held", "version": None, "gates": (failed,)})
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(render_markdown(held))
    inline = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in (*tokens, *inline)}
    assert not kinds & {
        "html_block",
        "html_inline",
        "link_open",
        "image",
        "fence",
        "code_block",
        "heading_open",
        "hr",
        "em_open",
    }
    codes = [token.content for token in inline if token.type == "code_inline"]
    assert Counter(codes)[value] >= 5
    assert "evil" not in "".join(token.content for token in inline if token.type == "text")


@given(text=st.text(alphabet=st.sampled_from("`ab |\\*_[]()<>!#\n\t&;"), min_size=1, max_size=30))
def test_any_text_is_one_code_span_of_the_preview(report: Report, text: str) -> None:
    tokens = (
        MarkdownIt("commonmark", {"html": True})
        .enable("table")
        .parse(render_markdown(report.model_copy(update={"partition": text})))
    )
    codes = [child.content for token in tokens for child in token.children or [] if child.type == "code_inline"]
    assert codes[1].strip(" ") == visible(text).strip(" ")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """An ordinary report with something in every part."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "drops" / "sales").mkdir(parents=True)
    sales = SalesHome(folder)
    sales.drop(
        HEADER
        + "".join(row(n, shop="north" if n % 3 else "south", amount=f"{n % 17}.25") for n in range(1, 60))
        + row(1)
    )
    commit = sales.ingest().commit
    return Report.from_bytes(Path(write_report(sales.workspace, sales.contract, commit).place).read_bytes())


def test_the_page_forbids_and_needs_nothing_from_elsewhere(report: Report) -> None:
    html = render_page(report)
    page = Page(html)
    check_harmless(page)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    assert html.index("Content-Security-Policy") < html.index("<style>")
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link|\son\w+=", html)


def test_the_page_can_be_read_by_a_screen_reader(report: Report) -> None:
    page = Page(render_page(report))
    assert page.all("html")[0]["lang"] == "en"
    assert all(th.get("scope") in {"row", "col"} for th in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert page.all("svg")
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in page.all("svg"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {s["aria-labelledby"] for s in page.all("section")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_light_and_dark_have_enough_contrast(report: Report) -> None:
    style = re.search("<style>(.*?)</style>", render_page(report), re.DOTALL)
    assert style
    light, dark = re.split("prefers-color-scheme: dark", style[1], maxsplit=1)
    for theme in (light, dark):
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", theme))
        pairs = [
            (ink, paper)
            for ink in ("ink", "soft", "quarantine-ink", "valid", "fail")
            for paper in ("paper", "card", "faint")
        ]
        pairs += [("pass", "pass-back"), ("fail", "fail-back"), ("quarantine-ink", "warn-back")]
        low = {pair: round(contrast(*(colours[name] for name in pair)), 2) for pair in pairs}
        assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}
        graphics = {name: round(contrast(colours[name], colours["card"]), 2) for name in ("valid", "quarantine")}
        assert {name: ratio for name, ratio in graphics.items() if ratio < 3} == {}


def contrast(first: str, second: str) -> float:
    """The ratio of WCAG 2.2, "contrast ratio"; 4.5 is asked for text, 3 for graphics."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_what_is_approximate_or_sampled_says_so_on_the_page(report: Report) -> None:
    column = report.profile.columns[0]
    estimated = column.model_copy(
        update={
            "distinct": 123456,
            "distinct_is_approximate": True,
            "quantile_sample": Sample(every_record=4, fraction=0.25),
        }
    )
    profile = report.profile.model_copy(update={"columns": (estimated,)})
    text = Page(render_page(report.model_copy(update={"profile": profile}))).text
    assert "about 123,456 (estimated)" in text
    assert "a sample: every 4. record (25 %), no seed" in text


def test_the_preview_is_short(report: Report) -> None:
    assert render_markdown(report) == (
        f"**`sales` `{DAY}`: published, version 1**\n"
        "\n"
        "| drops | records | valid rows | quarantined |\n"
        "| ---: | ---: | ---: | ---: |\n"
        f"| 1 ({report.flow.drop_bytes / 1000:.3g} kB) | 60 | 59 | 1 (1.67 %) |\n"
        "\n"
        "- all 4 gates passed\n"
        "- 1 x `DUPLICATE_KEY` column `id`\n"
    )
