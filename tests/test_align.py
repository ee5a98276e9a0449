"""The command `atat align`: what it writes, loses, keeps and takes up again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.ctm import Word, read_ctm, write_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.engine import model_folder
from atat.nn.settings import AudioEncoderSettings
from atat.prepare import sphinx
from atat.prepare.align import main
from atat.prepare.align_backends import Settings, origin
from atat.prepare.align_model import ModelAligner
from atat.prepare.textgrid import read_textgrid, write_textgrid
from atat.speech import audio
from atat.systems.joint.model import build_model
from atat.systems.joint.packed import Packed
from atat.systems.joint.settings import ModelSettings
from atat.text.ctc_labels import WORD_START, CharacterUnits

TEXT = "stop the music"
WORDS = [Word("Stop", 0.1, 0.3), Word("the", 0.4, 0.2), Word("music", 0.7, 0.6)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five utterances of noise with text, and a TextGrid of each in `grids`."""
    utterances = []
    for number in range(5):
        name = f"anna-{number}"
        wav = tmp_path / "wavs" / f"{name}.wav"
        noise = np.random.default_rng(number).normal(0, 0.1, 24000).astype(np.float32)
        audio.save(wav, noise)
        write_textgrid(tmp_path / "grids" / "anna" / f"{name}.TextGrid", WORDS, 1.5)
        utterances.append(Utterance(id=name, speaker="anna", wav=str(wav), text=TEXT))
    kaldi_dir.write(tmp_path / "data", utterances)
    return tmp_path / "data"


def read_grids(data: Path, *more: str) -> None:
    folder = str(data.parent / "grids")
    main(["--backend", "textgrid", "--data", str(data), "--textgrids", folder, *more])


def test_ctm_of_textgrids(data: Path) -> None:
    read_grids(data, "--write_textgrids", str(data.parent / "written"))
    alignments = read_ctm(data / "ctm")
    assert list(alignments) == [f"anna-{number}" for number in range(5)]
    assert [word.text for word in alignments["anna-3"]] == TEXT.split()
    written, duration = read_textgrid(data.parent / "written" / "anna-3.TextGrid")
    assert [round(word.start, 4) for word in written] == [0.1, 0.4, 0.7] and duration == 1.5
    about = json.loads((data / "ctm.json").read_text())
    assert about["aligned"] == 5 and about["provenance"]["commit"]
    assert sorted(path.name for path in data.glob("ctm*")) == ["ctm", "ctm.json"]


def test_processes_change_nothing(data: Path) -> None:
    read_grids(data)
    alone = (data / "ctm").read_bytes()
    read_grids(data, "--nj", "3", "--out", str(data / "other"))
    assert (data / "other").read_bytes() == alone


@pytest.mark.parametrize(
    ("words", "duration", "reason"),
    [
        (WORDS[:2], 1.5, "other words than the text"),
        (WORDS, 3.0, "longer than its audio"),
        (WORDS, 1.35, "shorter than its audio"),
        (None, 1.5, "no file anna-2.textgrid"),
    ],
)
def test_what_does_not_fit_is_listed_and_counted(
    data: Path, words: list[Word] | None, duration: float, reason: str
) -> None:
    path = data.parent / "grids" / "anna" / "anna-2.TextGrid"
    path.unlink()
    if words is not None:
        write_textgrid(path, words, duration)
    with pytest.raises(InputError, match="(?s)1 of 5 utterances have no alignment.*more than 1.0%"):
        read_grids(data)
    assert not (data / "ctm").exists()
    lost = tables.read_table(data / "ctm.lost")
    assert list(lost) == ["anna-2"] and reason in lost["anna-2"]
    read_grids(data, "--max_lost", "0.2")
    assert list(read_ctm(data / "ctm")) == ["anna-0", "anna-1", "anna-3", "anna-4"]
    assert (data / "ctm.lost").exists()


