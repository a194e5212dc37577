"""Every page, in every look."""

import pytest
from tests.browser.browser import open_browser, set_look, set_width
from tests.browser.eyes import Eyes
from tests.browser.stage import AdminProcess, Stage

PATHS = (
    "/", "/topics/orders", "/topics/orders/billing", "/nodes", "NODE", "/topology", "/counter",
    "/lookup", "/policies?topic=orders", "/action/delete?topic=orders", "/channels",
    "/messages?topic=thumbnails&channel=resize",
)  # fmt: skip


def contrast(*colours: list[float]) -> float:
    """The ratio of two colours' luminance, as WCAG defines it."""

    def luminance(colour: list[float]) -> float:
        parts = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in (value / 255 for value in colour)
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    darker, lighter = sorted(luminance(colour) for colour in colours)
    return float((lighter + 0.05) / (darker + 0.05))


def real(path: str, stage: Stage) -> str:
    return f"/nodes/{stage.nsqds[0].http}" if path == "NODE" else path


@pytest.mark.parametrize("path", PATHS)
def test_a_page_comes_without_complaints_from_the_console(
    eyes: Eyes, stage: Stage, path: str
) -> None:
    if path.startswith(("/action", "/policies", "/messages")):
        eyes.open(path)
    else:
        eyes.open_live(real(path, stage))
    assert eyes.css("h1")


@pytest.mark.parametrize("path", PATHS)
def test_all_text_has_enough_contrast(eyes: Eyes, stage: Stage, path: str) -> None:
    eyes.open(real(path, stage))
    for dark in (False, True):
        set_look(eyes.driver, dark=dark)
        assert eyes.pale() == [], dark


@pytest.mark.parametrize("dark", [False, True])
def test_fields_stand_out_from_what_is_behind_them(eyes: Eyes, dark: bool) -> None:
    set_look(eyes.driver, dark=dark)
    eyes.open("/lookup")
    edge, inside, outside = eyes.run(
        "const field = document.querySelector('.form input');"
        "const colour = (element, name) =>"
        " getComputedStyle(element)[name].match(/[0-9.]+/g).slice(0, 3).map(Number);"
        "return [colour(field, 'borderTopColor'), colour(field, 'backgroundColor'),"
        " colour(field.closest('.form'), 'backgroundColor')]"
    )
    assert contrast(edge, inside) >= 3
    assert contrast(edge, outside) >= 3


