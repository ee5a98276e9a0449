"""`atat recognize`: what a terminal, a pipe and a script get, and a sentence for bad input."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import echo
import numpy as np
import pytest

from atat.__main__ import main
from atat.apps import recognize, show
from atat.base import checksums
from atat.base.calibration import Calibration, Fitted
from atat.engine import named_model
from atat.speech import audio

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return echo.save(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def high(tmp_path: Path) -> Path:
    audio.save(tmp_path / "high.wav", echo.tone(2000))
    return tmp_path / "high.wav"


def run(*words: object) -> int:
    """The exit code of `atat recognize`."""
    try:
        main(["recognize", *map(str, words)])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_pipe_gets_json_lines_in_the_words_of_python(model, high, tmp_path, capsys) -> None:
    from atat import Recognizer

    audio.save(tmp_path / "low.wav", echo.tone(300))
    assert run(model, high, tmp_path / "low.wav") == recognize.ALL
    found = lines(capsys)
    assert [one["intent"] for one in found] == ["HIGH", "LOW"]
    python = Recognizer.load(model)(high).to_dict()
    assert found[0] == {"recording": str(high), **python}
    assert python["slots"] == {"TONE": "beep"} and python["transcript"] == "beep"


def test_more_recordings_than_a_batch_keep_their_order(model, tmp_path, capsys) -> None:
    names = [tmp_path / f"{number:02d}.wav" for number in range(recognize.TOGETHER + 3)]
    for number, name in enumerate(names):
        audio.save(name, echo.tone(2000 if number % 3 else 300, 0.3 + 0.02 * (number % 5)))
    assert run(model, *names) == recognize.ALL
    found = lines(capsys)
    assert [one["recording"] for one in found] == [str(name) for name in names]
    assert [one["intent"] == "HIGH" for one in found] == [n % 3 > 0 for n in range(len(names))]


def test_sentences(model, capsys) -> None:
    assert run(model, "--text", "Beep, please!", "--text", "hum") == recognize.ALL
    found = lines(capsys)
    assert [(one["text"], one["intent"]) for one in found] == [
        (echo.HIGH, "HIGH"),
        (echo.LOW, "LOW"),
    ]
    assert found[0]["sentence"] == "Beep, please!" and found[0]["transcript"] == "beep please"


def test_stdin_holds_a_recording(model, high, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(high.read_bytes())))
    assert run(model, "-") == recognize.ALL
    assert lines(capsys)[0]["intent"] == "HIGH"
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(b"")))
    assert run(model, "-") == recognize.BAD_INPUT
    assert "stdin: is empty" in capsys.readouterr().err


def test_what_is_not_understood_is_1_and_what_cannot_be_read_is_2(
    model, high, tmp_path, capsys
) -> None:
    audio.save(tmp_path / "silent.wav", np.zeros(8000, np.float32))
    assert run(model, tmp_path / "silent.wav", high) == recognize.SOME_NOT
    found = lines(capsys)
    assert [one["understood"] for one in found] == [False, True]
    assert found[0]["reason"] == "the recording is silent" and found[0]["task"] == "listen"
    assert run(model, tmp_path / "gone.wav", high) == recognize.BAD_INPUT
    out, err = capsys.readouterr()
    assert json.loads(out)["intent"] == "HIGH" and "gone.wav: no such audio file" in err


def test_below_the_threshold_is_not_understood(model, high, tmp_path, capsys) -> None:
    own = tmp_path / "own"
    shutil.copytree(model, own)
    fitted = {"listen": Fitted({}, bias=0.0, threshold=0.4)}
    Calibration({"beam": 4}, fitted).write(own)
    checksums.write(own)
    assert run(own, high) == recognize.ALL
    assert lines(capsys)[0]["confidence"] == 0.5
    assert run(own, high, "--threshold", "0.6") == recognize.SOME_NOT
    assert lines(capsys)[0]["cause"] == "unsure"
    assert run(own, high, "--threshold", "0.6", "--beam", "2") == recognize.ALL
    assert lines(capsys)[0]["confidence"] is None


def test_options_may_stand_anywhere(model, high, capsys) -> None:
    assert run(model, "--json", high, "--task", "write", high) == recognize.ALL
    assert [one["text"] for one in lines(capsys)] == ["beep", "beep"]
    assert run("--nbest", "1", model, "--", high, "-gone.wav") == recognize.BAD_INPUT
    assert "error: -gone.wav: no such audio file" in capsys.readouterr().err


def test_n_hypotheses_and_another_task(model, high, capsys) -> None:
    assert run(model, high, "--nbest", "1", "--task", "write") == recognize.ALL
    (found,) = lines(capsys)
    assert (found["text"], found["tree"], len(found["nbest"])) == ("beep", None, 1)


def test_a_terminal_gets_a_tree_that_can_be_read(model, high, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(model, high, "--nbest", "2") == recognize.ALL
    out = capsys.readouterr().out
    assert "high.wav  (0.4 s)" in out and "HIGH\n" in out and "TONE  beep" in out
    assert "2.  -1" in out and echo.LOW in out and "\033" not in out
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    assert run(model, high) == recognize.ALL
    coloured = capsys.readouterr().out
    assert "\033[36mTONE\033[0m" in coloured and "m\033[0m" not in coloured
    assert run(model, high, "--json") == recognize.ALL
    assert json.loads(capsys.readouterr().out)["intent"] == "HIGH"


def test_slots_line_up_and_have_their_times() -> None:
    from atat.text.understanding import Hypothesis, SaidWord, understand

    said = [SaidWord(word, (n, n + 0.5)) for n, word in enumerate("play a song by anna".split())]
    tree = "[IN:PLAY play [SL:SONG a song ] by [SL:ARTIST anna ] ]"
    found = understand(
        "slu", [Hypothesis(tree, -1, 9)], is_tree=True, said=said, confidence=0.3, threshold=0.5
    )
    rows = show.render("a.wav", found).splitlines()
    assert rows[1] == "  not understood: the confidence, 0.30, is below the threshold, 0.50"
    assert "sure to 30 %" in rows[2]
    song, artist = rows[3:5]
    assert song.index("a song") == artist.index("anna") and song.index("1.00") == artist.index(
        "4.00"
    )
    assert rows[5] == "  heard: play a song by anna"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give recordings, --text or --microphone"),
        (["a.wav", "--text", "b"], "only one of them"),
        (["-", "-"], "- is given twice"),
        (["a.wav", "--threshold", "40"], "--threshold is 40; expected a confidence"),
        (["a.wav", "--nbest", "0"], "--nbest is 0"),
        (
            ["a.wav", "--task", "sing"],
            "task sing: unknown to the model; there are: lis",
        ),
        (["a.wav", "--task", "lisen"], "did you mean `listen`?"),
        (["a.wav", "--task", "read"], "task read reads text, not audio; give it that, or name a"),
        (["a.wav", "--longest", "nan"], "longest is nan; expected seconds, or 0"),
        (["a.wav", "--longest", "-1"], "longest is -1; expected seconds, or 0"),
        (["a.wav", "--vad", "silero.onnx"], "--vad finds speech for --microphone"),
        (["--text", "b", "--channel", "0"], "--channel is of recordings"),
        (["--text", "b", "--longest", "9"], "--longest is of recordings"),
        (["--microphone", "--longest", "9"], "--longest is of recordings"),
        (["a.wav", "--question", "who", "--threshold", "0.5"], "--threshold: answers to questions"),
        (["a.wav", "--question", "who", "--no_transcript"], "--no_transcript: a question is answ"),
    ],
)
def test_a_wrong_command_is_a_sentence(model, capsys, words, message) -> None:
    assert run(model, *words) == recognize.BAD_INPUT
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err and len(err.strip().splitlines()) == 1


def test_a_long_recording_is_a_sentence(model, tmp_path, capsys) -> None:
    audio.save(tmp_path / "long.wav", np.zeros(600 * 1000, np.float32), sample_rate=1000)
    assert run(model, tmp_path / "long.wav") == recognize.BAD_INPUT
    err = capsys.readouterr().err
    assert "long.wav: lasts 600 s, up to 60 s are understood at once; cut it" in err
    assert run(model, tmp_path / "long.wav", "--longest", "601") == recognize.SOME_NOT


def test_a_model_of_a_newer_version_and_none_are_sentences(model, high, tmp_path, capsys) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(model, newer)
    config = newer / "config.yaml"
    config.write_text(config.read_text().replace("version: 1", "version: 2"))
    checksums.write(newer)
    for given, message in (
        (newer, "version 2, made by a newer atat"),
        (tmp_path, "not a packed model"),
        (high, "high.wav: not a packed model: a file, not a folder; expected a folder"),
        (tmp_path / "no/such/folder", "no such folder or archive. Training writes"),
    ):
        assert run(given, high) == recognize.BAD_INPUT
        assert message in capsys.readouterr().err


def test_debug_shows_where(model, tmp_path, capsys) -> None:
    assert run(model, tmp_path / "gone.wav", "--debug") == recognize.BAD_INPUT
    assert "Traceback" in capsys.readouterr().err
    assert run(tmp_path, tmp_path / "gone.wav", "--debug") == recognize.BAD_INPUT
    assert "Traceback" in capsys.readouterr().err


def test_a_model_in_an_archive(model, high, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("ATAT_CACHE", str(tmp_path / "cache"))
    for kind in ("zip", "gztar"):
        archive = shutil.make_archive(str(tmp_path / "packed"), kind, model.parent, model.name)
        for _ in range(2):  # unpacked, then found unpacked
            assert run(archive, high) == recognize.ALL
            assert lines(capsys)[0]["intent"] == "HIGH"
    assert len(list((tmp_path / "cache" / "models").iterdir())) == 2
    (tmp_path / "torn.zip").write_bytes((tmp_path / "packed.zip").read_bytes()[:-40])
    assert run(tmp_path / "torn.zip", high) == recognize.BAD_INPUT
    assert "damaged or not an archive" in capsys.readouterr().err


def test_nothing_in_an_archive_is_written_outside_of_the_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ATAT_CACHE", str(tmp_path / "cache" / "deep"))
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../../../evil", "x")
    with pytest.raises(ValueError, match="has the name '../../../evil', outside of it"):
        named_model.find(tmp_path / "bad.zip")
    assert not list(tmp_path.rglob("evil"))


def hub_cache(home: Path, name: str, model: Path) -> None:
    """A model in the layout of the hub's cache, as after it was fetched."""
    folder = home / "hub" / f"models--{name.replace('/', '--')}"
    shutil.copytree(model, folder / "snapshots" / "abc")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")


