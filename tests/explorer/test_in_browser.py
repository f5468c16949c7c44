"""The explorer in Chromium, opened from disk: every control has its effect, and the numbers are those of Python.

Screenshots go to the folder named by PROXYCLIP_SCREENSHOTS, if it is set.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from browser import DESKTOP, PHONE, Browser
from test_arithmetic import cosines

import proxyclip as pc
from proxyclip.evaluation.metrics import Confusion
from proxyclip.explorer.document import Explorer, ExplorerLink
from proxyclip.explorer.export import export_scene
from proxyclip.loading import load_vfm

READY = "document.querySelector('[data-number=mean]') && !document.querySelector('[aria-busy=true]')"
NUMBERS = """Object.fromEntries(
  [...document.querySelectorAll('[data-number]')].map(e => [e.dataset.number, e.textContent]))"""
#: A digest of what a panel shows.
PICTURES = """[...document.querySelectorAll('.pce-panel canvas')].map(canvas => {
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 4) sum = (sum * 31 + pixels[i] + 2 * pixels[i + 1] + 3 * pixels[i + 2]) % 1e9;
  return sum;
})"""
IMAGE, COSINES, MASK, WEIGHTS, LABELS, TRUTH = range(6)


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    found = pc.dataset("tiny/context")[0]
    return np.array(found.image)[:96, :96], found.labels[:96, :96]


@pytest.fixture(scope="module")
def page(sample: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> str:
    image, truth = sample
    model, data = pc.load(vfm="tiny_sam"), pc.dataset("tiny/context")
    vfms = [model.vfm, load_vfm("tiny_mae", crop=64)]
    scenes = [export_scene(model, image, data.vocabulary, vfms=vfms, truth=truth, key="first", title="first"),
              export_scene(model, image[:64], data.vocabulary, vfms=vfms, key="second", title="second")]
    return Explorer(scenes).save(tmp_path_factory.mktemp("page") / "explorer.html").as_uri()


def opened_at(browser: Browser, address: str, size: tuple[int, int] = DESKTOP) -> Browser:
    """Load a page from scratch; it raises no error and asks for nothing outside itself."""
    browser.visit("about:blank", size)
    visit = browser.visit(address, size)
    assert browser.wait_until(READY, 30)
    assert not visit.errors and not visit.requests and visit.found["overflow"] <= 0
    return browser


@pytest.fixture
def opened(browser: Browser, page: str) -> Browser:
    return opened_at(browser, page)


def settled(browser: Browser) -> tuple[dict[str, str], list[int]]:
    """Numbers and pictures once all frames are drawn."""
    browser.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert browser.wait_until(READY, 30)
    return browser.evaluate(NUMBERS), browser.evaluate(PICTURES)


def place(browser: Browser, selector: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    """A point of an element, in pixels of the window."""
    return tuple(browser.evaluate(f"""(() => {{
      const element = document.querySelector({selector!r});
      element.scrollIntoView({{block: 'center'}});
      const box = element.getBoundingClientRect();
      return [box.left + box.width * {x}, box.top + box.height * {y}];
    }})()"""))


def mouse(browser: Browser, kind: str, x: float, y: float, **more: object) -> None:
    browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def key(browser: Browser, name: str, shift: bool = False) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, modifiers=8 if shift else 0)


def choose(browser: Browser, group: str, value: str) -> None:
    browser.evaluate(f"document.querySelector('.pce-{group} input[value={value}]').click()")


def slide(browser: Browser, name: str, value: float) -> None:
    browser.evaluate(f"""(() => {{
      const input = document.getElementById('explorer-{name}');
      input.value = {value};
      input.dispatchEvent(new Event('input', {{bubbles: true}}));
    }})()""")


def different(before: list[int], after: list[int]) -> set[int]:
    return {number for number, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("%", "").strip())


def test_hovering_another_patch_changes_its_row_and_not_the_labels(opened: Browser) -> None:
    _, before = settled(opened)
    mouse(opened, "mouseMoved", *place(opened, ".pce-image canvas", 0.8, 0.8))
    _, after = settled(opened)
    assert {IMAGE, COSINES, MASK, WEIGHTS} <= different(before, after)
    assert "mIoU" in opened.evaluate("document.querySelector('.pce-labels figcaption').textContent")


def test_a_click_holds_the_patch_and_another_releases_it(opened: Browser) -> None:
    for held in (True, False):
        x, y = place(opened, ".pce-image canvas", 0.3, 0.3)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            mouse(opened, kind, x, y, button="none" if kind == "mouseMoved" else "left", clickCount=1)
        _, before = settled(opened)
        mouse(opened, "mouseMoved", *place(opened, ".pce-image canvas", 0.7, 0.6))
        _, after = settled(opened)
        assert (before == after) is held


def test_arrow_keys_move_from_patch_to_patch(opened: Browser) -> None:
    caption = "document.querySelector('.pce-image figcaption span').textContent"
    opened.evaluate("document.querySelector('.pce-panels').focus()")
    key(opened, "ArrowUp", shift=True)  # away from the middle, where windows change
    key(opened, "ArrowUp", shift=True)
    settled(opened)
    seen = [opened.evaluate(caption)]
    for name in ("ArrowLeft", "ArrowRight"):
        key(opened, name)
        settled(opened)
        seen.append(opened.evaluate(caption))
    assert seen[0] == seen[2] != seen[1]


def test_a_finger_chooses_a_patch(browser: Browser, page: str) -> None:
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        opened_at(browser, page, PHONE)
        _, before = settled(browser)
        x, y = place(browser, ".pce-weights canvas", 0.15, 0.2)
        browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        _, after = settled(browser)
        assert {IMAGE, COSINES, WEIGHTS} <= different(before, after)
    finally:
        browser.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_each_slider_moves_row_mask_and_labels_and_back(opened: Browser) -> None:
    choose(opened, "vfm", "tiny_mae")  # in its last window nearly every row loses entries between the thresholds
    mouse(opened, "mouseMoved", *place(opened, ".pce-image canvas", 0.9, 0.9))
    for name, value, rule, moved in (
        ("beta", 1.9, "adaptive", {MASK, WEIGHTS, LABELS}), ("gamma", 12, "adaptive", {WEIGHTS, LABELS}),
        ("alpha", 0.9, "hard", {MASK, WEIGHTS, LABELS}), ("base", 0.7, "hard", {MASK, WEIGHTS, LABELS}),
        ("individual", 0.6, "hard", {COSINES, MASK, WEIGHTS, LABELS}),
    ):
        choose(opened, "rule", rule)
        numbers, before = settled(opened)
        usual = float(opened.evaluate(f"document.getElementById('explorer-{name}').value"))
        slide(opened, name, value)
        after_numbers, after = settled(opened)
        assert different(before, after) == moved, name
        assert (after_numbers["kept"] != numbers["kept"]) is (name != "gamma")
        assert opened.evaluate(f"document.querySelector('output[for=explorer-{name}]').textContent") == (
            f"{value:.1f}" if name == "gamma" else f"{value:.2f}")
        slide(opened, name, usual)
        assert settled(opened) == (numbers, before), name


def test_each_rule_changes_the_labels_and_shows_its_own_sliders(opened: Browser) -> None:
    _, before = settled(opened)
    for rule in ("hard", "identity", "qk", "qq", "kk"):
        choose(opened, "rule", rule)
        numbers, after = settled(opened)
        assert {WEIGHTS, LABELS} <= different(before, after), rule
        before = after
        shown = opened.evaluate("[...document.querySelectorAll('.pce-slider:not([hidden]) input')].map(e => e.id)")
        expected = {"hard": ["alpha", "base", "individual"], "identity": []}.get(rule, ["beta", "gamma"])
        assert shown == [f"explorer-{name}" for name in expected]
        if rule == "identity":
            assert number(numbers["single"]) == 100 and numbers["threshold"] == "none"
        unused = opened.evaluate("document.querySelector('.pce-vfm').classList.contains('pce-unused')")
        assert unused is (rule[0] in "qk")


def test_another_foundation_model_and_another_image_change_everything(opened: Browser) -> None:
    numbers, before = settled(opened)
    choose(opened, "vfm", "tiny_mae")
    other, after = settled(opened)
    assert {COSINES, MASK, WEIGHTS, LABELS} <= different(before, after) and other["mean"] != numbers["mean"]
    choose(opened, "scene", "second")
    assert opened.wait_until("document.querySelectorAll('.pce-panel').length === 5", 30)  # it has no ground truth
    assert settled(opened)[0]["miou"] == "no ground truth"


def test_an_image_shown_before_leaves_nothing_behind(browser: Browser, page: str) -> None:
    """Both images have windows of the same number, and only the first has a ground truth."""
    shown = {}
    for key in ("first", "second"):
        opened_at(browser, f"{page}#explorer?scene={key}&vfm=tiny_sam&rule=adaptive&beta=1.2&x=10&y=10")
        shown[key] = settled(browser)
    for key, panels in (("first", 6), ("second", 5)):  # "second" is open
        choose(browser, "scene", key)
        assert browser.wait_until(f"document.querySelectorAll('.pce-panel').length === {panels}", 30)
        assert settled(browser) == shown[key]


def test_dragging_the_threshold_is_the_same_as_moving_beta(opened: Browser) -> None:
    settled(opened)
    low = float(opened.evaluate("document.querySelector('.pce-handle').getAttribute('aria-valuemin')"))
    mean = number(settled(opened)[0]["mean"])
    x, y = place(opened, ".pce-plot-box", (1.1 * mean - low) / (1 - low), 0.5)
    mouse(opened, "mousePressed", x, y, button="left", clickCount=1, buttons=1)
    mouse(opened, "mouseMoved", x + 2, y, button="left", buttons=1)
    mouse(opened, "mouseReleased", x + 2, y, button="left", clickCount=1)
    numbers, _ = settled(opened)
    beta = number(opened.evaluate("document.querySelector('output[for=explorer-beta]').textContent"))
    assert beta != 1.2
    assert number(numbers["threshold"]) == pytest.approx(beta * number(numbers["mean"]), abs=0.005)
    opened.evaluate("document.querySelector('.pce-handle').focus()")
    key(opened, "ArrowRight")
    after, _ = settled(opened)
    assert number(after["threshold"]) == pytest.approx(number(numbers["threshold"]) + 0.01, abs=2e-3)


@pytest.mark.parametrize("vfm", ["tiny_sam", "tiny_mae"])
def test_numbers_shown_are_those_of_python(opened: Browser, sample: tuple[np.ndarray, np.ndarray], vfm: str) -> None:
    choose(opened, "vfm", vfm)
    settled(opened)
    mouse(opened, "mouseMoved", *place(opened, ".pce-image canvas", 0.1, 0.1))  # the first window
    numbers, _ = settled(opened)
    image, truth = sample
    model = pc.load(vfm=vfm)
    similarity = cosines(model, model.vfm, image, 0, "adaptive")
    threshold = 1.2 * similarity.mean()
    kept = similarity >= threshold
    assert number(numbers["mean"]) == pytest.approx(float(similarity.mean()), abs=6e-4)
    assert number(numbers["threshold"]) == pytest.approx(float(threshold), abs=6e-4)
    assert number(numbers["kept"]) == pytest.approx(100 * float(kept.double().mean()), abs=0.3)
    assert number(numbers["single"]) == pytest.approx(100 * float((kept.sum(1) <= 1).double().mean()), abs=0.5)
    data = pc.dataset("tiny/context")
    labels = model.segment(image, data.vocabulary).labels
    confusion = Confusion(len(data.vocabulary))
    confusion.update(labels, truth)
    assert number(numbers["miou"]) == pytest.approx(confusion.compute().miou, abs=0.5)


def test_the_address_keeps_the_state_and_brings_it_back(browser: Browser, page: str) -> None:
    link = ExplorerLink("hard masking", {"scene": "first", "vfm": "tiny_mae", "rule": "hard", "alpha": 0.7})
    assert "hard masking" in link._repr_html_()
    opened_at(browser, page + "#" + link.address.partition("#")[2])
    numbers, _ = settled(browser)
    assert number(numbers["threshold"]) == 0.7
    choose(browser, "rule", "qq")
    slide(browser, "beta", 0.9)
    assert browser.wait_until("location.hash.includes('beta=0.9') && location.hash.includes('rule=qq')", 5)


def test_a_notebook_shows_the_whole_explorer_in_a_frame(browser: Browser, page: str, tmp_path: Path) -> None:
    model = pc.load(vfm="tiny_sam")
    image = np.array(pc.dataset("tiny/context")[0].image)[:64, :64]
    explorer = model.explore(image, ["sky", "bricks"], pc.HardMask(0.5))
    (tmp_path / "notebook.html").write_text(f"<!doctype html><title>x</title><body>{explorer._repr_html_()}</body>")
    browser.visit("about:blank", DESKTOP)
    visit = browser.visit((tmp_path / "notebook.html").as_uri(), DESKTOP)
    inner = "document.querySelector('iframe').contentDocument"
    assert browser.wait_until(f"{inner}.querySelector('[data-number=threshold]')?.textContent === '0.500'", 30)
    whole = f"document.querySelector('iframe').offsetHeight >= {inner}.documentElement.offsetHeight"
    assert browser.wait_until(whole, 5)
    assert not visit.errors and not visit.requests


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_the_window_in_light_and_dark(browser: Browser, page: str, size: tuple[int, int]) -> None:
    opened_at(browser, page, size)
    try:
        for scheme in ("light", "dark"):
            browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
            if folder := os.environ.get("PROXYCLIP_SCREENSHOTS"):
                browser.screenshot(Path(folder) / f"explorer_{size[0]}_{scheme}.png")
    finally:
        browser.call("Emulation.setEmulatedMedia", features=[])


def test_every_control_has_a_name(opened: Browser) -> None:
    nameless = opened.evaluate("""[...document.querySelectorAll('.pce input, .pce button, .pce [tabindex]')]
      .filter(e => !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim())
      .map(e => e.outerHTML)""")
    assert not nameless
