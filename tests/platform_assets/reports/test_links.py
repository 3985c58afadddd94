"""Links to pages: to the server of reports, or to what stands in front of it."""

from __future__ import annotations

import pytest

from platform_assets.reports.links import REPORTS_VARIABLE, listening_address, page_url, public_name


@pytest.mark.parametrize(
    ("configured", "base", "listens", "proxy"),
    [
        ("", "http://127.0.0.1:3070", "127.0.0.1:3070", None),
        ("127.0.0.1:4000", "http://127.0.0.1:4000", "127.0.0.1:4000", None),
        ("https://reports.example/hg/", "https://reports.example/hg", "127.0.0.1:3070", "reports.example"),
    ],
)
def test_links_lead_where_the_server_answers(
    monkeypatch: pytest.MonkeyPatch, configured: str, base: str, listens: str, proxy: str | None
) -> None:
    monkeypatch.setenv(REPORTS_VARIABLE, configured)
    assert page_url("sales") == f"{base}/sales/"
    assert page_url("sales", "2024-03-01-10:00", 2) == f"{base}/sales/2024-03-01-10%3A00/2/"
    assert page_url("sales", "2024-03-01", "held") == f"{base}/sales/2024-03-01/held/"
    assert listening_address() == listens
    assert public_name() == proxy
