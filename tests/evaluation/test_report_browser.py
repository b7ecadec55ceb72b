"""The report in a real browser: it opens from a file without network, and its map answers hands and keys."""

from __future__ import annotations

import re
import shutil

import geopandas as gpd
import pytest
import rasterio

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed (apt-get install chromium)", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api")

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

# Where a polygon is on the screen while the whole scene is shown.
SCREEN = """([x, y]) => {
  const [width, height] = JSON.parse(document.getElementById("field-map-data").textContent).size;
  const canvas = document.querySelector("#field-map canvas");
  const edge = canvas.getBoundingClientRect();
  const k = Math.min(edge.width / width, edge.height / height);
  return [(edge.width - width * k) / 2 + x * k, (edge.height - height * k) / 2 + y * k];
}"""
COLOURS = """() => {
  const canvas = document.querySelector("#field-map canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""
PIXELS = """() => document.querySelector("#field-map canvas").toDataURL()"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


class Visit:
    """The report open in a window, with everything that it said or asked for."""

    def __init__(self, browser, report, **options):
        self.context = browser.new_context(**{"reduced_motion": "reduce", **options})
        self.page = self.context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(report.as_uri())
        self.canvas = self.page.locator("#field-map canvas")
        self.canvas.scroll_into_view_if_needed()
        self.rest()

    def rest(self):
        self.page.wait_for_timeout(350)

    def panel(self):
        return self.page.locator("#field-map .panel").inner_text()


@pytest.fixture
def visit(browser, demo):
    visits = []

    def open_at(width=1280, **options):
        visits.append(Visit(browser, demo.report, viewport={"width": width, "height": 800}, **options))
        return visits[-1]

    yield open_at
    for each in visits:
        each.context.close()


@pytest.fixture(scope="module")
def largest(demo):
    """The largest field and a point of the picture inside it."""
    with rasterio.open(demo.scene) as src:
        frame = gpd.read_file(demo.polygons).to_crs(src.crs)
        field = frame.loc[frame["area_ha"].idxmax()]
        inside = field.geometry.representative_point()
        return field, ~src.transform @ (inside.x, inside.y)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_says_nothing_to_the_console_and_asks_nothing_of_the_network(visit, demo, scheme):
    seen = visit(color_scheme=scheme)
    assert seen.said == []
    assert [url for url in seen.asked if not url.startswith("data:")] == [demo.report.as_uri()]


@pytest.mark.parametrize("width", [1280, 768, 390, 360])
def test_is_never_wider_than_the_window(visit, width):
    seen = visit(width)
    assert seen.page.evaluate("document.documentElement.scrollWidth") == width


def test_every_picture_can_be_decoded(visit):
    sizes = visit().page.evaluate("[...document.images].map((i) => i.naturalWidth)")
    assert len(sizes) > 40
    assert min(sizes) > 0


def test_the_map_shows_the_scene_and_its_fields(visit):
    seen = visit()
    with_fields = seen.page.evaluate(PIXELS)
    assert seen.page.evaluate(COLOURS) > 1000
    seen.page.get_by_label("Show the fields").uncheck()
    seen.rest()
    assert seen.page.evaluate(PIXELS) != with_fields
    assert seen.page.evaluate(COLOURS) > 1000


def test_a_click_on_a_field_shows_its_attributes_and_a_click_beside_it_none(visit, largest):
    field, point = largest
    seen = visit()
    x, y = seen.page.evaluate(SCREEN, list(point))
    seen.canvas.click(position={"x": x, "y": y})
    panel = seen.panel()
    assert f"Field {field['id']}" in panel
    assert f"{field['area_ha']:.2f} ha" in panel
    assert f"{field['perimeter_m']:,.0f} m" in panel
    assert f"{field['confidence']:.3f}" in panel
    seen.canvas.click(position={"x": 2, "y": 2})
    assert "No field selected" in seen.panel()


def test_a_tap_on_a_phone_selects_too(visit, largest):
    field, point = largest
    seen = visit(390, has_touch=True, is_mobile=True, device_scale_factor=2)
    x, y = seen.page.evaluate(SCREEN, list(point))
    seen.canvas.tap(position={"x": x, "y": y})
    assert f"Field {field['id']}" in seen.panel()


