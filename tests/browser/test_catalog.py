"""The pages of an endpoint in a browser: the catalog, and those that describe its API."""

import ast
import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import contrast, new_page, screenshot
from tests.endpoint.canary import secret, watch
from tests.endpoint.service import Endpoint

pytestmark = pytest.mark.browser

PREFIX = "/lab/api"
READABLE = 4.5  # of WCAG 2, level AA
EVIL = "<img src=x onerror=\"document.title='broken'\"> & <b>bold</b>"
RAIN = {
    "name": "rain-gauges",
    "title": "Rain gauges",
    "owner_org": "hydrology",
    "notes": "Hourly sums of forty gauges.\n\nGaps stay empty.",
    "tags": ["rain", "hourly"],
    "version": "1.2",
    "extras": {"station_count": 40, "contact": {"name": "Gauge team"}},
    "resources": [
        {
            "url": "https://data.example.org/2026.csv",
            "name": "sums",
            "format": "CSV",
            "size": 48213,
        },
        {"url": "s3://rain/all", "name": "all", "format": "Parquet"},
        {"url": "https://data.example.org/grid.nc?v=2", "name": "grid"},
        {"url": "https://data.example.org/cube.zarr", "name": "cube", "format": "zarr"},
        {"url": "https://data.example.org/a\"b\\c'.json", "name": "odd", "format": "JSON"},
        {"url": "./read.me", "name": "help", "format": "PDF"},
    ],
}
LOADED = {
    "sums": 'df = pd.read_csv("https://data.example.org/2026.csv")',
    "all": 'df = pd.read_parquet("s3://rain/all")',
    "grid": 'ds = xr.open_dataset(fsspec.open("https://data.example.org/grid.nc?v=2").open())',
    "cube": 'ds = xr.open_zarr("https://data.example.org/cube.zarr")',
    "odd": 'data = json.load(urlopen("https://data.example.org/a\\"b\\\\c\'.json"))',
}


@pytest.fixture(scope="module")
def token():
    return secret("admin")


@pytest.fixture(scope="module")
def site(token, tmp_path_factory):
    """The address of an endpoint with datasets of every kind."""
    directory = tmp_path_factory.mktemp("endpoint")
    watch(directory)
    settings = {
        "REXEC_EP_DEVELOPMENT": "true",
        "TEST_TOKEN": token,
        "ROOT_PATH": PREFIX,
        "EP_NAME": "Rain & <i>shine</i>",
        "ORGANIZATION": "Hydrology",
    }
    with Endpoint(directory, settings) as endpoint, endpoint.client(token) as client:
        for name in ("hydrology", "ocean"):
            made = client.post("/organization", json={"name": name, "title": name.title()})
            made.raise_for_status()
        datasets = [RAIN]
        datasets += [
            {"name": f"buoy-{number:02}", "title": f"Buoy {number}", "owner_org": "ocean"}
            for number in range(60)
        ]
        datasets += [
            {"name": "draft", "title": "Draft", "owner_org": "ocean", "private": True},
            {
                "name": "evil",
                "title": EVIL,
                "owner_org": "ocean",
                "notes": EVIL,
                "tags": [EVIL],
                "extras": {EVIL: EVIL},
                "resources": [{"url": "https://e.org/", "name": EVIL, "description": EVIL}],
            },
        ]
        for dataset in datasets:
            client.post("/dataset", json=dataset).raise_for_status()
        typed = {
            "/kafka": {
                "dataset_name": "levels",
                "dataset_title": "Gauge levels",
                "owner_org": "hydrology",
                "kafka_topic": "levels",
                "kafka_host": "kafka.example.org",
                "kafka_port": 9092,
            },
            "/url": {
                "resource_name": "winds",
                "resource_title": "Winds",
                "owner_org": "hydrology",
                "resource_url": "https://data.example.org/winds",
                "file_type": "CSV",
                "processing": {"delimiter": ";", "comment_char": "#"},
            },
        }
        for path, body in typed.items():
            client.post(path, json=body).raise_for_status()
        yield endpoint.url + PREFIX


@pytest.fixture
def browser_page(chromium, request):
    """A page that fails the test for whatever goes wrong in it, or is asked for elsewhere."""
    options = getattr(request, "param", {})
    trouble = []
    with new_page(chromium, viewport={"width": 1100, "height": 850}, **options) as page:
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith("blob:") or urlsplit(asked.url).hostname == "127.0.0.1"
                else trouble.append(asked.url)
            ),
        )
        page.trouble = trouble
        yield page
    assert not trouble


def hits(page):
    return page.locator(".hits > li")


def wait_for_hits(page, count):
    expect(hits(page)).to_have_count(count)


# ----------------------------------------------------------------------------- searching


