"""A few days of flights behind real servers, and a headless browser in front of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from examples.flights.make_drops import make_drops
from tests.e2e.servers import Servers

SEEDED = tuple(f"2013-01-{day:02d}" for day in range(9, 16))
"""Of these 2013-01-09 has two bad records, 2013-01-12 is compressed, and 2013-01-15 is mostly an error page."""
HELD = "2013-01-15"
IN_STOCK = 20
PATIENCE_MS = 60_000
"""For a page; a busy machine with two cores is no reason to fail."""

Drop = Callable[[str], Path]
Picture = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drops that have not arrived yet."""
    folder = tmp_path_factory.mktemp("stock")
    list(make_drops(folder, IN_STOCK))
    return folder / "flights"


@pytest.fixture(scope="module")
def chromium() -> str:
    """Where the browser is. It cannot be installed by pip: CI must have it, a desk may go without."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("chromium is not installed (Debian: apt-get install chromium), so nothing can look at the UI")
    return found


@pytest.fixture(scope="module")
def servers(stock: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Dagster over a home in which the seeded days were ingested, by the sensor."""
    servers = Servers(tmp_path_factory.mktemp("e2e") / "home")
    (servers.settings.drops / "flights").mkdir(parents=True)
    for day in SEEDED:
        arrive(stock, servers, day)
    try:
        servers.start()
        servers.wait_for([day for day in SEEDED if day != HELD], "published")
        servers.wait_for([HELD], "held")
        yield servers
    finally:
        left = servers.stop()
    assert not left, f"Ctrl-C left processes behind: {left}"


@pytest.fixture
def drop(stock: Path, servers: Servers) -> Drop:
    """Let the file of a day arrive."""
    return lambda day: arrive(stock, servers, day)


@pytest.fixture
def by_hand(servers: Servers) -> Iterator[None]:
    """With the drop sensor off, so that what happens was asked for."""
    servers.switch_sensor("flights_drops", on=False)
    yield
    servers.switch_sensor("flights_drops", on=True)


# Not for the whole session: while it is open, playwright keeps an event loop running that Dagster cannot live beside.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium, without a window."""
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, servers: Servers) -> Iterator[Page]:
    """A page of the UI. It may ask this server and nobody else: the platform works without a network."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, base_url=servers.url, color_scheme="light")
    context.set_default_timeout(PATIENCE_MS)
    asked: set[str] = set()

    def remember(request: Request) -> None:
        if not request.url.startswith((f"{servers.url}/", f"http://{servers.reports}/", "data:", "blob:")):
            asked.add(request.url)

    page = context.new_page()
    page.on("request", remember)
    yield page
    context.close()
    assert not asked, f"the UI asked beyond this machine: {asked}"


@pytest.fixture(scope="module")
def picture() -> Picture:
    """Take a picture for the documentation, if HASHGATE_SCREENSHOTS names a folder for them."""
    folder = os.environ.get("HASHGATE_SCREENSHOTS")

    def take(page: Page, name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png")

    return take


def arrive(stock: Path, servers: Servers, day: str) -> Path:
    """Put a day's file into the drop folder as a careful sender does: it appears whole."""
    (file,) = stock.glob(f"flights-{day}*")
    staged = servers.settings.home / "staged-drop"
    shutil.copy(file, staged)
    return staged.rename(servers.settings.drops / "flights" / file.name)
