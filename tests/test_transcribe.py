"""Laws of transcripts: by a model of ours, with word times and confidences, and as labels."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.check import validate
from atat.datadir.ctm import Word, read_ctm, write_ctm
from atat.datadir.kaldi_dir import Utterance
from atat.engine import model_folder
from atat.nn.beam_search import SearchOptions
from atat.nn.settings import CtcSettings
from atat.prepare import hearing, model_jobs, sphinx, transcribe
from atat.prepare.align_model import ModelAligner
from atat.scoring import decoded_dir, pseudo_transcripts, transcribed
from atat.speech import audio, moonshine_asr
from atat.systems.joint.model import build_model
from atat.systems.joint.packed import Packed
from atat.systems.joint.recognizer import Recognizer
from atat.systems.joint.settings import ModelSettings

COUNT = 10


def save_model(
    folder: Path, settings: ModelSettings | None = None, tasks: tuple[str, ...] = ("slu", "asr")
) -> Path:
    """A packed model with random weights that hears words, few of other pieces, in everything."""
    torch.manual_seed(3)
    settings, tokenizer = settings or tiny.without_dropout(), tiny.make_tokenizer()
    model, units = build_model(settings, tokenizer)
    of_words = [place for place, piece in enumerate(tokenizer.pieces) if piece[1:] in tiny.WORDS]
    with torch.no_grad():
        for place in of_words:
            model.decoder.embedding.base[tokenizer.first_piece_id + place] *= 6
    model_folder.save(folder, Packed(model, tokenizer, settings, units, None, set(), tasks))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("exp") / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings and their speakers; no words. Two are segments, one is shorter than a frame."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    rows = []
    for number in range(COUNT):
        wav = folder / f"{number}.wav"
        length = 200 if number == 4 else int(rng.integers(9_000, 30_000))
        audio.save(wav, rng.normal(0, 0.1, length).clip(-1, 1).astype(np.float32))
        rows.append(Utterance(f"s-{number}", "s", wav=str(wav)))
    rows[0] = replace(rows[0], recording="r-0", start=0.1, end=0.5)
    rows = [replace(one, recording=one.recording or one.id) for one in rows]
    rows = [one if one.start is not None else replace(one, start=0.0) for one in rows]
    kaldi_dir.write(folder / "data", rows)
    return folder / "data"


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Work is done in this process, in batches of four; the batches are listed.

    Outputs are short, as of a model that has learned, so that their words fit the audio.
    """
    worked: list[Any] = []

    def run(work: Callable[[Any], Any], todo: Sequence[Any], nj: int) -> Any:
        worked.extend(todo)
        return map(work, todo)

    monkeypatch.setattr(hearing.parallel, "run", run)
    monkeypatch.setattr(model_jobs, "BATCH", 4)
    monkeypatch.setattr(model_jobs, "SEARCH", {**model_jobs.SEARCH, "max_length": 5})
    return worked


def run_joint(data: Path, out: Path, model: Path, *more: str) -> Path:
    transcribe.main(
        ["--engine", "joint", "--model", str(model), "--data", str(data), "--out", str(out), *more]
    )
    return out


def contents_of(out: Path) -> dict[str, str]:
    paths = (out / name for name in ("hyp", "nbest.jsonl", "utt2conf", "ctm"))
    return {path.name: path.read_text() for path in paths if path.exists()}


def test_a_model_writes_what_its_recognizer_writes(
    data: Path, model: Path, tmp_path: Path, in_this_process: list[Any]
) -> None:
    out = run_joint(data, tmp_path / "out", model)
    assert len(in_this_process) == 3
    hyp, confidence = decoded_dir.read_transcripts(out), decoded_dir.read_confidence(out)
    recognizer = Recognizer.load(model, options=SearchOptions(nbest=1, max_length=5))
    for one in kaldi_dir.load(data):
        if one.id == "s-4":  # nothing can be heard in less than a frame
            assert hyp[one.id] == "" and one.id not in confidence
            continue
        features = recognizer.features(audio.load(str(one.wav), one.start, one.end))
        (found,) = recognizer.recognize([features], "asr")
        assert found.text and hyp[one.id] == found.text
        assert confidence[one.id] == pytest.approx(found.score, abs=0.02)  # another batch
    about = json.loads((out / "decode.json").read_text())
    assert (about["task"], about["engine"], about["model"]) == ("asr", "joint", str(model))


