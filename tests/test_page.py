"""The page in a real browser: what is spoken, chosen or typed arrives whole, and is shown to all.

Skipped where there is no Chromium. Its microphone plays a file of ours.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serving
import soundfile

pytest.importorskip("uvicorn")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "utils"))
from browser import Browser, Page, find

from atat.apps.recognizer import Recognizer
from atat.apps.server.app import Service
from atat.apps.server.limits import Limits
from atat.base.errors import InputError
from atat.text.tasks import TASKS
from atat.text.understanding import Hypothesis, SaidWord, Understanding, understand

CHROMIUM = find()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

RATE = 16000
NESTED = (
    "[IN:GET_DIRECTIONS take me to [SL:DESTINATION [IN:GET_EVENT the [SL:NAME_EVENT concert ] "
    "[SL:DATE_TIME tonight ] ] ] [SL:METHOD by bus ] ]"
)
SAID = "take me to the concert tonight by bus".split()
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"
# What a model may write, and people may say: words, a reason for none, letters of any kind.
ANSWERS = {
    "nested": understand(
        "slu",
        [
            Hypothesis(NESTED, -0.1, 12),
            Hypothesis("[IN:GET_EVENT ", -1.2, 3),
            Hypothesis("a", -9, 1),
        ],
        is_tree=True,
        said=[SaidWord(word, (0.2 * i + 0.1, 0.2 * i + 0.3)) for i, word in enumerate(SAID)],
        confidence=0.914,
        threshold=0.6,
        duration=2.0,
    ),
    "unsure": understand(
        "slu",
        [Hypothesis("[IN:STOP stop ]", -2.0, 4)],
        is_tree=True,
        confidence=0.31,
        threshold=0.6,
        duration=2.0,
    ),
    "malformed": understand("nlu", [Hypothesis("[IN:STOP ] ]", -2.0, 4)], is_tree=True),
    "words": understand("asr", [Hypothesis("take me home", -0.2, 4)], is_tree=False),
    "evil": understand(
        "nlu", [Hypothesis(f"[IN:A{EVIL} [SL:B{EVIL} {EVIL} ] ]", -2.0, 4)], is_tree=True
    ),
}
CONTRAST = """(() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const found = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].filter((n) => n.nodeType === 3);
    const text = own.map((n) => n.data.trim()).join("");
    if (!text || !one.checkVisibility() || one.closest(".hidden")) continue;
    const grounds = [];
    for (let up = one; up; up = up.parentElement) {
      grounds.unshift(getComputedStyle(up).backgroundColor);
    }
    const ground = over(["white", ...grounds]);
    const ink = over(["white", ...grounds, getComputedStyle(one).color]);
    const [a, b] = [light(ground), light(ink)];
    const ratio = Math.max(a, b) / Math.min(a, b);
    if (ratio < 4.5) found.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return found;
})()"""


class Scripted:
    """Takes the place of a model: answers as told, and keeps what it was given."""

    tasks = {name: TASKS[name] for name in ("slu", "nlu")}
    answers_questions = False

    def __init__(self) -> None:
        self.given: list[bytes] = []
        self.answer = "nested"

    def __call__(
        self, recording: bytes | None = None, *, text: str | None = None, **further: Any
    ) -> Understanding:
        if recording is not None:
            self.given.append(recording)
        if text is not None and text in ANSWERS:
            return replace(ANSWERS[text], duration=None)
        return ANSWERS[self.answer]


@pytest.fixture(scope="module")
def melody() -> np.ndarray:
    """Two seconds in which no part resembles another."""
    time_ = np.arange(2 * RATE) / RATE
    swept = np.sin(2 * np.pi * (200 * time_ + 300 * time_**2))
    loudness = np.interp(time_, [0, 0.3, 0.4, 1.0, 1.1, 1.8, 2], [0, 0.8, 0.2, 0.6, 0, 0.7, 0])
    return (swept * loudness).astype(np.float32)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, melody: np.ndarray) -> Iterator[Browser]:
    heard = tmp_path_factory.mktemp("microphone") / "melody.wav"
    soundfile.write(heard, melody, RATE, subtype="PCM_16")
    assert CHROMIUM is not None
    flags = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={heard}",
    ]
    with Browser(CHROMIUM, *flags) as found:
        yield found


@pytest.fixture(scope="module")
def model() -> Scripted:
    return Scripted()


@pytest.fixture(scope="module")
def server(model: Scripted) -> Iterator[serving.Running]:
    limits = Limits(seconds=10)
    with serving.serve(Service(model, "the model", limits=limits)) as found:  # type: ignore[arg-type]
        yield found


@pytest.fixture
def page(browser: Browser, server: serving.Running, model: Scripted) -> Iterator[Page]:
    model.answer = "nested"
    found = browser.open(f"http://127.0.0.1:{server.port}/")
    found.send("Network.enable")
    found.wait_for("document.querySelector('#model').textContent === 'the model'")
    yield found
    # No script failed, nothing was forbidden, and nothing was asked of anybody else.
    assert found.complaints() == []
    asked = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert all(url.startswith(f"http://127.0.0.1:{server.port}/") for url in asked), asked
    browser.events.clear()
    found.send("Page.close")


def text(page: Page, selector: str) -> str:
    """What of an element is seen."""
    found = page.run(f"document.querySelector({json.dumps(selector)}).innerText")
    return " ".join(found.split())


def wait_for_answer(page: Page) -> None:
    page.wait_for("!document.querySelector('#answer').hidden && !document.body.matches('.busy')")


def type_in(page: Page, sentence: str) -> None:
    page.run("document.querySelector('#text').select()")
    page.type(sentence)
    page.press("Enter")
    page.wait_for("/Answered/.test(document.querySelector('#status').textContent)")
    wait_for_answer(page)


def press(page: Page, name: str) -> None:
    page.run(f"document.querySelector({json.dumps(name)}).click()")


def samples_of(recording: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(recording)) as stream:
        assert stream.getparams()[:3] == (1, 2, RATE)
        return np.frombuffer(stream.readframes(stream.getnframes()), np.int16) / 32768


# --- What arrives


def test_what_the_microphone_hears_arrives_as_16_bits_at_16_khz(
    page: Page, model: Scripted, melody: np.ndarray
) -> None:
    model.given.clear()
    page.run("document.querySelector('#record').focus()")
    page.press("Enter")
    page.wait_for("document.querySelector('#record').textContent.includes('Stop')")
    started = time.monotonic()
    page.wait_for("parseFloat(document.querySelector('#live span').textContent) >= 4.3")
    page.press(" ")
    wait_for_answer(page)
    (recording,) = model.given
    samples = samples_of(recording)
    assert 4.2 <= len(samples) / RATE < time.monotonic() - started + 1
    # The file is played again and again: somewhere in it is one whole melody.
    shift = np.abs(np.correlate(samples, melody, "valid")).argmax()
    part = samples[shift : shift + len(melody)]
    alike = np.corrcoef(part, melody)[0, 1]
    assert abs(alike) > 0.95, alike


@pytest.mark.parametrize("rate", [RATE, 44100])
def test_a_chosen_file_arrives_as_it_is_or_at_our_rate(
    page: Page, model: Scripted, melody: np.ndarray, tmp_path: Path, rate: int
) -> None:
    model.given.clear()
    steps = np.arange(2 * rate) * RATE / rate
    sound = np.interp(steps, np.arange(len(melody)), melody)
    file = tmp_path / "order.wav"
    soundfile.write(file, sound, rate, subtype="PCM_16")
    page.choose("#file", file)
    wait_for_answer(page)
    (recording,) = model.given
    found = samples_of(recording)
    assert len(found) == len(melody)
    if rate == RATE:
        # Browsers differ in what they divide by, 32767 or 32768: one step of 16 bits.
        assert np.abs(found - soundfile.read(file)[0]).max() <= 1 / 32768
    else:
        assert np.corrcoef(found, melody)[0, 1] > 0.99


def test_the_answer_is_that_of_python_for_what_arrived(
    browser: Browser, tmp_path: Path, melody: np.ndarray
) -> None:
    """With a real model, though an untrained one."""
    soundfile.write(tmp_path / "order.flac", melody, RATE)
    recognizer = serving.recognizer()
    service = Service(recognizer, "tiny")
    arrived: list[bytes] = []

    def noted(recording: bytes, **further: Any) -> Understanding:
        arrived.append(recording)
        return recognizer(recording, **further)

    noted.tasks = recognizer.tasks  # type: ignore[attr-defined]
    noted.answers_questions = False  # type: ignore[attr-defined]
    service.recognizer = noted  # type: ignore[assignment]
    with serving.serve(service) as server:
        page = browser.open(f"http://127.0.0.1:{server.port}/")
        page.choose("#file", tmp_path / "order.flac")
        wait_for_answer(page)
        shown = json.loads(page.run("document.querySelector('#json pre').textContent"))
        page.send("Page.close")
    assert shown == recognizer(arrived[0]).to_dict()


# --- What is shown


def test_tree_words_slots_times_and_hypotheses_are_shown(page: Page, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 2 * RATE), RATE)
    page.choose("#file", tmp_path / "a.wav")
    wait_for_answer(page)
    assert text(page, "#verdict") == "✓ Get directions"
    assert text(page, "#confidence") == "confidence 91 %"
    assert text(page, "#transcript") == " ".join(SAID)
    drawn = "intent get directions take me to 1 slot destination intent get event the"
    drawn += " 2 slot name event concert 3 slot date time tonight 4 slot method by bus"
    assert text(page, "#tree") == drawn  # "intent" and "slot" are for screen readers
    depth = page.run(
        "[...document.querySelectorAll('#tree .node')].map((n) => n.closest('li'))"
        ".map((li) => { let d = 0; for (; li; li = li.parentElement.closest('li')) d++; return d })"
    )
    assert depth == [1, 2, 2, 3, 4, 4, 5, 4, 5, 2, 3]
    rows = page.run("[...document.querySelectorAll('#slots tbody tr')].map((r) => r.innerText)")
    assert [row.split("\t")[-1] for row in rows] == [
        "0.70–1.30 s",
        "0.90–1.10 s",
        "1.10–1.30 s",
        "1.30–1.70 s",
    ]
    # Words and slots lie under their part of the picture, whose noise lasts all two seconds.
    places = page.run(
        "[...document.querySelectorAll('.lane.words > span, .lane.slots > button')].map((one) => {"
        "const box = one.getBoundingClientRect(), all = document.querySelector('.picture')"
        ".getBoundingClientRect(); return 2 * (box.left - all.left) / all.width })"
    )
    times = [0.2 * i + 0.1 for i in range(len(SAID))] + [0.7, 0.9, 1.1, 1.3]
    assert np.allclose(places, times, atol=0.01)
    assert "3 hypotheses" in text(page, "#nbest")
    press(page, "#nbest summary")
    assert "take me to destination get event the name event concert" in text(page, "#nbest li")
    said = page.run("document.querySelector('#status').textContent")
    assert said.startswith("Understood: get directions; destination the concert tonight, ")


def test_what_is_not_understood_says_why(page: Page) -> None:
    type_in(page, "unsure")
    assert text(page, "#verdict") == "? Not understood"
    assert text(page, "#reason") == "The confidence, 0.31, is below the threshold, 0.60."
    assert text(page, "#tree-title") == "Best guess" and "stop" in text(page, "#tree")
    type_in(page, "malformed")
    assert text(page, "#reason") == "The model's answer is not a tree."
    assert page.run("document.querySelector('#tree').checkVisibility()") is False
    type_in(page, "words")
    assert text(page, "#verdict") == "✓ Take me home" and text(page, "#reason") == ""


def test_what_a_model_writes_is_text(page: Page) -> None:
    type_in(page, "evil")
    assert EVIL.split()[1] in text(page, "#tree")
    assert page.run("document.querySelectorAll('main img, main script').length") == 0


def test_a_slot_can_be_heard(page: Page, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 2 * RATE), RATE)
    page.choose("#file", tmp_path / "a.wav")
    wait_for_answer(page)
    press(page, ".lane.slots button:last-child")
    # Asked at once: on a slow machine it has ended before a second question.
    page.wait_for(
        "!document.querySelector('.playhead').hidden && (window.seen = ["
        "parseFloat(document.querySelector('.playhead').style.left), "
        "document.querySelector('#play').textContent.trim()])"
    )
    left, said = page.run("window.seen")
    assert 65 <= left <= 85 and said == "Stop"
    page.wait_for("document.querySelector('.playhead').hidden")
    assert text(page, "#play") == "Play"


# --- Questions


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[serving.Running, Recognizer]]:
    """A model that answers questions, and its server."""
    with serving.questioned() as recognizer:
        with serving.serve(Service(recognizer, "the answerer")) as found:
            yield found, recognizer


@pytest.fixture
def questioning(
    browser: Browser, asked: tuple[serving.Running, Recognizer], tmp_path: Path
) -> Iterator[Page]:
    """The page with a recording, which waits for a question."""
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 2 * RATE), RATE)
    page = browser.open(f"http://127.0.0.1:{asked[0].port}/")
    page.wait_for("document.querySelector('#model').textContent === 'the answerer'")
    page.choose("#file", tmp_path / "a.wav")
    page.wait_for("document.querySelector('#status').textContent.includes('Type a question')")
    yield page
    assert page.complaints() == []
    page.send("Page.close")


def ask(page: Page, question: str) -> None:
    """By the keyboard alone: the field has the focus."""
    assert page.run("document.activeElement.id") == "question"
    page.run("document.activeElement.select()")
    page.type(question)
    page.press("Enter")
    page.wait_for("/Answered/.test(document.querySelector('#status').textContent)")
    wait_for_answer(page)


def test_the_answer_to_a_question_is_shown_where_it_is_said_and_can_be_heard(
    questioning: Page, asked: tuple[serving.Running, Recognizer]
) -> None:
    page, (_, recognizer) = questioning, asked
    ask(page, "which tango & why?")
    sound = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    expected = recognizer(sound, question="which tango & why?")
    shown = json.loads(page.run("document.querySelector('#json pre').textContent"))
    assert (shown["question"], shown["answer"]) == ("which tango & why?", expected.text)
    start, end = shown["seconds"]
    assert text(page, "#verdict") == f"✓ {expected.text.capitalize()}"
    assert text(page, "#transcript") == expected.transcript == "play the red tango again"
    assert text(page, "#transcript mark") == expected.text
    rows = page.run("[...document.querySelectorAll('#slots tbody tr')].map((r) => r.innerText)")
    first, last = shown["words"]
    assert rows == [
        f"{one.text}\t{one.start:.2f}–{one.end:.2f} s" for one in serving.HEARD[first : last + 1]
    ]
    assert text(page, ".lane.words") == expected.text
    place = page.run(
        "(() => { const all = document.querySelector('.picture').getBoundingClientRect(), "
        "box = document.querySelector('.band').getBoundingClientRect(); "
        "return [box.left, box.right].map((x) => 2 * (x - all.left) / all.width) })()"
    )
    assert np.allclose(place, [start, end], atol=0.02)
    assert page.run("document.querySelector('#tree-title').checkVisibility()") is False
    assert "5 answers" in text(page, "#nbest")
    said = page.run("document.querySelector('#status').textContent")
    assert said.startswith(f"The answer: {expected.text}, {start:.2f}–{end:.2f} s.")
    page.run(
        "window.seen = []; new MutationObserver(() => window.seen.push(parseFloat(document."
        "querySelector('.playhead').style.left))).observe(document.querySelector('.playhead'), "
        "{ attributes: true })"
    )
    press(page, "#play-answer")
    page.wait_for("window.seen.length && document.querySelector('.playhead').hidden")
    heard = np.array(page.run("window.seen"))
    assert (heard >= 50 * start - 1).all() and (heard <= 50 * end + 1).all()
    # The recording is kept for the next question.
    page.run("document.querySelector('#question').focus()")
    ask(page, "which song?")
    assert (
        json.loads(page.run("document.querySelector('#json pre').textContent"))["question"]
        == "which song?"
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_questions_fit_and_can_be_read(questioning: Page, dark: bool) -> None:
    questioning.scheme(dark)
    ask(questioning, "which tango?")
    questioning.shape(320, 800)
    press(questioning, "#nbest summary")
    questioning.wait_for("innerWidth === 320")
    assert questioning.run("document.documentElement.scrollWidth") <= 320
    assert questioning.run(CONTRAST) == []
    nodes = questioning.send("Accessibility.getFullAXTree")["nodes"]
    names = [
        node["name"]["value"]
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in ("button", "textbox")
    ]
    assert all(names) and "Ask something about the recording" in names
    assert "Play the answer" in names


def test_what_a_question_lacks_is_said(
    browser: Browser, asked: tuple[serving.Running, Recognizer], tmp_path: Path
) -> None:
    page = browser.open(f"http://127.0.0.1:{asked[0].port}/")
    page.wait_for("document.querySelector('#model').textContent === 'the answerer'")
    press(page, "#asking button")
    assert problem(page) == "Type a question first."
    page.run("document.querySelector('#question').focus()")
    page.type("who?")
    page.press("Enter")
    page.wait_for("/Record/.test(document.querySelector('#problem').textContent)")
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    page.choose("#file", tmp_path / "a.wav")  # a question that was typed before is asked at once
    wait_for_answer(page)
    assert text(page, "#verdict") == "? No answer"
    assert text(page, "#reason") == "No words were heard in the recording."
    page.send("Page.close")


# --- For everybody


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1000])
def test_it_fits_every_width_and_can_be_read_in_light_and_dark(
    page: Page, tmp_path: Path, width: int, dark: bool
) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 2 * RATE), RATE)
    page.scheme(dark)
    page.choose("#file", tmp_path / "a.wav")
    wait_for_answer(page)
    page.shape(width, 800)
    for details in ("#nbest", "#json"):
        press(page, f"{details} summary")
    page.wait_for(f"innerWidth === {width}")
    time.sleep(0.2)
    assert page.run("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('main *')].filter((one) => one.checkVisibility() && "
    wide += f"one.getBoundingClientRect().right > {width} && !one.closest('pre, .hidden'))"
    assert page.run(f"{wide}.map((one) => one.className || one.tagName)") == []
    assert page.run(CONTRAST) == []
    type_in(page, "unsure")
    assert page.run(CONTRAST) == []
    small = "[...document.querySelectorAll('button, input, a, summary')].filter((one) => "
    small += "one.checkVisibility() && one.getBoundingClientRect().height < 18)"
    assert page.run(f"{small}.map((one) => one.outerHTML)") == []


def test_contrast_that_is_too_low_is_found(page: Page) -> None:
    page.run("document.querySelector('#model').style.color = '#999'")
    assert len(page.run(CONTRAST)) == 1


def test_everything_is_reached_by_the_keyboard_and_has_a_name(page: Page) -> None:
    page.run("document.querySelector('#text').focus()")
    type_in(page, "nested")
    page.run("document.querySelector('h1').tabIndex = -1; document.querySelector('h1').focus()")
    reached: list[str] = []
    while len(reached) < 9:
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.tagName"))
        if reached[-1] == "BODY":
            break
        ring = "getComputedStyle(document.activeElement.closest('label') || document.activeElement)"
        assert page.run(f"{ring}.outlineStyle") == "solid", reached
    assert reached == ["record", "file", "text", "BUTTON", "SUMMARY", "SUMMARY", "A", "BODY"]
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    controls = {"button", "textbox", "link", "DisclosureTriangle", "image", "region", "alert"}
    for node in nodes:
        if not node["ignored"] and node["role"]["value"] in controls - {"alert"}:
            assert node["name"]["value"], node
    roles = [node["role"]["value"] for node in nodes if not node["ignored"]]
    for role in ("banner", "main", "contentinfo", "status", "heading", "list", "table"):
        assert role in roles, role


def test_a_recording_that_reaches_the_limit_is_understood(
    browser: Browser, model: Scripted
) -> None:
    model.given.clear()
    service = Service(model, "the model", limits=Limits(seconds=1.05))  # type: ignore[arg-type]
    with serving.serve(service) as server:
        page = browser.open(f"http://127.0.0.1:{server.port}/")
        page.wait_for("document.querySelector('#model').textContent === 'the model'")
        press(page, "#record")
        wait_for_answer(page)
        assert len(samples_of(model.given[0])) == 1.05 * RATE
        page.send("Page.close")


@pytest.mark.parametrize("refused", [False, True])
def test_an_answer_that_comes_late_does_not_disturb_a_recording(
    browser: Browser, model: Scripted, refused: bool
) -> None:
    may = threading.Event()

    def slow(*given: Any, **further: Any) -> Understanding:
        assert may.wait(60)
        if refused:
            raise InputError("not this")
        return ANSWERS["words"]

    slow.tasks, slow.answers_questions = model.tasks, False  # type: ignore[attr-defined]
    service = Service(slow, "the model")  # type: ignore[arg-type]
    with serving.serve(service) as server:
        page = browser.open(f"http://127.0.0.1:{server.port}/")
        page.wait_for("document.querySelector('#model').textContent === 'the model'")
        page.run(
            "window.answered = false; window.fetch = ((ask) => async (...given) => { "
            "const found = await ask(...given); const json = await found.json(); "
            "setTimeout(() => { window.answered = true; }, 100); "
            "return { ok: found.ok, json: async () => json } })(window.fetch)"
        )
        page.run("document.querySelector('#text').focus()")
        page.type("play")
        page.press("Enter")
        page.wait_for("document.body.matches('.busy')")
        press(page, "#record")
        page.wait_for("document.body.matches('.recording')")
        assert not page.run("document.body.matches('.busy')")
        may.set()
        page.wait_for("window.answered")
        assert page.run("document.querySelector('#answer').hidden") is True
        assert "Recording." in text(page, "#status")
        assert page.run("document.querySelector('#problem').hidden") is True
        page.press("Escape")
        page.send("Page.close")


def test_a_recording_can_be_dropped(page: Page, model: Scripted) -> None:
    model.given.clear()
    press(page, "#record")
    page.wait_for("document.body.matches('.recording')")
    page.press("Escape")
    page.wait_for("!document.body.matches('.recording')")
    assert text(page, "#status") == "The recording was dropped."
    assert model.given == [] and page.run("document.querySelector('#live')") is None


# --- What goes wrong is said


def problem(page: Page) -> str:
    page.wait_for("!document.querySelector('#problem').hidden")
    assert not page.run("document.body.matches('.busy')")
    return text(page, "#problem")


def test_a_file_that_cannot_be_used_is_named(page: Page, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("no sound")
    page.choose("#file", tmp_path / "letter.txt")
    assert "letter.txt cannot be read as audio" in problem(page)
    soundfile.write(tmp_path / "long.flac", np.zeros(600 * 8000), 8000)
    page.choose("#file", tmp_path / "long.flac")
    page.wait_for("/600 s/.test(document.querySelector('#problem').textContent)")
    assert "up to 10 s are understood" in problem(page)
    assert page.run("document.querySelector('#answer').hidden") is True
    press(page, "#sentence button")
    page.wait_for("/Type/.test(document.querySelector('#problem').textContent)")
    type_in(page, "words")  # a good answer takes the complaint away
    assert page.run("document.querySelector('#problem').hidden") is True


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--use-fake-device-for-media-stream", "--deny-permission-prompts"],
            "The browser does not let",
        ),
        (["--use-fake-ui-for-media-stream"], "There is no microphone."),
    ],
    ids=["forbidden", "none"],
)
def test_a_microphone_that_cannot_be_used_is_said(
    server: serving.Running, flags: list[str], sentence: str
) -> None:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, *flags) as browser:
        page = browser.open(f"http://127.0.0.1:{server.port}/")
        page.wait_for("document.querySelector('#model').textContent === 'the model'")
        press(page, "#record")
        assert problem(page).startswith(sentence)
        assert text(page, "#record") == "Record" and page.complaints() == []


def test_a_server_that_has_ended_or_is_full_is_said(browser: Browser, model: Scripted) -> None:
    service = Service(model, "the model", limits=Limits(waiting=0))  # type: ignore[arg-type]
    with serving.serve(service) as server:
        page = browser.open(f"http://127.0.0.1:{server.port}/")
        page.wait_for("document.querySelector('#model').textContent === 'the model'")
        service.turns.places = 1
        page.run("document.querySelector('#text').focus()")
        page.type("play")
        page.press("Enter")
        assert "Too many requests wait already (1); try again in" in problem(page)
        service.turns.places = 0
    page.press("Enter")
    page.wait_for("/Is atat serve still/.test(document.querySelector('#problem').textContent)")
    page.send("Page.close")