def test_a_name_of_the_hub(model, high, tmp_path) -> None:
    """In a process of its own: the hub's client reads its environment when it is imported."""
    pytest.importorskip("huggingface_hub")
    hub_cache(tmp_path / "hf", "someone/tones", model)
    program = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n"
        "import echo; from atat.engine import registry; registry.register(echo.Echo())\n"
        "from atat.__main__ import main; main(['recognize', *sys.argv[1:]])"
    )

    def done(name: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
        return subprocess.run(
            [sys.executable, "-c", program, name, str(high)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
        )

    found = done("someone/tones")
    assert json.loads(found.stdout)["intent"] == "HIGH", found.stderr
    missing = done("someone/no-such-model")
    assert missing.returncode == recognize.BAD_INPUT and "Traceback" not in missing.stderr
    assert "someone/no-such-model: no such folder here" in missing.stderr
    assert "not in the cache, and the hub cannot be reached" in missing.stderr


class Microphone:
    """Stands for the package sounddevice: a tone between two silences, then Ctrl-C."""

    class PortAudioError(Exception):
        pass

    def __init__(self, rate: int = 48000, broken: str = "") -> None:
        self.rate, self.broken = rate, broken

    def query_devices(self, kind: str) -> dict[str, float]:
        if self.broken == "none":
            raise ValueError("no input device matching")
        return {"default_samplerate": float(self.rate)}

    def InputStream(self, samplerate, channels, blocksize, callback):  # noqa: N802
        if self.broken == "busy":
            raise self.PortAudioError("device unavailable")
        quiet = 1e-4 * np.random.default_rng(0).standard_normal(self.rate)
        time = np.arange(self.rate) / self.rate
        sound = np.concatenate([quiet, 0.3 * np.sin(2 * np.pi * 2000 * time), quiet, quiet])
        for start in range(0, len(sound), blocksize):
            callback(sound[start : start + blocksize, None].astype(np.float32), blocksize, 0, None)
        callback(np.full((1, 1), 9.0, np.float32), 1, 0, None)  # the last: Ctrl-C is pressed
        return contextlib.nullcontext() if self.broken != "silent" else self

    def __enter__(self):
        raise self.PortAudioError("device does not start")

    def __exit__(self, *_):
        raise AssertionError


def test_the_microphone_is_answered_when_speech_has_ended(model, capsys, monkeypatch) -> None:
    from atat.apps.listener import Listener

    feed = Listener.feed

    def fed(self, chunk, **more):
        if len(chunk) == 1:
            signal.raise_signal(signal.SIGINT)
        return feed(self, 0 * chunk if len(chunk) == 1 else chunk, **more)

    monkeypatch.setattr(Listener, "feed", fed)
    monkeypatch.setattr("atat.apps.microphone._sounddevice", Microphone)
    assert run(model, "--microphone") == recognize.ALL
    (found,) = lines(capsys)
    assert found["intent"] == "HIGH" and 1.0 <= found["duration"] <= 1.8


@pytest.mark.parametrize("busy_with", ["the first chunk", "an answer"])
def test_what_was_heard_before_ctrl_c_is_answered(model, capsys, monkeypatch, busy_with) -> None:
    """All of it is in the queue, or is being answered: the program was busy."""
    from atat.apps.listener import Listener

    feed, begin, fed = Listener.feed, Listener.__init__, []

    def busy(self, chunk, **more):
        fed.append(len(chunk))
        if len(fed) == 1 and busy_with == "the first chunk":
            signal.raise_signal(signal.SIGINT)
        return feed(self, chunk if len(chunk) > 1 else 0 * chunk, **more)

    def interrupted(self, answer, **more):
        def pressed(samples):
            if busy_with == "an answer":
                signal.raise_signal(signal.SIGINT)
            return answer(samples)

        begin(self, pressed, **more)

    monkeypatch.setattr(Listener, "feed", busy)
    monkeypatch.setattr(Listener, "__init__", interrupted)
    monkeypatch.setattr("atat.apps.microphone._sounddevice", Microphone)
    before = signal.getsignal(signal.SIGINT)
    assert run(model, "--microphone") == recognize.ALL
    (found,) = lines(capsys)
    assert found["intent"] == "HIGH" and len(fed) == 41
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("none", "there is no microphone here"),
        ("busy", "the microphone cannot be opened (device unavailable)"),
        ("silent", "the microphone cannot be opened (device does not start)"),
    ],
)
def test_no_microphone_is_a_sentence(model, capsys, monkeypatch, broken, message) -> None:
    monkeypatch.setattr("atat.apps.microphone._sounddevice", lambda: Microphone(broken=broken))
    assert run(model, "--microphone") == recognize.BAD_INPUT
    assert message in capsys.readouterr().err


def test_without_sounddevice_the_sentence_says_what_to_install(model, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run(model, "--microphone") == recognize.BAD_INPUT
    assert "pip install sounddevice" in capsys.readouterr().err


def test_the_help_documents_the_exit_codes(capsys) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    for code in (recognize.ALL, recognize.SOME_NOT, recognize.BAD_INPUT):
        assert f"\n  {code}    " in out