def test_dragging_moves_the_map_and_selects_nothing(visit, largest):
    _, point = largest
    seen = visit()
    edge = seen.canvas.bounding_box()
    seen.page.get_by_role("button", name="Zoom in").click()
    seen.rest()
    before = seen.page.evaluate(PIXELS)
    x, y = seen.page.evaluate(SCREEN, list(point))
    seen.page.mouse.move(edge["x"] + x, edge["y"] + y)
    seen.page.mouse.down()
    seen.page.mouse.move(edge["x"] + edge["width"] / 2 + 60, edge["y"] + edge["height"] / 2 + 40, steps=4)
    seen.page.mouse.up()
    seen.rest()
    assert seen.page.evaluate(PIXELS) != before
    assert "No field selected" in seen.panel()


def test_wheel_buttons_and_keys_zoom_in_and_show_all_again(visit):
    seen = visit()
    whole = seen.page.evaluate(PIXELS)
    edge = seen.canvas.bounding_box()
    seen.page.mouse.move(edge["x"] + edge["width"] / 2, edge["y"] + edge["height"] / 2)
    seen.page.mouse.wheel(0, -300)
    seen.rest()
    assert seen.page.evaluate(PIXELS) != whole
    seen.page.get_by_role("button", name="Show the whole scene").click()
    seen.rest()
    assert seen.page.evaluate(PIXELS) == whole
    seen.canvas.focus()
    for key in ("+", "+", "ArrowLeft", "0"):
        seen.page.keyboard.press(key)
    seen.page.get_by_role("button", name="Zoom out").click()
    seen.rest()
    assert seen.page.evaluate(PIXELS) == whole


def test_next_steps_from_the_least_confident_field(visit, demo):
    ranked = gpd.read_file(demo.polygons).sort_values("confidence", kind="stable")
    seen = visit()
    for place, field in enumerate(ranked.head(3).itertuples(), 1):
        seen.page.get_by_role("button", name="Next").click()
        assert f"{field.confidence:.3f}" in seen.panel()
        assert re.search(rf"Rank\s+{place} of {len(ranked)}", seen.panel())
    assert seen.said == []


def test_enter_selects_what_lies_in_the_middle_and_escape_lets_go(visit, demo):
    with rasterio.open(demo.scene) as src:
        middle = gpd.points_from_xy(*([v] for v in src.transform @ (src.width / 2, src.height / 2)))[0]
        frame = gpd.read_file(demo.polygons).to_crs(src.crs)
    there = frame.loc[frame.contains(middle), "id"].tolist()
    seen = visit()
    seen.canvas.focus()
    seen.page.keyboard.press("Enter")
    assert seen.panel().startswith(f"Field {there[0]}" if there else "No field selected")
    seen.page.keyboard.press("n")
    assert seen.panel().startswith("Field ")
    seen.page.keyboard.press("Escape")
    assert seen.panel().startswith("No field selected")


def test_two_fingers_zoom_about_the_place_between_them(visit, largest):
    field, point = largest
    seen = visit(390, has_touch=True, is_mobile=True)
    before = seen.page.evaluate(PIXELS)
    edge = seen.canvas.bounding_box()
    x, y = (a + b for a, b in zip(seen.page.evaluate(SCREEN, list(point)), (edge["x"], edge["y"]), strict=True))
    hands = seen.context.new_cdp_session(seen.page)

    def touch(kind, reach):
        points = [{"x": x - reach, "y": y, "id": 0}, {"x": x + reach, "y": y, "id": 1}] if reach else []
        hands.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 15)
    for reach in (18, 22, 26, 30):
        touch("touchMove", reach)
    touch("touchEnd", 0)
    seen.rest()
    assert seen.page.evaluate(PIXELS) != before
    assert seen.panel().startswith("No field selected")
    seen.page.touchscreen.tap(x, y)
    assert seen.panel().startswith(f"Field {field['id']}")
