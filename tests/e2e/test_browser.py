"""The platform as its users meet it: real servers, a real browser, files that arrive.

What the pages show is compared with what hashgate itself says of its home, never with what Dagster says of itself.
Pictures for the documentation are taken on the way: HASHGATE_SCREENSHOTS=docs/images pytest tests/e2e
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from contracts.errors import NotPublishedError
from contracts.gates import GATES
from platform_assets.reports.report_server import ReportServer, ReportSite
from resources.service_access import ServiceAccess
from resources.workspace import Workspace
from tests.e2e.conftest import HELD, SEEDED, Drop, Picture
from tests.e2e.servers import Servers

LINEAGE = {
    ("selection", "validated"),
    ("selection", "quarantine"),
    ("validated", "report"),
    ("quarantine", "report"),
    ("report", "overview"),
    ("validated", "carrier_delays"),
}

SCREENS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((1200, "light"), (390, "dark"))
"""A desk and a phone: width and colours."""

_BOXES = """() => [...document.querySelectorAll('foreignObject')].map(box => ({
    name: box.firstElementChild.innerText.split('\\n')[0], x: box.x.baseVal.value, y: box.y.baseVal.value,
    width: box.width.baseVal.value, height: box.height.baseVal.value }))"""
_ARROWS = """() => [...document.querySelectorAll('path[marker-end]')].map(path => path.getAttribute('d'))"""

_REPORT = """query ($day: String!) { assetNodeOrError(assetKey: { path: ["flights", "report"] }) {
    ... on AssetNode { latestMaterializationByPartition(partitions: [$day]) {
        metadataEntries { label ... on UrlMetadataEntry { url } } } } } }"""
_RUNS_OF_SENSOR = """{ runsOrError(filter: { tags: [{ key: "dagster/sensor_name", value: "flights_drops" }] }) {
    ... on Runs { results { tags { key value } } } } }"""
_BACKFILL = """mutation ($days: [String!]!, $assets: [AssetKeyInput!]!) {
    launchPartitionBackfill(backfillParams: { assetSelection: $assets, partitionNames: $days }) {
        __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_BACKFILL_STATUS = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status } } }"""
_STALENESS = """query ($day: String!, $name: String!) { assetNodeOrError(assetKey: { path: ["flights", $name] }) {
    ... on AssetNode { staleStatus(partition: $day) staleCauses(partition: $day) { reason } } } }"""


def test_the_lineage_graph_shows_how_the_assets_follow_from_each_other(page: Page, picture: Picture) -> None:
    page.set_viewport_size({"width": 2000, "height": 1100})  # farther away, Dagster leaves the details out
    page.goto("/asset-groups")
    for name in {name for edge in LINEAGE for name in edge}:
        page.locator("foreignObject", has_text=name).first.wait_for()

    assert set(drawn_edges(page)) == LINEAGE
    expect(page.get_by_text("Loading...")).to_have_count(0)
    expect(page.locator("foreignObject", has_text="validated")).to_contain_text("3 / 4 Passed")
    picture(page, "lineage")


def test_each_gate_is_a_check_with_a_status_for_every_partition(page: Page) -> None:
    for gate in GATES:
        partitions_of_check(page, gate)
        shown = {day: colour_of(page, day) for day in SEEDED}

        red = {day for day, colour in shown.items() if is_red(colour)}
        green = {day for day, colour in shown.items() if is_green(colour)}
        assert red == ({HELD} if gate == "quality" else set()), f"{gate}: {shown}"
        assert green == set(SEEDED) - red, f"{gate}: {shown}"


def test_a_partition_over_its_quarantine_budget_is_red_and_says_why(
    page: Page, servers: Servers, picture: Picture
) -> None:
    partitions_of_check(page, "quality")
    entry(page, HELD).click()

    for said in (
        "quarantine budget: expected at most 5.00% of the records, observed 89.93% (804 of 894)",
        "Held: nobody can read this candidate.",
        "<html><body><h1>502 Bad Gateway</h1></body></html>",
    ):
        expect(page.get_by_text(said).first).to_be_visible()
    for label in ("expected", "observed", "findings", "first_offending_rows"):
        expect(page.get_by_text(label, exact=True).first).to_be_visible()
    assert not page.get_by_role("heading", name="502 Bad Gateway").count(), "a value was rendered as HTML"
    picture(page, "gates")
    with pytest.raises(NotPublishedError):
        servers.workspace.reader.open("flights", HELD)


@pytest.mark.usefixtures("by_hand")
def test_a_partition_is_materialized_by_click_and_published(page: Page, servers: Servers, drop: Drop) -> None:
    day = "2013-01-17"
    records = drop(day).read_bytes().count(b"\n") - 1
    assert day not in servers.statuses()

    page.goto("/assets/flights/validated")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_role("textbox").first
    field.wait_for()
    if (show_all := dialog.get_by_role("button", name="Show all partitions")).is_visible():
        show_all.click()  # of a long calendar Dagster offers the last 90 days only
    choose(page, field, day)
    dialog.get_by_role("button", name="Launch 1 run").click()
    expect(page.get_by_text("Launched run")).to_be_visible()

    status = servers.wait_for([day], "published")[day]
    assert (status.valid_rows, status.quarantined_rows, status.inputs) == (records, 0, 1)
    servers.wait_until(lambda: not servers.runs_in_progress(), "the run is over", 60)
    page.goto(f"/assets/flights/validated?view=partitions&partition={day}")
    expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()
    expect(page.get_by_text("dagster/row_count").locator("xpath=ancestor::tr")).to_contain_text(str(records))


@pytest.mark.parametrize("asset", ["selection", "validated", "quarantine", "report"])
def test_a_partition_that_was_just_published_is_in_sync(servers: Servers, asset: str) -> None:
    node = servers.graphql(_STALENESS, day=SEEDED[0], name=asset)["assetNodeOrError"]
    assert (node["staleStatus"], node["staleCauses"]) == ("FRESH", [])


def test_a_new_file_is_ingested_without_a_click(page: Page, servers: Servers, drop: Drop) -> None:
    day = "2013-01-16"
    drop(day)

    servers.wait_for([day], "published")
    runs = servers.graphql(_RUNS_OF_SENSOR)["runsOrError"]["results"]
    assert {"key": "dagster/asset_partition_range_start", "value": day} in [tag for run in runs for tag in run["tags"]]
    page.goto(f"/assets/flights/validated?view=partitions&partition={day}")
    expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()


@pytest.mark.usefixtures("by_hand")
def test_a_backfill_over_a_range_publishes_every_partition_of_it(page: Page, servers: Servers, drop: Drop) -> None:
    days = ["2013-01-18", "2013-01-19", "2013-01-20"]
    for day in days:
        drop(day)
    assets = [{"path": ["flights", name]} for name in ("selection", "validated", "quarantine", "report")]

    launched = servers.graphql(_BACKFILL, days=days, assets=assets)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    servers.wait_for(days, "published")
    backfill = launched["backfillId"]
    servers.wait_until(lambda: backfill_status(servers, backfill) == "COMPLETED_SUCCESS", "the backfill is over", 120)

    assert {servers.statuses()[day].quarantined_rows for day in days} == {0}
    page.goto(f"/runs/b/{backfill}")
    expect(page.get_by_text("Completed").first).to_be_visible()


def test_a_partition_has_a_report_of_its_own(page: Page, servers: Servers, picture: Picture) -> None:
    """The link in Dagster opens: a page in light and dark, on a phone, that asks for nothing."""
    day = SEEDED[0]
    with reports_of(servers) as url:
        address = page_of(servers, day)
        assert address == f"{url}/flights/{day}/1/"
        page.goto(f"/assets/flights/report?view=partitions&partition={day}")
        expect(page.locator(f"a[href='{address}']").first).to_be_visible()
        for width, scheme in SCREENS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.goto(address)
            expect(page.get_by_text("origin_is_in_new_york_city").first).to_be_visible()
            expect(page.get_by_role("img", name="Valid rows and share of quarantined records")).to_be_visible()
            for gate in GATES:
                expect(page.get_by_text(gate).first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page is wider than the screen"
            picture(page, "report" if scheme == "light" else "report-on-a-phone")


def test_a_table_has_an_overview(page: Page, servers: Servers, picture: Picture) -> None:
    with reports_of(servers) as url:
        for width, scheme in SCREENS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.goto(f"{url}/flights/")
            expect(page.get_by_role("img", name="Calendar of valid rows")).to_be_visible()
            expect(page.get_by_role("heading", name="Drift")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page is wider than the screen"
            picture(page, "overview" if scheme == "light" else "overview-on-a-phone")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="To the content")).to_be_focused()
        page.get_by_role("link", name=SEEDED[1]).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(SEEDED[1])
        page.get_by_role("link", name="Before:").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(SEEDED[0])


@contextmanager
def reports_of(servers: Servers) -> Iterator[str]:
    """The pages of that home, served where its links lead."""
    site = ReportSite(lambda: Workspace(servers.settings))
    with ReportServer(ServiceAccess.of(servers.reports, {}), site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def drawn_edges(page: Page) -> Iterator[tuple[str, str]]:
    """The arrows of the graph, by the boxes they leave on the right and reach on the left."""
    boxes = page.evaluate(_BOXES)
    for arrow in page.evaluate(_ARROWS):
        x0, y0, *_, x1, y1 = (float(number) for number in re.findall(r"-?[\d.]+", arrow))
        (source,) = (b["name"] for b in boxes if abs(b["x"] + b["width"] - x0) < 10 and inside(b, y0))
        (target,) = (b["name"] for b in boxes if abs(b["x"] - x1) < 10 and inside(b, y1))
        yield source, target


def inside(box: dict[str, Any], y: float) -> bool:
    return bool(box["y"] <= y <= box["y"] + box["height"])


def partitions_of_check(page: Page, gate: str) -> None:
    """Open a check's list of partitions, cut down to the seeded days."""
    page.goto(f"/assets/flights/validated?view=checks&checkDetail={gate}")
    page.locator("button#partitions").click()
    choose(page, page.get_by_placeholder("ex: ").first, f"[{SEEDED[0]}...{SEEDED[-1]}]")
    entry(page, SEEDED[-1]).wait_for()