def test_word_times_are_those_of_the_head_and_are_read_as_written(
    data: Path, model: Path, tmp_path: Path, in_this_process: list[Any]
) -> None:
    out = run_joint(data, tmp_path / "out", model)
    timed, hyp = read_ctm(out / "ctm"), decoded_dir.read_transcripts(out)
    assert timed, "a random model writes some words that fit"
    aligner = ModelAligner(model)
    for one in kaldi_dir.load(data):
        samples = audio.load(str(one.wav), one.start, one.end)
        (words,) = aligner.align([samples], [hyp[one.id]])
        if not hyp[one.id] or isinstance(words, str):
            assert one.id not in timed
            continue
        assert [word.text for word in timed[one.id]] == hyp[one.id].split()
        for read, made in zip(timed[one.id], words, strict=True):
            assert (read.start, read.end) == pytest.approx((made.start, made.end), abs=1e-4)
            assert 0 <= read.start <= read.end <= len(samples) / 16000 + 0.1


def test_interrupted_is_as_uninterrupted_and_hears_only_what_is_missing(
    data: Path, model: Path, tmp_path: Path, in_this_process: list[Any]
) -> None:
    out = run_joint(data, tmp_path / "out", model)
    whole = contents_of(out)
    journal = out / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    # One batch whole, of the next one line and a torn one.
    journal.write_text("".join(lines[:6]) + lines[6][:30])
    for name in whole:
        (out / name).unlink()
    in_this_process.clear()
    run_joint(data, out, model)
    assert [len(batch) for batch in in_this_process] == [4, 2]
    assert contents_of(out) == whole
    in_this_process.clear()
    run_joint(data, out, model)
    assert not in_this_process and contents_of(out) == whole


def test_a_full_disk_leaves_what_was_heard_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(heard: object) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    one = hearing.Recognized("a", "play", 0.0, None, None, False, 1.0, 0.1)
    journal = tmp_path / "journal.jsonl"
    journal.write_text(f'{{"settings": "k"}}\n{json.dumps(asdict(one))}\n')
    before = journal.read_bytes()
    monkeypatch.setattr(hearing, "asdict", full)
    jobs = [hearing.Span(name, "x.wav") for name in "ab"]
    with pytest.raises(OSError, match="disk full"):
        hearing.decode(jobs, journal, 1, hear=list, key="k", name="x")
    assert journal.read_bytes() == before