@pytest.mark.parametrize("path", PATHS)
def test_no_page_is_wider_than_its_screen(eyes: Eyes, stage: Stage, path: str) -> None:
    if path.startswith("/policies"):
        policy = b'{"pattern": "wide", "definition": {"dead_letter_topic": "a.rather.long.name"}}'
        stage.nsqds[0].request("PUT", "/policy/set?name=wide", policy)
    eyes.open(real(path, stage))
    for width in (400, 768, 1440, 2560):
        set_width(eyes.driver, width)
        assert eyes.run("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("path", ["/channels", "/policies"])
def test_a_phone_shows_which_page_is_open(eyes: Eyes, path: str) -> None:
    for width in (320, 400):
        set_width(eyes.driver, width)
        eyes.open(path)
        left, right = eyes.run(
            "const box = document.querySelector('.nav [aria-current]').getBoundingClientRect();"
            "return [box.left, box.right]"
        )
        assert left >= 0
        assert right <= width + 1


def test_a_phone_shows_channels_with_topic_and_depth(eyes: Eyes) -> None:
    set_width(eyes.driver, 400)
    eyes.open("/channels")
    rows = eyes.run(
        "return [...document.querySelectorAll('tbody tr')].map(row => ["
        "row.querySelector('th').innerText,"
        "row.querySelector('.num').getBoundingClientRect().right])"
    )
    assert rows
    assert all(len(name.split()) >= 2 and right <= 400 - 12 for name, right in rows)
    assert not eyes.css(".table-wrap.more")


def test_a_phone_shows_what_nodes_do_and_not_their_ports(eyes: Eyes) -> None:
    set_width(eyes.driver, 400)
    eyes.open("/nodes")
    heads = eyes.run(
        "return [...document.querySelectorAll('main thead th')]"
        ".filter(head => head.getBoundingClientRect().width)"
        ".map(head => [head.innerText.trim(), head.getBoundingClientRect().right])"
    )
    in_sight = [text for text, right in heads if right <= 400]
    assert {"Rate/s", "Depth"} <= {text.rstrip(" ↓↑▾▴") for text in in_sight}
    assert not [text for text, _ in heads if "port" in text.lower()]


# Cells of the page, on the screen as it opens, in whose middle another cell is seen.
COVERED = """
const hidden = [];
for (const cell of document.querySelectorAll("main tbody tr:not(.graphs) > *")) {
  const box = cell.getBoundingClientRect(), x = (box.left + box.right) / 2;
  const y = (box.top + box.bottom) / 2;
  if (!box.width || x < 0 || x > innerWidth || y < 0 || y > innerHeight) continue;
  const seen = document.elementFromPoint(x, y);
  const other = seen && seen.closest("td, th");
  if (other && other !== cell) hidden.push(cell.innerText + " under " + other.innerText);
}
return hidden;
"""


@pytest.mark.parametrize("path", ["/topics/orders", "/topics/orders/billing", "NODE"])
def test_no_cell_lies_under_the_column_of_actions(eyes: Eyes, stage: Stage, path: str) -> None:
    for width in (1280, 1440):
        set_width(eyes.driver, width, 2000)
        eyes.open(real(path, stage))
        if path == "/topics/orders/billing":
            assert "50th" in eyes.text()
        assert eyes.run(COVERED) == []


def test_a_port_is_not_cut_in_two(eyes: Eyes) -> None:
    set_width(eyes.driver, 400)
    eyes.open("/topics/orders/billing")
    lines = eyes.run(
        "return [...document.querySelectorAll('.port')].map(port => port.getClientRects().length)"
    )
    assert lines
    assert set(lines) == {1}


@pytest.mark.parametrize("path", ["/topics/orders/billing", "NODE"])
def test_a_client_with_endless_names_takes_no_more_room_than_others(
    eyes: Eyes, stage: Stage, path: str
) -> None:
    peer = stage.crowd.join(
        stage.nsqds[0], "orders", "billing", client_id="i" * 200, hostname="endless" + "h" * 200,
        user_agent="a" * 200, topology_region="r" * 200, topology_zone="z" * 200,
    )  # fmt: skip
    try:
        for width in (400, 1280):
            set_width(eyes.driver, width)
            eyes.open_live(real(path, stage))
            eyes.see("endless")
            assert eyes.run("return document.documentElement.scrollWidth") <= width
            assert eyes.run("return document.querySelector('.clip').offsetWidth") < width / 2 + 20
    finally:
        peer.sock.shutdown(2)


def test_header_content_and_footer_begin_at_the_same_edge(eyes: Eyes) -> None:
    eyes.open("/topics/orders")
    for width in (400, 1280, 2560):
        set_width(eyes.driver, width)
        edges = eyes.run(
            "return ['.brand', 'main h1', '.foot span']"
            ".map(s => Math.round(document.querySelector(s).getBoundingClientRect().left))"
        )
        assert len(set(edges)) == 1, (width, edges)


def test_a_dark_system_gets_dark_pages_and_the_button_changes_them(eyes: Eyes) -> None:
    def brightness() -> int:
        colour = eyes.run("return getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour[4:-1].split(","))

    set_look(eyes.driver, dark=True)
    eyes.open("/")
    assert brightness() < 150
    eyes.click("#theme")  # light, whatever the system says
    assert brightness() > 600
    eyes.open("/nodes")
    assert brightness() > 600
    eyes.click("#theme")
    assert brightness() < 150
    eyes.click("#theme")
    set_look(eyes.driver, dark=False)
    assert brightness() > 600


def test_pages_read_well_without_scripts(admin: AdminProcess, stage: Stage) -> None:
    with open_browser(scripts=False) as driver:
        eyes = Eyes(driver, admin.url)
        for path in PATHS:
            eyes.open(real(path, stage))
            assert eyes.css("h1")
        eyes.open("/topics/orders")
        assert "billing" in eyes.text()
        eyes.click("a[href='/action/pause?topic=orders']")
        eyes.click("#confirm button[type=submit]")
        eyes.see("paused", "h1")
        eyes.click("a[href='/action/unpause?topic=orders']")
        eyes.click("#confirm button[type=submit]")
        eyes.until(lambda: "paused" not in eyes.text("h1"), "the topic is unpaused")


def test_the_keyboard_reaches_everything_in_sight(eyes: Eyes) -> None:
    eyes.open("/topics/orders")
    unreachable = eyes.run(
        "return [...document.querySelectorAll('main a, main button, main input')]"
        ".filter(e => e.tabIndex < 0).length"
    )
    assert unreachable == 0
    nameless = eyes.run(
        "return [...document.querySelectorAll('a, button, input:not([type=hidden])')]"
        ".filter(e => !(e.textContent.trim() || e.ariaLabel || e.title || e.labels?.length"
        " || e.querySelector('img[alt], svg[aria-label]'))).map(e => e.outerHTML)"
    )
    assert nameless == []