def test_everything_is_found_by_words_organization_and_format(site, browser_page):
    page = browser_page
    page.goto(site)
    wait_for_hits(page, 25)
    expect(page.get_by_text("The newest 25 datasets").first).to_be_visible()
    expect(page).to_have_title("Rain & <i>shine</i> · Hydrology")
    page.get_by_label("Search for datasets").fill("GAUGE forty")
    wait_for_hits(page, 1)
    expect(hits(page)).to_contain_text("Rain gauges")
    expect(hits(page).get_by_role("list", name="Formats")).to_contain_text("Parquet")
    page.get_by_label("Search for datasets").fill("")
    page.get_by_label("Organization").select_option("hydrology")
    wait_for_hits(page, 3)
    page.get_by_label("Format", exact=True).select_option("CSV")
    wait_for_hits(page, 1)
    page.goto(f'{site}/?q="forty gauges"')
    wait_for_hits(page, 1)
    page.goto(f'{site}/?q="gauges forty"')
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    page.get_by_role("button", name="Show all datasets").click()
    wait_for_hits(page, 25)
    expect(page.get_by_label("Search for datasets")).to_be_focused()


def test_more_is_shown_on_request_and_the_keyboard_goes_on_there(site, browser_page):
    page = browser_page
    page.goto(f"{site}/?org=ocean")
    wait_for_hits(page, 25)
    page.get_by_role("button", name="Show more").press("Enter")
    wait_for_hits(page, 50)
    expect(hits(page).nth(25).get_by_role("link")).to_be_focused()
    page.get_by_role("button", name="Show more").press("Enter")
    wait_for_hits(page, 61)
    expect(page.get_by_role("button", name="Show more")).to_have_count(0)


def test_a_search_has_an_address_and_back_returns_to_it(site, browser_page):
    page = browser_page
    page.goto(site)
    page.get_by_label("Search for datasets").fill("rain gauges")
    wait_for_hits(page, 1)
    expect(page).to_have_url(f"{site}/?q=rain+gauges")
    hits(page).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Rain gauges")
    expect(page).to_have_url(f"{site}/?dataset=rain-gauges")
    page.go_back()
    wait_for_hits(page, 1)
    expect(page.get_by_label("Search for datasets")).to_have_value("rain gauges")
    page.go_forward()
    page.get_by_role("link", name="All datasets").click()
    wait_for_hits(page, 1)


def test_the_keyboard_alone_is_enough(site, browser_page):
    page = browser_page
    page.goto(site)
    wait_for_hits(page, 25)
    expect(page.get_by_label("Search for datasets")).to_be_focused()
    page.keyboard.type("rain gauges")
    # While it is typed a part of it may be searched for.
    expect(page).to_have_url(f"{site}/?q=rain+gauges")
    expect(page.locator("main[aria-busy]")).to_have_count(0)
    wait_for_hits(page, 1)
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(hits(page).get_by_role("link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.keyboard.press("/")
    wait_for_hits(page, 1)
    page.goto(site)
    wait_for_hits(page, 25)
    page.locator("h1").focus()
    page.keyboard.press("/")
    expect(page.get_by_label("Search for datasets")).to_be_focused()
    expect(page.get_by_label("Search for datasets")).to_have_value("")


# ----------------------------------------------------------------------------- a dataset


def test_a_dataset_shows_its_resources_and_a_line_that_loads_each(site, browser_page):
    page = browser_page
    page.goto(f"{site}/?dataset=rain-gauges")
    expect(page.get_by_role("heading", level=1)).to_have_text("Rain gauges")
    for text in ("Gaps stay empty.", "hourly", "1.2", "station_count", "Gauge team", "48.2 kB"):
        expect(page.get_by_text(text).first).to_be_visible()
    expect(page.get_by_text("ndp_user_id")).to_have_count(0)
    for name, line in LOADED.items():
        section = page.locator("section", has=page.get_by_role("heading", name=name, exact=True))
        direct, through = section.locator("pre").all_inner_texts()
        assert direct.endswith(line)
        assert f'EndpointClient("{site}").get_resource("' in through
        for code in (direct, through):
            assert "\n" not in code
            ast.parse(code)
    section = page.locator("section", has=page.get_by_role("heading", name="help", exact=True))
    expect(section).to_contain_text("No code is known that loads this.")
    expect(section.locator("pre")).to_have_count(0)
    expect(page.get_by_role("link", name="./read.me")).to_have_count(0)
    page.get_by_role("link", name="hourly").click()
    wait_for_hits(page, 1)


def test_what_was_registered_by_kind_is_loaded_by_kind(site, browser_page):
    page = browser_page
    page.goto(f"{site}/?dataset=levels")
    topic = 'KafkaConsumer("levels", bootstrap_servers="kafka.example.org:9092")'
    expect(page.locator("pre").first).to_contain_text(topic)
    page.goto(f"{site}/?dataset=winds")
    table = 'pd.read_csv("https://data.example.org/winds", sep=";", comment="#")'
    expect(page.locator("pre").first).to_contain_text(table)


@pytest.mark.parametrize("broken", ["abort", "refuse"])
def test_without_the_code_the_dataset_is_shown_all_the_same(site, browser_page, broken):
    page = browser_page
    page.route(
        "**/pages/code/*",
        lambda route: route.abort() if broken == "abort" else route.fulfill(status=502, body="?"),
    )
    page.goto(f"{site}/?dataset=rain-gauges")
    expect(page.get_by_role("heading", level=1)).to_have_text("Rain gauges")
    told = page.get_by_text("The code that loads it cannot be told now. Load this page again.")
    expect(told).to_have_count(len(RAIN["resources"]))
    expect(page.get_by_role("link", name="https://data.example.org/2026.csv")).to_be_visible()
    page.trouble.clear()


@pytest.mark.parametrize(
    "browser_page", [{"permissions": ["clipboard-read", "clipboard-write"]}], indirect=True
)
def test_a_line_is_copied_as_it_is(site, browser_page):
    page = browser_page
    page.goto(f"{site}/?dataset=rain-gauges")
    page.get_by_role("button", name="Copy: By its address").first.click()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"import pandas as pd; {LOADED['sums']}"


def test_whatever_a_dataset_holds_is_shown_as_text(site, browser_page):
    page = browser_page
    page.goto(f"{site}/?q=bold")
    wait_for_hits(page, 1)
    expect(hits(page).get_by_role("heading")).to_have_text(EVIL)
    hits(page).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(EVIL)
    expect(page.get_by_role("heading", level=3)).to_have_text(EVIL)
    expect(page.locator("dt", has_text=EVIL)).to_be_visible()
    expect(page).to_have_title(f"{EVIL} · Rain & <i>shine</i> · Hydrology")
    assert page.locator("main img, main b:not(figcaption b)").count() == 0


def test_private_datasets_are_shown_to_whoever_signs_in(site, token, browser_page):
    page = browser_page
    page.goto(f"{site}/?dataset=draft")
    expect(page.get_by_role("heading", name="There is no such dataset")).to_be_visible()
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Token").fill("nothing that is valid")
    page.get_by_label("Token").press("Enter")
    expect(page.get_by_role("alert")).not_to_be_empty()
    page.get_by_label("Token").fill(token)
    page.get_by_label("Token").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Draft")
    expect(page.get_by_text("private", exact=True)).to_be_visible()
    assert (
        page.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
    )
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="There is no such dataset")).to_be_visible()
    # The browser tells of the answers that were expected here.
    answers = re.compile(r"status of (401|404|503)")
    page.trouble[:] = [said for said in page.trouble if not answers.search(said)]