def test_a_rerun_takes_up_what_was_done(data: Path) -> None:
    path = data.parent / "grids" / "anna" / "anna-2.TextGrid"
    content = path.read_bytes()
    path.write_text("broken", encoding="utf-8")
    with pytest.raises(InputError, match="no alignment"):
        read_grids(data)
    (part,) = (data / "ctm.parts").glob("*.json")
    # A mark in what was kept shows up again where the rerun did not do that utterance again.
    part.write_text(part.read_text().replace("0.1,", "0.05,"))
    path.write_bytes(content)
    changed = data.parent / "grids" / "anna" / "anna-4.TextGrid"
    write_textgrid(changed, [*WORDS[:2], Word("music", 0.8, 0.5)], 1.5)
    read_grids(data)
    starts = {utt: [word.start for word in words] for utt, words in read_ctm(data / "ctm").items()}
    assert starts["anna-0"] == [0.05, 0.4, 0.7]
    assert starts["anna-2"] == [0.1, 0.4, 0.7]
    assert starts["anna-4"] == [0.1, 0.4, 0.8]
    assert not (data / "ctm.parts").exists() and not (data / "ctm.lost").exists()


def test_a_ctm_that_another_program_has_changed_is_made_again(data: Path) -> None:
    read_grids(data)
    whole, about = (data / "ctm").read_bytes(), json.loads((data / "ctm.json").read_text())
    (data / "ctm").write_text("anna-1 1 0 1 stop\n")
    read_grids(data)
    assert (data / "ctm").read_bytes() == whole
    # Of before there were digests: taken as it is.
    del about["digests"]
    (data / "ctm.json").write_text(json.dumps(about))
    (data / "ctm").write_text("anna-1 1 0 1 stop\n")
    read_grids(data)
    assert (data / "ctm").read_text() == "anna-1 1 0 1 stop\n"


def test_a_finished_ctm_that_lacks_too_many_is_not_enough(data: Path) -> None:
    (data.parent / "grids" / "anna" / "anna-2.TextGrid").unlink()
    read_grids(data, "--max_lost", "0.2")
    with pytest.raises(InputError, match="1 of 5 utterances have no alignment"):
        read_grids(data, "--max_lost", "0")


def test_the_length_that_words_are_compared_to_counts(data: Path) -> None:
    names = [f"anna-{number}" for number in range(5)]
    tables.write_table(data / "utt2dur", {**dict.fromkeys(names, "1.5"), "anna-2": "9"})
    read_grids(data, "--max_lost", "0.2")
    assert "anna-2" not in read_ctm(data / "ctm")
    (data / "utt2dur").unlink()
    read_grids(data, "--max_lost", "0.2")
    assert list(read_ctm(data / "ctm")) == names
    audio.save(data.parent / "wavs" / "anna-3.wav", np.zeros(80_000, np.float32))
    read_grids(data, "--max_lost", "0.2")
    assert "anna-3" not in read_ctm(data / "ctm")


@pytest.mark.parametrize("cut", [False, True])
def test_a_finished_ctm_stays_when_features_write_lengths(
    data: Path, capsys: pytest.CaptureFixture[str], cut: bool
) -> None:
    """Which are the same but for their decimals, or were in no table before."""
    wavs = tables.read_table(data / "wav.scp")
    for samples, wav in zip((24_001, 24_079, 23_998, 24_016, 24_008), wavs.values()):
        audio.save(wav, np.full(samples, 0.1, np.float32))
    if cut:
        ends = zip(wavs, (-1, 1.49995, 1.4949, 1.495, 1.5))
        tables.write_table(data / "segments", {name: f"{name} 0.01 {end}" for name, end in ends})
    samples = {
        one.id: len(audio.load(str(one.wav), one.start, one.end)) for one in kaldi_dir.load(data)
    }
    read_grids(data)
    for decimals in (2, 3, 6):
        capsys.readouterr()
        lengths = {name: f"{number / 16000:.{decimals}f}" for name, number in samples.items()}
        tables.write_table(data / "utt2dur", lengths)
        read_grids(data)
        assert "nothing to do" in capsys.readouterr().out