def test_what_cannot_be_read_is_counted_and_has_no_transcript(
    data: Path,
    model: Path,
    tmp_path: Path,
    in_this_process: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of one it shows beforehand; another is damaged where only its reader gets to."""
    soundfile = pytest.importorskip("soundfile")
    folder, out = tmp_path / "data", tmp_path / "out"
    soundfile.write(tmp_path / "slow.wav", np.zeros(8000), 8000)
    samples = np.random.default_rng(0).normal(0, 0.1, 20_000)
    soundfile.write(tmp_path / "late.flac", samples, 16_000)
    flac = (tmp_path / "late.flac").read_bytes()
    (tmp_path / "late.flac").write_bytes(flac[: len(flac) // 2] + bytes(len(flac) // 2))
    broken = {"s-2": str(tmp_path / "late.flac"), "s-7": str(tmp_path / "slow.wav")}
    rows = kaldi_dir.load(data)
    kaldi_dir.write(
        folder, [replace(one, wav=broken.get(one.id, one.wav), duration=None) for one in rows]
    )
    with pytest.raises(InputError, match="(?s)1 of 10 .* cannot be read.*s-7: .*slow.wav: sampled"):
        run_joint(folder, out, model)
    assert not out.exists()
    with pytest.raises(InputError, match="(?s)2 of 10 .*s-2: .*late.flac.*--max_lost 0.201"):
        run_joint(folder, out, model, "--max_lost", "0.1")
    run_joint(folder, out, model, "--max_lost", "0.2")
    assert "each has an empty transcript" in capsys.readouterr().err
    hyp = decoded_dir.read_transcripts(out)
    assert list(hyp) == [one.id for one in rows] and not hyp["s-2"] and not hyp["s-7"]
    about = json.loads((out / "decode.json").read_text())
    assert about["utterances"] == 10 and sorted(about["lost"]) == ["s-2", "s-7"]
    assert sum(bool(text) for text in hyp.values()) == 7  # s-4 is shorter than a frame


def test_a_damaged_line_of_the_journal_is_heard_again(tmp_path: Path) -> None:
    one = hearing.Recognized("a", "play", 0.0, None, None, False, 1.0, 0.1)
    good = json.dumps(asdict(one)).encode()
    journal = tmp_path / "journal.jsonl"
    for damage in (b"5", b"null", b"[1]", b"\xff", good.replace(b"play", b"\xff"), good[:9]):
        journal.write_bytes(b'{"settings": "k"}\n' + damage + b"\n" + good + b"\n")
        assert hearing._read_journal(journal, "k") == {"a": one}
    journal.write_bytes(b"\xff")
    assert hearing._read_journal(journal, "k") == {}


def test_who_counts_nothing_is_told_which_recording_cannot_be_read(
    tmp_path: Path, in_this_process: list[Any]
) -> None:
    jobs = [sphinx.Job("a", "nowhere.wav")]
    with pytest.raises(InputError, match="utterance a: nowhere.wav: no such audio file"):
        hearing.decode(jobs, tmp_path / "journal", 1, hear=sphinx.hear, key="k", name="x")


def test_the_number_of_processes_changes_nothing(data: Path, model: Path, tmp_path: Path) -> None:
    one, two = (run_joint(data, tmp_path / nj, model, "--nj", nj) for nj in "12")
    assert contents_of(one) == contents_of(two)


def test_another_model_hears_all_again(
    data: Path, model: Path, tmp_path: Path, in_this_process: list[Any]
) -> None:
    run_joint(data, tmp_path / "out", model)
    in_this_process.clear()
    torch.manual_seed(5)
    without = replace(tiny.without_dropout(), ctc=CtcSettings(weight=0.0))
    other = save_model(tmp_path / "model", without)
    out = run_joint(data, tmp_path / "out", other)
    assert len(in_this_process) == 3
    # It has no CTC head: no times, and none of the other model's are left.
    assert not (out / "ctm").exists() and (out / "utt2conf").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "joint"], "--engine joint needs --model, a packed model"),
        (["--engine", "joint", "--model", "m", "--lm_text", "x"], "joint has no language model"),
        (["--engine", "moonshine", "--model", "m"], "moonshine has a model of its own"),
        (["--engine", "joint", "--model", "nowhere"], "nowhere: not a packed model"),
    ],
)
def test_options_of_another_engine_are_refused(
    data: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        transcribe.main(["--data", str(data), "--out", str(tmp_path / "out"), *options])
    assert not (tmp_path / "out").exists()


def test_a_model_without_the_task_is_refused_before_anything_is_made(
    data: Path, tmp_path: Path
) -> None:
    untaught = save_model(tmp_path / "model", tasks=("slu", "mlm"))
    with pytest.raises(InputError, match="no task asr.*it learned slu, mlm. Train it on asr too"):
        run_joint(data, tmp_path / "out", untaught)
    assert not (tmp_path / "out").exists()


def test_a_recogniser_that_cannot_be_used_is_no_lost_recording(
    data: Path, tmp_path: Path, in_this_process: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATAT_ENCODERS", str(tmp_path))
    folder, out = tmp_path / "moonshine-tiny", tmp_path / "out"
    folder.mkdir()
    (folder / "origin.json").write_text(
        json.dumps({"name": folder.name, "source": "x==1", "sha256": "0", "licence": "MIT"})
    )
    (folder / "encoder_model.ort").write_bytes(b"damaged")
    with pytest.raises(InputError, match="encoder_model.ort: .*atat encoder get moonshine-tiny"):
        transcribe.main(
            ["--engine", "moonshine", "--data", str(data), "--out", str(out), "--max_lost", "1"]
        )
    assert not in_this_process and not (out / "hyp").exists()


# ------------------------------------------------------------------ confidence of Moonshine


@pytest.mark.parametrize("most", [2, 5])
def test_moonshine_says_how_sure_it_is_and_whether_it_was_cut(most: int) -> None:
    """Three tokens and the end, each with a known probability."""
    chances = [0.5, 0.25, 0.8, 0.4]

    class Session:
        step = 0

        def run(self, names: list[str], inputs: dict[str, Any]) -> list[np.ndarray]:
            token = (5, 6, 7, moonshine_asr.EOS)[self.step]
            chance = chances[self.step]
            logits = np.full(8, np.log((1 - chance) / 7), np.float32)
            logits[token] = np.log(chance)
            self.step += 1
            return [logits[None, None], *(np.zeros(1) for _ in names[1:])]

    recognizer = moonshine_asr.MoonshineRecognizer.__new__(moonshine_asr.MoonshineRecognizer)
    recognizer._session = Session()
    written = recognizer._decode(np.zeros((3, 288), np.float32), most)
    heard = chances[:most]
    assert written.at_limit == (most < len(chances))
    assert written.tokens == [5, 6, 7][:most]
    assert written.mean == pytest.approx(np.mean(np.log(heard)), abs=1e-5)


# ------------------------------------------------------------------ transcripts as labels


CONFIDENCE = {"s-0": -0.1, "s-1": -0.4, "s-2": -0.9, "s-5": -0.2}


@pytest.fixture
def heard(data: Path, tmp_path: Path) -> Path:
    """A decoded dir: four have words, one of those was cut, s-2 has impossible times."""
    words = ["Play", "2", "songs"]
    texts = dict.fromkeys(CONFIDENCE, " ".join(words))
    nbest: dict[str, list[dict[str, Any]]] = {
        one.id: [{"text": texts.get(one.id, ""), "score": -1.0, "length": 3}]
        for one in kaldi_dir.load(data)
    }
    nbest["s-5"][0]["at_limit"] = True
    nbest["s-6"] = decoded_dir.unread("broken")
    good = [Word(word, 0.1 * place, 0.1) for place, word in enumerate(words)]
    late = [replace(word, start=word.start + 99) for word in good]
    decoded_dir.write(
        tmp_path / "decoded",
        nbest,
        {"task": "asr", "engine": "toy", "model": "toy 1.0"},
        confidence=CONFIDENCE,
        words={"s-0": good, "s-1": good, "s-2": late},
    )
    return tmp_path / "decoded"


def run_heard(data: Path, decoded: Path, out: Path, *more: str) -> Path:
    transcribed.main(
        [
            *("--task", "asr", "--data", str(data), "--decoded", str(decoded)),
            *("--out", str(out), *more),
        ]
    )
    return out


def test_unlabelled_speech_becomes_valid_asr_data(
    data: Path, heard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run_heard(data, heard, tmp_path / "out")
    printed = capsys.readouterr().out
    assert "3 of 10 utterances, word times in 2; left out: 6 (no words), 1 (ended by" in printed
    assert not validate(out).errors, [str(one) for one in validate(out).findings]
    assert tables.read_table(out / "text") == dict.fromkeys(("s-0", "s-1", "s-2"), "play two songs")
    before = {one.id: one for one in kaldi_dir.load(data)}
    for one in kaldi_dir.load(out):
        assert replace(one, text=None) == before[one.id]
    assert decoded_dir.read_confidence(out) == {
        key: CONFIDENCE[key] for key in before if key in ("s-0", "s-1", "s-2")
    }
    timed = read_ctm(out / "ctm")
    assert {key: [w.text for w in words] for key, words in timed.items()} == dict.fromkeys(
        ("s-0", "s-1"), ["play", "two", "songs"]
    )


def test_the_data_says_where_its_text_comes_from(data: Path, heard: Path, tmp_path: Path) -> None:
    out = run_heard(data, heard, tmp_path / "out", "--min_confidence", "-0.5")
    about = json.loads((out / pseudo_transcripts.ABOUT).read_text())
    assert (about["engine"], about["model"], about["decoded"]) == ("toy", "toy 1.0", str(heard))
    assert about["min_confidence"] == -0.5 and "commit" in about["provenance"]
    kept = set(tables.read_table(out / "text"))
    assert kept == {"s-0", "s-1"} and about["utterances"] == 2
    assert about["left_out"].keys() == {one.id for one in kaldi_dir.load(data)} - kept
    assert about["left_out"]["s-2"] == "confidence below the least"
    assert about["left_out"]["s-5"] == "ended by the length limit"


def test_what_belonged_to_another_text_is_not_kept(data: Path, heard: Path, tmp_path: Path) -> None:
    labelled = tmp_path / "labelled"
    rows = kaldi_dir.load(data)
    words = {"text": "stop", "semantics": "[IN:STOP stop ]", "duration": None}
    kaldi_dir.write(labelled, [replace(one, **words) for one in rows])
    write_ctm(labelled / "ctm", {one.id: [Word("stop", 0.0, 0.1)] for one in rows})
    (labelled / "phones.ctm").touch()
    tables.write_table(labelled / "utt2group", dict.fromkeys((one.id for one in rows), "new"))
    (heard / "ctm").unlink()
    out = run_heard(labelled, heard, tmp_path / "out")
    assert set(tables.read_table(out / "text").values()) == {"play two songs"}
    assert not any((out / name).exists() for name in ("semantics", "ctm", "phones.ctm"))
    assert tables.read_table(out / "utt2group").keys() == {"s-0", "s-1", "s-2"}
    assert not validate(out).errors


def test_labels_that_cannot_be_made_are_refused(data: Path, heard: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"no utterance is left of 10 \(6 \(no words\), 1"):
        run_heard(data, heard, out, "--min_confidence", "0")
    with pytest.raises(InputError, match="is the data dir that was decoded; choose another --out"):
        run_heard(data, heard, data)
    with pytest.raises(InputError, match="is the data dir that was decoded; choose another --out"):
        run_heard(data, heard, data, "--task", "nlu")
    with pytest.raises(InputError, match="--min_confidence is for --task asr"):
        run_heard(data, heard, out, "--min_confidence", "-1", "--task", "nlu")
    text_only = tmp_path / "text_only"
    kaldi_dir.write(text_only, [Utterance(one.id, "s", text="a") for one in kaldi_dir.load(data)])
    with pytest.raises(InputError, match="neither wav.scp nor feats.scp"):
        run_heard(text_only, heard, out)
    (heard / "utt2conf").write_text("s-0 -0.1\n")
    with pytest.raises(InputError, match="utt2conf: no confidence for 's-1'; decode again"):
        run_heard(data, heard, out)
    (heard / "utt2conf").write_text("s-0 sure\n")
    with pytest.raises(InputError, match="utt2conf:1: found 'sure' for 's-0', expected a number"):
        run_heard(data, heard, out)
    (heard / "utt2conf").unlink()
    with pytest.raises(InputError, match="utt2conf: no such file; .*leave out --min_confidence"):
        run_heard(data, heard, out, "--min_confidence", "-1")
    assert not out.exists()
    # Without confidences nothing but the words decides.
    assert not (run_heard(data, heard, out) / "utt2conf").exists()


def test_what_a_model_never_ended_is_no_label(
    data: Path, model: Path, tmp_path: Path, in_this_process: list[Any]
) -> None:
    decoded = run_joint(data, tmp_path / "decoded", model)
    assert len(decoded_dir.read_at_limit(decoded)) == COUNT - 1
    with pytest.raises(InputError, match=r"of 10 \(1 \(no words\), 9 \(ended by the length limit"):
        run_heard(data, decoded, tmp_path / "out")