def choose(page: Page, field: Locator, partitions: str) -> None:
    """Type partitions where Dagster lets choose some."""
    field.fill(partitions)
    page.keyboard.press("Enter")


def entry(page: Page, day: str) -> Locator:
    """A day in a list of partitions."""
    return page.locator(f"[data-tooltip='{day}']")


def colour_of(page: Page, day: str) -> str:
    """The computed colour of the dot beside a day."""
    dot = page.locator(f"[data-tooltip='{day}'] + div")
    return str(dot.evaluate("dot => getComputedStyle(dot).backgroundColor"))


def is_red(colour: str) -> bool:
    red, green, blue = rgb(colour)
    return red > 2 * max(green, blue)


def is_green(colour: str) -> bool:
    red, green, _ = rgb(colour)
    return green > 2 * red


def rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(float(number)) for number in re.findall(r"[\d.]+", colour)[:3])
    return red, green, blue


def backfill_status(servers: Servers, backfill: str) -> str:
    return str(servers.graphql(_BACKFILL_STATUS, id=backfill)["partitionBackfillOrError"]["status"])


def page_of(servers: Servers, day: str) -> str:
    """The address of a report's page, as Dagster has it."""
    (event,) = servers.graphql(_REPORT, day=day)["assetNodeOrError"]["latestMaterializationByPartition"]
    (url,) = (entry["url"] for entry in event["metadataEntries"] if entry["label"] == "page")
    return str(url)