def test_a_ctm_of_another_hearing_of_pocketsphinx_is_made_again(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, settings = kaldi_dir.load(data)[0], Settings("pocketsphinx")
    before = origin(one, settings)
    assert before == origin(one, settings)
    monkeypatch.setattr(sphinx, "HEARING", "one after the other")
    assert before != origin(one, settings)


def test_textgrids_of_a_finished_ctm_are_written_from_it(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = data.parent / "first", data.parent / "second"
    read_grids(data, "--write_textgrids", str(first))
    monkeypatch.setattr("atat.prepare.align._run", lambda *_: pytest.fail("aligned again"))
    read_grids(data, "--write_textgrids", str(second))
    assert "already made" in capsys.readouterr().out
    assert len(list(first.iterdir())) == 5
    for path in first.iterdir():
        assert (second / path.name).read_bytes() == path.read_bytes()


def test_words_that_no_textgrid_holds_are_left_out_of_it(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [
        {"word": text, "case": "success", "start": start, "end": end}
        for text, start, end in (("stop", 0.1, 0.4006), ("the", 0.4, 0.6), ("music", 0.6, 0.6))
    ]
    for number in range(5):
        path = data.parent / "json" / f"anna-{number}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"words": entries}))
    grids = data.parent / "written"
    options = ["--json", str(path.parent), "--write_textgrids", str(grids), "--data", str(data)]
    main(["--backend", "gentle", *options])
    assert [word.text for word in read_ctm(data / "ctm")["anna-0"]] == TEXT.split()
    words, _ = read_textgrid(grids / "anna-0.TextGrid")
    assert [(word.text, word.start) for word in words] == [("stop", 0.1), ("the", 0.4006)]
    assert "5 words are in no TextGrid" in capsys.readouterr().err


def test_a_finished_ctm_is_not_made_again(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_grids(data)
    before = (data / "ctm").stat().st_mtime_ns
    read_grids(data)
    assert "nothing to do" in capsys.readouterr().out
    assert (data / "ctm").stat().st_mtime_ns == before
    write_textgrid(data.parent / "grids" / "anna" / "anna-4.TextGrid", WORDS, 1.52)
    read_grids(data)
    assert (data / "ctm").stat().st_mtime_ns != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "textgrid"], "needs --textgrids"),
        (["--backend", "gentle"], "needs --json"),
        (["--backend", "ctc"], "needs --model"),
        (["--backend", "textgrid", "--textgrids", "nowhere"], "nowhere: no such folder"),
        (["--backend", "ctc", "--model", "nowhere"], "nowhere"),
        (["--backend", "pocketsphinx", "--nj", "0"], "--nj is 0; expected 1 or more"),
    ],
)
def test_wrong_options(data: Path, options: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main([*options, "--data", str(data)])


def test_data_without_audio_or_text(data: Path) -> None:
    (data / "wav.scp").unlink()
    with pytest.raises(InputError, match="wav.scp: no such file; pocketsphinx needs it"):
        main(["--backend", "pocketsphinx", "--data", str(data)])
    read_grids(data)
    (data / "text").unlink()
    with pytest.raises(InputError, match="text: no such file"):
        read_grids(data)


def test_gentle_and_librispeech_backends(data: Path) -> None:
    folder = data.parent / "json"
    folder.mkdir()
    lines = []
    for number in range(5):
        entries = [
            {"word": word.text, "case": "success", "start": word.start, "end": word.end}
            for word in WORDS
        ]
        (folder / f"anna-{number}.json").write_text(json.dumps({"words": entries}))
        lines.append(f'anna-{number} ",STOP,THE,,MUSIC," "0.1,0.4,0.6,0.7,1.3,1.5"\n')
    (folder / "anna.alignment.txt").write_text("".join(lines))
    read_grids(data)
    for backend, option in (("gentle", "--json"), ("librispeech", "--alignments")):
        out = data / backend
        main(["--backend", backend, "--data", str(data), option, str(folder), "--out", str(out)])
        assert out.read_bytes() == (data / "ctm").read_bytes()
    # Other words of one of them count, though neither recording nor text has changed.
    again = lines[2].replace("1.3,1.5", "1.2,1.5")
    (folder / "anna.alignment.txt").write_text("".join([*lines[:2], again, *lines[3:]]))
    librispeech = ["--backend", "librispeech", "--data", str(data), "--alignments", str(folder)]
    main([*librispeech, "--out", str(out)])
    assert [round(words[-1].end, 4) for words in read_ctm(out).values()] == [
        1.3,
        1.3,
        1.2,
        1.3,
        1.3,
    ]
    (folder / "more.alignment.txt").write_text(lines[4])
    with pytest.raises(InputError, match="more.alignment.txt: anna-4 has a line in .*anna.align"):
        main([*librispeech, "--out", str(out)])


def test_pocketsphinx_on_synthetic_speech(tmp_path: Path) -> None:
    """Its word boundaries lie near those which the synthesiser tells; broken audio is counted."""
    synthesis = pytest.importorskip("atat.prepare.synthesis")
    if reason := synthesis.available("espeak"):
        pytest.skip(reason)
    texts = ["play some quiet music in the kitchen", "read the next chapter of my book please"]
    truth, utterances = {}, []
    for number, text in enumerate([*texts, "there is nothing to hear"]):
        name, wav = f"eva-{number}", tmp_path / f"{number}.wav"
        if number < len(texts):
            speech = synthesis.speak("espeak:en-us:rate=150", text)
            audio.save(wav, speech.samples)
            truth[name] = speech.words
        else:
            wav.touch()
        utterances.append(Utterance(id=name, speaker="eva", wav=str(wav), text=text))
    kaldi_dir.write(tmp_path / "data", utterances)
    write_ctm(tmp_path / "truth", truth)
    main(["--backend", "pocketsphinx", "--data", str(tmp_path / "data"), "--max_lost", "0.4"])
    assert "empty" in tables.read_table(tmp_path / "data" / "ctm.lost")["eva-2"]
    report = ["report", "--reference", str(tmp_path / "truth"), "--out", str(tmp_path / "table.md")]
    main([*report, f"sphinx={tmp_path / 'data' / 'ctm'}", f"truth={tmp_path / 'truth'}"])
    errors = json.loads((tmp_path / "table.json").read_text())["alignments"]
    assert errors["truth"]["starts"]["mean"] == 0
    assert errors["sphinx"]["matched"] == 15 and errors["sphinx"]["missing"] == 0
    assert errors["sphinx"]["starts"]["mean"] < 0.08
    assert "| truth | start | 0 ms | 0 ms | 100.0 %" in (tmp_path / "table.md").read_text()


def test_report_wants_names(tmp_path: Path) -> None:
    write_ctm(tmp_path / "ctm", {"u": WORDS})
    with pytest.raises(InputError, match="expected NAME=CTM"):
        main(["report", "--reference", str(tmp_path / "ctm"), "ctm", "--out", "t.md"])
    report = ["report", "--reference", str(tmp_path / "ctm"), f"a={tmp_path}/ctm"]
    with pytest.raises(InputError, match="a is named twice"):
        main([*report, f"a={tmp_path}/ctm", "--out", "t.md"])
    for name in ("t.v1", "t.md", "u.json"):
        main([*report, "--out", str(tmp_path / name)])
    written = sorted(path.name for path in tmp_path.glob("[tu].*"))
    assert written == ["t.json", "t.md", "t.v1.json", "t.v1.md", "u.json", "u.md"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed model with a CTC head and random weights."""
    folder = tmp_path_factory.mktemp("exp") / "model"
    save_model(folder, tiny.without_dropout())
    return folder


def save_model(folder: Path, settings: ModelSettings) -> None:
    tokenizer = tiny.make_tokenizer()
    built, units = build_model(settings, tokenizer)
    model_folder.save(folder, Packed(built, tokenizer, settings, units, None, set(), ("asr",)))


def test_ctc_backend(data: Path, model: Path) -> None:
    main(["--backend", "ctc", "--data", str(data), "--model", str(model)])
    for words in read_ctm(data / "ctm").values():
        assert [word.text for word in words] == TEXT.split()
        assert words[-1].end <= 1.5 and all(word.duration > 0 for word in words)


ENCODERS = {
    "pools of 4": AudioEncoderSettings(time_pool=(2, 2)),
    "strides and pools of 8": AudioEncoderSettings(time_stride=(2, 2), time_pool=(2, 1)),
    "pools of 16": AudioEncoderSettings(time_pool=(4, 4)),
    "espnet": AudioEncoderSettings(kind="espnet", espnet_name="transformer"),
    "espnet, 8": AudioEncoderSettings(
        kind="espnet", espnet_name="conformer", espnet_options={"input_layer": "conv2d8"}
    ),
    "espnet, 2": AudioEncoderSettings(
        kind="espnet", espnet_name="transformer", espnet_options={"input_layer": "conv1d2"}
    ),
    "espnet, none": AudioEncoderSettings(
        kind="espnet", espnet_name="transformer", espnet_options={"input_layer": "linear"}
    ),
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_word_times_do_not_depend_on_the_batch(kind: str, tmp_path: Path) -> None:
    """Of short recordings the last state is of a part of its frames: their ratio says little."""
    audio = replace(
        ENCODERS[kind],
        mel_bins=80,
        conv_channels=(4, 8),
        layers=1,
        heads=2,
        feed_forward=16,
        dropout=0.0,
    )
    torch.manual_seed(2)
    save_model(tmp_path / "model", replace(tiny.MODEL, width=16, audio_encoder=audio))
    aligner = ModelAligner(tmp_path / "model")
    rng = np.random.default_rng(4)
    aligned = 0
    long = rng.normal(0, 0.1, 80_000).astype(np.float32)
    # 0.05 s to 2.5 s, one of them with a last state of one frame for every factor there is.
    for frames in (4, 9, 17, 33, 49, 65, 81, 97, 145, 250):
        short = rng.normal(0, 0.1, 240 + 160 * frames).astype(np.float32)
        (alone,) = aligner.align([short], ["a b"])
        together = aligner.align([long, short], ["a b", "a b"])[1]
        assert together == alone, frames
        if isinstance(alone, list):
            aligned += 1
            assert alone[-1].end <= frames / 100 + 0.16, "at most a state's part is not audio"
    assert aligned >= 4


def test_word_times_are_those_of_the_states(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aligner = ModelAligner(model)
    pieces = CharacterUnits().pieces
    emissions = torch.full((1, 5, len(pieces)), -20.0)
    for state, unit in enumerate([WORD_START, "a", WORD_START, "b", "<blank>"]):
        emissions[0, state, pieces.index(unit)] = 0.0
    monkeypatch.setattr(aligner._model.ctc, "log_probs", lambda memory: emissions)
    # 17 frames of 10 ms: four states of four frames and one of the frame that is left.
    (words,) = aligner.align([np.zeros(240 + 160 * 17, np.float32)], ["a b"])
    assert [(word.text, round(word.start, 6), round(word.end, 6)) for word in words] == [
        ("a", 0.0, 0.08),
        ("b", 0.08, 0.2),
    ]


def test_model_aligns_a_batch_as_one_by_one(model: Path) -> None:
    rng = np.random.default_rng(0)
    samples = [rng.normal(0, 0.1, length).astype(np.float32) for length in (32000, 24000, 9000)]
    texts = ["play the song", "stop", "the quick brown fox jumps over the lazy dog"]
    aligner = ModelAligner(model)
    together = aligner.align(samples, texts)
    assert together == [aligner.align([one], [text])[0] for one, text in zip(samples, texts)]
    # 9,000 samples are 54 frames and 14 states, the last text has 43 letters and marks.
    assert isinstance(together[2], str) and "too few frames" in together[2]
    assert aligner.align([samples[0][:300]], ["stop"]) == ["the audio is shorter than one frame"]
