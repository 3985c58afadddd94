"""The preview of an overview: short, and what comes from outside stays text. That of a report is with its page."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from contracts.overview_document import ReasonLine
from platform_assets.reports.preview import render_overview_markdown
from tests.contracts.test_overview_document import overview

HOSTILE = ["<script>alert(1)</script>", "[a](javascript:b)", "`` ` ``<b>", "a | b", "www.evil.example", "\x1b[2J"]


def reason(text: str) -> ReasonLine:
    return ReasonLine(
        code="VALUE", column=text, rule=text, meaning="", records=7, partitions=2, first="a", last="b", example=text
    )


def test_it_says_how_much_there_is_what_is_missing_and_what_is_refused() -> None:
    assert render_overview_markdown(overview(reasons=(reason("shop"),))) == (
        "**`sales`: 1 published partition**\n"
        "\n"
        "| drops | records | valid rows | quarantined | held | missing |\n"
        "| ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| 1 (1 B) | 1 | 1 | 1 (100 %) | 1 | 1 |\n"
        "\n"
        "- missing: `2024-03-02`\n"
        "- 7 x `VALUE` column `shop` rule `shop` in 2 partitions\n"
    )


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_hostile_values_stay_text(text: str) -> None:
    said = render_overview_markdown(overview(reasons=(reason(text),)))
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(said)
    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or []}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "fence", "code_block", "em_open"}
    assert "\x1b" not in said
