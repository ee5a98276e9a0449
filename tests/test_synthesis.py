"""Synthesis: same order same sound, every word has its time, a rerun speaks what is missing."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from atat.base import encoder_files, onnx_files
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.check import validate
from atat.datadir.ctm import Word, read_ctm
from atat.prepare import synthesis
from atat.prepare.synthesis_record import Record
from atat.prepare.synthesis_voice import (
    SAMPLE_RATE,
    Speech,
    SynthesisError,
    parse_voice,
    spell_letters,
    split_phones,
)
from atat.speech import audio
from atat.text.pronunciation import PHONES, phones_of

needs_espeak = pytest.mark.skipif(
    synthesis.available("espeak") is not None, reason="espeakng-loader is not installed"
)
needs_flite = pytest.mark.skipif(
    synthesis.available("flite") is not None, reason="flite is not installed"
)

# --- voices


def test_voice_is_taken_apart_and_put_together() -> None:
    voice = parse_voice("espeak:en-us+f3:rate=160:pitch=55")
    assert (voice.engine, voice.name) == ("espeak", "en-us+f3")
    assert voice.options == {"rate": "160", "pitch": "55"}
    assert str(voice) == "espeak:en-us+f3:rate=160:pitch=55"


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "espeak",
        "espeak:",
        ":en",
        "flite:slt:fast",
        "flite:slt:rate=",
        "flite:slt:rate=1:rate=2",
    ],
)
def test_malformed_voice_is_refused(spec: str) -> None:
    with pytest.raises(InputError, match="voice"):
        parse_voice(spec)


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(InputError, match="'festival'.*espeak"):
        synthesis.speak("festival:kal", "hello")


def test_letters_in_a_row_are_names_of_letters() -> None:
    assert spell_letters("wake me at nine a m") == "wake me at nine A M"
    assert spell_letters("the u s a") == "the U S A"
    assert spell_letters("play a song i like") == "play a song i like"
    assert spell_letters("i a") == "i a"


def test_phones_of_words_spoken_as_one_are_shared_out() -> None:
    assert split_phones("I n D @".split(), ["I n".split(), "D @".split()]) == [0, 2]
    # In context "a" has lost its vowel's colour and "of" its own; a linking r stays with "for".
    assert split_phones("f 3 r- @".split(), ["f o@".split(), ["eI"]]) == [0, 3]
    assert split_phones("aU t# @ v".split(), ["aU t".split(), "0 v".split()]) == [0, 2]
    assert split_phones(["a", "b"], [["a"], ["x"]]) == [0, 1]
    with pytest.raises(SynthesisError):
        split_phones(["a"], [["a"], ["b"]])


# --- espeak


@needs_espeak
def test_espeak_does_not_depend_on_what_was_said_before() -> None:
    # f3 is breathy (noise), m3 flutters: both have state which the library would carry along.
    voices = ("espeak:en-us+f3:rate=160", "espeak:en-gb+m3")
    first = [synthesis.speak(voice, "play the song").samples for voice in voices]
    synthesis.speak("espeak:en-us+croak", "something else altogether")
    for voice, samples in zip(reversed(voices), reversed(first)):
        np.testing.assert_array_equal(synthesis.speak(voice, "play the song").samples, samples)


@needs_espeak
@pytest.mark.parametrize(
    "text",
    [
        "play",
        "i'd like the best of the river in the kitchen",
        "out of the blue there have been four of them",
        "don't you want to wake me at nine thirty a m",
        "play café del mar as it is",
    ],
)
def test_espeak_tells_the_time_of_every_word(text: str) -> None:
    speech = synthesis.speak("espeak:en-us+m3", text)
    assert speech.words is not None
    assert [word.text for word in speech.words] == text.split()
    for word, following in zip(speech.words, speech.words[1:]):
        assert word.duration > 0.03
        assert following.start >= word.end - 1e-6
    duration = len(speech.samples) / SAMPLE_RATE
    assert speech.words[-1].end <= duration
    assert speech.words[-1].end > duration - 0.2


@needs_espeak
def test_espeak_words_lie_where_their_sound_is() -> None:
    # The fricative of "sugar" is noise: most sign changes are in its first part.
    speech = synthesis.speak("espeak:en-us", "the lemon sugar")
    assert speech.words is not None
    start = int(speech.words[2].start * SAMPLE_RATE)
    changes = np.abs(np.diff(np.signbit(speech.samples).astype(int)))
    assert changes[start : start + 1000].mean() > 3 * changes[:start].mean()


@needs_espeak
def test_espeak_obeys_the_rate() -> None:
    slow, fast = (
        len(synthesis.speak(f"espeak:en-us:rate={rate}", "play the song").samples)
        for rate in (120, 240)
    )
    assert fast < 0.7 * slow


@needs_espeak
@pytest.mark.parametrize(
    ("voice", "message"),
    [
        ("espeak:xx", "no voice 'xx'"),
        ("espeak:en-us+nobody", "no variant 'nobody'"),
        ("espeak:en-us:rate=5000", "rate=5000"),
        ("espeak:en-us:rate=fast", "not a number"),
        ("espeak:en-us:speed=3", "unknown option 'speed'"),
    ],
)
def test_espeak_refuses_what_it_has_not(voice: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        synthesis.speak(voice, "hello")


@needs_espeak
@pytest.mark.parametrize("text", ["", "  ", "?"])
def test_espeak_refuses_a_text_without_words(text: str) -> None:
    with pytest.raises(SynthesisError):
        synthesis.speak("espeak:en-us", text)


@needs_espeak
def test_phonemes_are_those_of_the_cmu_dictionary() -> None:
    assert phones_of("watermelon") == "W AO T ER M EH L AH N".split()
    assert phones_of("thirty") == "TH ER T IY".split()
    for word in "schedule fire near poor little rhythm don't naïve button loch kowalski x".split():
        assert set(phones_of(word)) <= set(PHONES), word


# --- flite, piper, polly


@needs_flite
@pytest.mark.parametrize("voice", ["flite:slt", "flite:awb:rate=1.2", "flite:kal16:pitch=120"])
def test_flite_tells_the_time_of_every_word(voice: str) -> None:
    text = "i'd like the songs of the river at nine a m"
    speech = synthesis.speak(voice, text)
    assert speech.words is not None
    assert [word.text for word in speech.words] == text.split()
    assert all(b.start >= a.end - 1e-6 for a, b in zip(speech.words, speech.words[1:]))
    # Flite pauses before it speaks, and the first word begins where the sound does.
    loud = np.flatnonzero(np.abs(speech.samples) > 0.05 * np.abs(speech.samples).max())
    assert abs(speech.words[0].start - loud[0] / SAMPLE_RATE) < 0.1


@needs_flite
def test_flite_refuses_what_it_has_not() -> None:
    with pytest.raises(InputError, match="flite has only"):
        synthesis.speak("flite:nobody", "hello")
    with pytest.raises(InputError, match="unknown option 'pitch'"):
        synthesis.speak("flite:slt:pitch=90", "hello")


@pytest.mark.parametrize("voice", ["piper:voice.onnx", "polly:Joanna"])
def test_engine_that_is_not_installed_says_how_to_install_it(voice: str) -> None:
    engine = parse_voice(voice).engine
    reason = synthesis.available(engine)
    if reason is None:
        pytest.skip(f"{engine} is installed")
    assert "pip install" in reason
    with pytest.raises(InputError, match="pip install"):
        synthesis.speak(voice, "hello")


def test_piper_names_the_missing_voice() -> None:
    pytest.importorskip("piper")
    with pytest.raises(InputError, match="nowhere.onnx.*download_voices"):
        synthesis.speak("piper:nowhere.onnx", "hello")


ABOUT_PIPER = {
    "num_symbols": 1,
    "num_speakers": 1,
    "audio": {"sample_rate": 16000},
    "espeak": {"voice": "en"},
    "phoneme_id_map": {},
}


@pytest.mark.parametrize(
    ("about", "options", "message"),
    [
        (json.dumps(ABOUT_PIPER)[:40], "", "v.onnx.json:1: torn or not JSON"),
        (json.dumps({**ABOUT_PIPER, "audio": None}), "", "v.onnx.json: does not describe a voice"),
        ('{"num_symbols": 1}', "", "v.onnx.json: does not describe a voice.*num_speakers"),
        (json.dumps(ABOUT_PIPER), ":speaker=7", "speaker=7 is outside 0 to 0"),
    ],
)
def test_piper_refuses_what_the_file_beside_the_model_does_not_describe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, about: str, options: str, message: str
) -> None:
    pytest.importorskip("piper")
    monkeypatch.setattr(onnx_files, "refuse_other_files", lambda path: None)  # it is none
    (tmp_path / "v.onnx").touch()
    (tmp_path / "v.onnx.json").write_text(about)
    with pytest.raises(InputError, match=message):
        synthesis.speak(f"piper:{tmp_path}/v.onnx{options}", "hello")


def test_a_voice_with_a_name_is_fetched_or_told_how(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("piper")
    monkeypatch.setenv("ATAT_ENCODERS", str(tmp_path))
    with pytest.raises(InputError, match="atat encoder get joe"):
        synthesis.speak("piper:joe", "hello")


@pytest.mark.skipif(not encoder_files.is_here("joe"), reason="needs: atat encoder get joe")
def test_piper_speaks_faster_and_slower() -> None:
    pytest.importorskip("piper")
    slow, fast = (
        synthesis.speak(f"piper:joe:rate={rate}", "a large latte with cinnamon")
        for rate in ("0.8", "1.3")
    )
    assert slow.words is None
    # Its lengths are drawn: of 24 pairs the slow one was 1.28 to 1.47 times as long.
    assert len(slow.samples) > 1.1 * len(fast.samples) > SAMPLE_RATE


def polly_speaks(marks: list[dict[str, object]]) -> Speech:
    """ "Hi & bye" as Polly's client would give it, with these speech marks."""
    boto3 = pytest.importorskip("boto3")
    from botocore.response import StreamingBody
    from botocore.stub import ANY, Stubber

    from atat.prepare import synthesis_polly

    client = boto3.client(
        "polly", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    sound = np.full(SAMPLE_RATE, 16384, "<i2").tobytes()
    lines = "\n".join(json.dumps(mark) for mark in marks).encode()
    fixed = {"VoiceId": "Joanna", "Engine": "neural", "TextType": "ssml", "Text": ANY}
    with Stubber(client) as stub:
        for body, expected in (
            (sound, {"OutputFormat": "pcm", "SampleRate": "16000"}),
            (lines, {"OutputFormat": "json", "SpeechMarkTypes": ["word"]}),
        ):
            stream = StreamingBody(io.BytesIO(body), len(body))
            stub.add_response("synthesize_speech", {"AudioStream": stream}, {**fixed, **expected})
        voice = parse_voice("polly:Joanna:engine=neural")
        return synthesis_polly.speak(voice, "hi & bye", client)


def test_polly_marks_become_words() -> None:
    head = len('<speak><prosody rate="100%">')
    starts = {"hi": head, "&": head + 3, "bye": head + len("hi &amp; ")}
    marks = [
        {"time": 100 + 200 * n, "type": "word", "start": at, "value": word}
        for n, (word, at) in enumerate(starts.items())
    ]
    speech = polly_speaks(marks)
    assert speech.samples.shape == (SAMPLE_RATE,) and speech.samples[0] == 0.5
    expected = [("hi", 0.1, 0.2), ("&", 0.3, 0.2), ("bye", 0.5, 0.5)]
    assert speech.words is not None
    assert [word.text for word in speech.words] == [word for word, _, _ in expected]
    for word, (_, start, duration) in zip(speech.words, expected):
        assert (word.start, word.duration) == pytest.approx((start, duration))
    # A word that Polly has not marked leaves all times out, rather than wrong ones in.
    assert polly_speaks(marks[:2]).words is None


def test_polly_reports_a_refusal() -> None:
    boto3 = pytest.importorskip("boto3")
    from botocore.stub import Stubber

    from atat.prepare import synthesis_polly

    client = boto3.client(
        "polly", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    with Stubber(client) as stub:
        stub.add_client_error("synthesize_speech", "ValidationException", "no such voice")
        with pytest.raises(SynthesisError, match="no such voice"):
            synthesis_polly.speak(parse_voice("polly:Nobody"), "hello", client)


# --- the stage


def test_framing_moves_words_with_their_sound() -> None:
    samples = np.zeros(SAMPLE_RATE, np.float32)
    samples[4000:8000] = 0.5
    speech = synthesis.frame_speech(Speech(samples, [Word("hey", 0.25, 0.25)]), "utt")
    assert speech.words is not None
    first = int(round(speech.words[0].start * SAMPLE_RATE))
    assert np.abs(speech.samples[:first]).max() < 0.001
    assert speech.samples[first] == pytest.approx(0.5, abs=0.001)
    assert len(speech.samples) < 0.8 * SAMPLE_RATE
    again = synthesis.frame_speech(Speech(samples, None), "utt")
    np.testing.assert_array_equal(again.samples, speech.samples)
    other = synthesis.frame_speech(Speech(samples, None), "other")
    assert len(other.samples) != len(speech.samples)


def test_silence_is_no_speech() -> None:
    with pytest.raises(SynthesisError, match="silence"):
        synthesis.frame_speech(Speech(np.zeros(1000, np.float32), None), "utt")


@pytest.fixture()
def data(tmp_path: Path) -> Path:
    """A data dir of two speakers, waiting for their voices' sound."""
    tables.write_tables(
        tmp_path / "data",
        {
            "text": {
                "a-1": "play the song",
                "a-2": "out of the blue",
                "b-1": "next",
                "b-2": "stop it",
            },
            "utt2spk": {"a-1": "a", "a-2": "a", "b-1": "b", "b-2": "b"},
            "spk2voice": {"a": "espeak:en-us+f3:rate=180", "b": "espeak:en-gb+m1"},
        },
    )
    return tmp_path / "data"


def spoken_files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.wav")
    }


@needs_espeak
def test_stage_makes_a_data_dir_with_sound(data: Path, tmp_path: Path) -> None:
    synthesis.main(["--data", str(data), "--wavs", str(tmp_path / "wavs"), "--nj", "3"])
    report = validate(data)
    assert not report.errors and not report.warnings
    utterances = kaldi_dir.load(data)
    words = read_ctm(data / "ctm")
    for utterance in utterances:
        assert utterance.wav is not None and utterance.text is not None
        assert audio.duration(utterance.wav) == pytest.approx(utterance.duration)
        assert [word.text for word in words[utterance.id]] == utterance.text.split()
    assert (data / "spk2utt").read_text() == "a a-1 a-2\nb b-1 b-2\n"
    one_process = tmp_path / "again"
    synthesis.synthesise(data, one_process, nj=1)
    assert {name: content for name, (content, _) in spoken_files(one_process).items()} == {
        name: content for name, (content, _) in spoken_files(tmp_path / "wavs").items()
    }


@needs_espeak
def test_rerun_speaks_only_what_is_missing(data: Path, tmp_path: Path) -> None:
    wavs = tmp_path / "wavs"
    synthesis.synthesise(data, wavs)
    before, ctm = spoken_files(wavs), (data / "ctm").read_bytes()
    # A crash tears the journal's last line and loses one file; a text has changed since.
    journal = wavs / synthesis.JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"utterance": "a-')
    (wavs / "b" / "b-1.wav").unlink()
    text = tables.read_table(data / "text")
    tables.write_table(data / "text", {**text, "a-1": "play the river"})
    synthesis.synthesise(data, wavs)
    after = spoken_files(wavs)
    assert after["a-2.wav"] == before["a-2.wav"] and after["b-2.wav"] == before["b-2.wav"]
    assert after["b-1.wav"][0] == before["b-1.wav"][0]
    assert after["a-1.wav"][0] != before["a-1.wav"][0]
    # Features of what was said before are gone, of the same speech they stay.
    tables.write_table(data / "feats.scp", dict.fromkeys(text, "x.ark:1"))
    synthesis.synthesise(data, wavs)
    assert (data / "feats.scp").is_file()
    tables.write_table(data / "text", {**text, "a-1": "play the long song of the wide river"})
    synthesis.synthesise(data, wavs)
    assert not (data / "feats.scp").exists()
    tables.write_table(data / "text", text)
    synthesis.synthesise(data, wavs)
    assert (data / "ctm").read_bytes() == ctm


@needs_espeak
def test_what_cannot_be_spoken_is_counted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.write_table(data / "text", {**tables.read_table(data / "text"), "b-1": "?"})
    wavs = tmp_path / "wavs"
    with pytest.raises(InputError, match="1 of 4 utterances.*\n.*b-1"):
        synthesis.synthesise(data, wavs)
    assert not (data / "wav.scp").exists()
    assert len(tables.read_table(data / "text")) == 4
    assert len(spoken_files(wavs)) == 3
    synthesis.synthesise(data, wavs, max_lost=0.5)
    assert list(tables.read_table(data / "wav.scp")) == ["a-1", "a-2", "b-2"]
    assert "dropped from its tables" in capsys.readouterr().err
    assert list(tables.read_table(wavs / "synthesis.lost")) == ["b-1"]
    assert list(tables.read_table(data / ".backup/text")) == ["a-1", "a-2", "b-1", "b-2"]
    # What is left is a whole data dir, of which nothing is spoken again.
    assert not validate(data).errors
    before = spoken_files(wavs)
    synthesis.synthesise(data, wavs)
    assert spoken_files(wavs) == before and list(tables.read_table(data / "text")) == [
        "a-1",
        "a-2",
        "b-2",
    ]


def test_wrong_orders_name_file_and_line(data: Path, tmp_path: Path) -> None:
    voices = tables.read_table(data / "spk2voice")
    tables.write_table(data / "spk2voice", {**voices, "b": "festival:kal"})
    with pytest.raises(InputError, match="spk2voice:2: unknown synthesiser 'festival'"):
        synthesis.synthesise(data, tmp_path / "wavs")
    tables.write_table(data / "spk2voice", {"a": voices["a"]})
    with pytest.raises(InputError, match="utt2spk:3: speaker 'b' has no voice"):
        synthesis.synthesise(data, tmp_path / "wavs")
    with pytest.raises(InputError, match="--nj is 0; expected 1 or more"):
        synthesis.main(["--data", str(data), "--wavs", str(tmp_path), "--nj", "0"])


@needs_espeak
def test_two_dirs_of_one_name_do_not_share_a_folder_of_audio(data: Path, tmp_path: Path) -> None:
    """The second would overwrite utterances of the first that have the same id."""
    shutil.copytree(data, tmp_path / "other/data")
    with pytest.raises(InputError, match="other/data and .*data have the same name"):
        synthesis.main(
            ["--data", str(data), str(tmp_path / "other/data"), "--wavs", str(tmp_path / "wavs")]
        )
    assert not (tmp_path / "wavs").exists()


@needs_espeak
def test_a_dir_of_the_same_name_does_not_speak_over_another(data: Path, tmp_path: Path) -> None:
    """In calls of their own; with the same speech they share a folder, as recipes with several
    encoders do."""
    wavs, other = tmp_path / "wavs", tmp_path / "other/data"
    shutil.copytree(data, other)
    synthesis.synthesise(data, wavs)
    before = spoken_files(wavs)
    synthesis.synthesise(other, wavs)
    assert spoken_files(wavs) == before
    tables.write_table(other / "text", {**tables.read_table(other / "text"), "b-1": "last"})
    with pytest.raises(InputError, match=f"1 utterances, such as b-1.* over those of {data} in"):
        synthesis.synthesise(other, wavs)
    assert spoken_files(wavs) == before
    # Whose it is goes along with a project that is moved, and what is gone owns nothing.
    for name in ("data", "wavs", "other"):
        (tmp_path / "moved").mkdir(exist_ok=True)
        shutil.move(tmp_path / name, tmp_path / "moved" / name)
    with pytest.raises(InputError, match=f"over those of {tmp_path}/moved/data in"):
        synthesis.synthesise(tmp_path / "moved/other/data", tmp_path / "moved/wavs")
    synthesis.synthesise(tmp_path / "moved/data", tmp_path / "moved/wavs")
    shutil.rmtree(tmp_path / "moved/data")
    synthesis.synthesise(tmp_path / "moved/other/data", tmp_path / "moved/wavs")
    assert spoken_files(tmp_path / "moved/wavs")["b-1.wav"] != before["b-1.wav"]


def test_a_folder_of_speech_over_a_link_has_a_record(tmp_path: Path) -> None:
    data, wavs, disk = tmp_path / "data", tmp_path / "wavs", tmp_path / "disk" / "deep" / "wavs"
    for folder in (data, disk):
        folder.mkdir(parents=True)
    wavs.symlink_to(disk)
    Record(wavs, data).written("digest")
    assert Record(wavs, data).tables_of == "digest"


@needs_espeak
def test_what_was_made_of_the_speech_stays_as_long_as_it_does(data: Path, tmp_path: Path) -> None:
    """Speech in another pitch may last as long: the lengths alone do not tell that it is new."""
    wavs, other = tmp_path / "wavs", tmp_path / "other"
    synthesis.synthesise(data, wavs)
    made = {"feats.scp": "a-1 x.ark:1\n", "ctm.json": "{}", "ctm.lost": "a-2 no\n"}
    made |= {"ctm": "a-1 1 0 1 play\n", "phones.ctm": "a-1 1 0 1 P\n"}  # of `atat align`
    for name, content in made.items():
        (data / name).write_text(content)
    synthesis.synthesise(data, wavs)
    assert {name: (data / name).read_text() for name in made} == made
    voices = tables.read_table(data / "spk2voice")
    tables.write_table(data / "spk2voice", {**voices, "b": f"{voices['b']}:pitch=80"})
    shutil.copytree(data, other)
    synthesis.synthesise(other, tmp_path / "elsewhere")
    shutil.copy(other / "utt2dur", data / "utt2dur")  # as if it had been so long before
    synthesis.synthesise(data, wavs)
    assert not any((data / name).exists() for name in ("feats.scp", "ctm.json", "ctm.lost"))
    assert (data / "ctm").read_bytes() == (other / "ctm").read_bytes()


@needs_espeak
def test_a_dir_of_which_nothing_is_left_stays_as_it_was(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.write_table(data / "text", dict.fromkeys(tables.read_table(data / "text"), "?"))
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    with pytest.raises(InputError, match="no utterance would be left; nothing was changed"):
        synthesis.synthesise(data, tmp_path / "wavs", max_lost=1.0)
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    assert "dropped" not in capsys.readouterr().err
    for name in ("text", "utt2spk"):
        (data / name).write_text("")
    with pytest.raises(InputError, match="utt2spk: no utterances to speak"):
        synthesis.synthesise(data, tmp_path / "wavs")


@pytest.mark.parametrize(
    ("voice", "message"),
    [
        pytest.param("espeak:en-us:rate=5000", "rate=5000 is outside", marks=needs_espeak),
        pytest.param("espeak:en-us+nobody", "no variant 'nobody'", marks=needs_espeak),
        pytest.param("flite:nobody", "flite has only", marks=needs_flite),
        ("piper:nowhere.onnx", "no file nowhere.onnx"),
        ("polly:Joanna:speed=2", "unknown option 'speed'"),
    ],
)
def test_a_voice_that_cannot_speak_is_named_before_anything_is_spoken(
    data: Path, tmp_path: Path, voice: str, message: str
) -> None:
    if reason := synthesis.available(parse_voice(voice).engine):
        pytest.skip(reason)
    voices = tables.read_table(data / "spk2voice")
    tables.write_table(data / "spk2voice", {**voices, "b": voice})
    with pytest.raises(InputError, match=f"spk2voice:2: .*{message}"):
        synthesis.synthesise(data, tmp_path / "wavs")
    assert not (tmp_path / "wavs").exists()


def test_long_data_path_is_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The library cuts its data path off after 160 characters.
    import espeakng_loader

    deep = tmp_path / ("deep" * 40)
    deep.mkdir()
    os.symlink(espeakng_loader.get_data_path(), deep / "data")
    expected = synthesis.speak("espeak:en-us", "hello").samples
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(deep / "data"))
    np.testing.assert_array_equal(synthesis.speak("espeak:en-us", "hello").samples, expected)