def test_an_endpoint_that_does_not_answer_is_told_and_asked_again(site, browser_page):
    page = browser_page
    page.goto(site)
    wait_for_hits(page, 25)
    page.route("**/search?*", lambda route: route.abort())
    page.get_by_label("Search for datasets").fill("rain gauges")
    expect(page.get_by_text("The endpoint does not answer.").first).to_be_visible()
    page.unroute("**/search?*")
    page.get_by_role("button", name="Try again").click()
    wait_for_hits(page, 1)
    page.trouble.clear()


# ------------------------------------------------------------------------ how it looks


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize(
    "browser_page",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}],
    ids=["light", "dark"],
    indirect=True,
)
def test_it_fits_any_window_and_can_be_read_in_light_and_in_dark(
    site, browser_page, request, width
):
    page = browser_page
    page.set_viewport_size({"width": width, "height": 850})
    for name, path in {"search": "/", "dataset": "/?dataset=rain-gauges"}.items():
        page.goto(site + path)
        expect(page.locator("main :is(.hits, .resource)").first).to_be_visible()
        screenshot(page, f"catalog-{name}-{request.node.callspec.id}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for about in page.locator(".about, .chips li, h1, .name").all()[:6]:
            assert contrast(about) >= READABLE


# --------------------------------------------------------------------------- the API's pages


def test_the_api_can_be_tried_out_without_anything_from_elsewhere(site, token, browser_page):
    page = browser_page
    page.goto(f"{site}/docs")
    page.get_by_role("button", name="Authorize").click()
    page.locator(".auth-container input").fill(token)
    page.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close", exact=True).click()
    operation = page.locator(".opblock", has=page.locator('[data-path="/user/info"]'))
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("test_user")
    screenshot(page, "api-docs")


def test_the_api_can_be_read_about_without_anything_from_elsewhere(site, browser_page):
    page = browser_page
    page.goto(f"{site}/redoc")
    expect(page.get_by_role("heading", name="rexec endpoint")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Datasets")).to_be_visible()
    screenshot(page, "api-redoc")
    # Redoc asks for a picture of its maker's; the policy of the page keeps that from being sent.
    page.trouble[:] = [said for said in page.trouble if "cdn.redoc.ly" not in said]
