"""The top recipe's local commands: TOP and STOP on disk, recordings of one's own, voices."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from atat.base.errors import InputError
from atat.datadir import kaldi_dir, tables
from atat.datadir.corpus import Oddities
from atat.datadir.corpus_top import read_top
from atat.datadir.overlap import overlap
from atat.prepare import synthesis
from atat.speech import audio
from atat.text.trees import parse, words

RECIPE = Path(__file__).resolve().parent.parent / "egs" / "top"
LOCAL = RECIPE / "local"

ROWS = (
    ("Stop in Boston .", "[IN:GET_EVENT Stop in [SL:LOCATION Boston ] . ]"),
    ("Leave at 9 : 30 am", "[IN:GET_DIRECTIONS Leave [SL:DATE_TIME at 9 : 30 am ] ]"),
    ("the eagles game", "[IN:GET_DIRECTIONS [SL:DESTINATION [IN:GET_EVENT the eagles game ] ] ]"),
    ("play jazz", "[IN:UNSUPPORTED_MUSIC play jazz ]"),
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """TOP with four rows in each file."""
    folder = tmp_path / "downloads" / "top"
    folder.mkdir(parents=True)
    for name in ("train", "eval", "test"):
        lines = [f"{said}\t{said}\t{tree}\n" for said, tree in ROWS]
        (folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def mini(local: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole miniature, spoken."""
    if synthesis.available("espeak") is not None:
        pytest.skip("espeakng-loader is not installed")
    folder = tmp_path_factory.mktemp("mini")
    local("make_mini").main(["--out", str(folder / "corpus"), "--pretrain", str(folder / "old")])
    return folder


def prepare(local: Any, data: Path, *arguments: object) -> None:
    local("prepare_text").main(["--out", str(data), *map(str, arguments)])


def record(local: Any, data: Path, *arguments: object) -> dict[str, kaldi_dir.Utterance]:
    local("prepare_audio").main(["--out", str(data), *map(str, arguments)])
    return {utterance.id: utterance for utterance in kaldi_dir.load(data / "real_test")}


def write_csv(folder: Path, *rows: str) -> tuple[Path, Path]:
    """A folder with the recordings a.wav (44.1 kHz) and b.wav, and a csv of these rows."""
    import numpy as np

    noise = np.random.default_rng(1).normal(0, 0.1, 22050).astype(np.float32)
    audio.save(folder / "wavs" / "a.wav", noise, 44100)
    audio.save(folder / "wavs" / "b.wav", noise)
    (folder / "said.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "wavs", folder / "said.csv"


def test_text_and_tree_agree_and_ids_are_lines(local: Any, corpus: Path, tmp_path: Path) -> None:
    prepare(local, tmp_path, "--corpus", corpus)
    utterances = kaldi_dir.load(tmp_path / "text_test")
    assert [u.id for u in utterances] == [f"top-test-{n:06d}" for n in (1, 2, 3, 4)]
    assert [u.text for u in utterances] == [
        "stop in boston",
        "leave at nine thirty a m",
        "the eagles game",
        "play jazz",
    ]
    for utterance in utterances:
        assert " ".join(words(parse(utterance.semantics or ""))) == utterance.text
    assert list(tables.read_table(tmp_path / "text_test" / "utt2group").values()) == [
        "flat",
        "flat",
        "nested",
        "flat",
    ]
    raw = tables.read_table(tmp_path / "text_test" / "text.raw")
    assert raw["top-test-000002"] == "Leave at 9 : 30 am"


def test_sentences_are_left_out_by_a_word_of_an_intent(
    local: Any, corpus: Path, tmp_path: Path, capsys: Any
) -> None:
    prepare(local, tmp_path, "--corpus", corpus, "--leave_out", "UNSUPPORTED", "EVENT")
    assert [u.text for u in kaldi_dir.load(tmp_path / "text_dev")] == ["leave at nine thirty a m"]
    assert len(tables.read_table(tmp_path / "text_dev" / "left_out")) == 3
    assert "1 of 4 sentences, 0 with nested intents; 3 left out" in capsys.readouterr().out
    with pytest.raises(InputError, match="leaves nothing of train"):
        prepare(local, tmp_path, "--corpus", corpus, "--leave_out", "UNSUPPORTED", "GET")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("two\t[IN:A two ]", "other number of columns"),
        ("not closed\tnot closed\t[IN:A not closed", "no tree"),
        ("?\t?\t[IN:A ? ]", "no words"),
    ],
)
def test_a_row_that_is_no_sentence_is_lost(
    local: Any, corpus: Path, tmp_path: Path, line: str, kind: str
) -> None:
    with (corpus / "eval.tsv").open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(InputError, match="1 of 13 rows must be left out"):
        prepare(local, tmp_path, "--corpus", corpus)
    prepare(local, tmp_path, "--corpus", corpus, "--max_lost", 0.1)
    assert len(kaldi_dir.load(tmp_path / "text_dev")) == 4
    findings = (tmp_path / "text_findings.txt").read_text(encoding="utf-8")
    assert f"{kind} (left out): {corpus.resolve()}/eval.tsv:5: " in findings


def test_other_folders_and_files_are_refused(local: Any, corpus: Path, tmp_path: Path) -> None:
    (corpus / "notes").mkdir()
    for wrong in (corpus.parent, corpus / "notes"):
        with pytest.raises(InputError, match=f"--corpus {corpus.resolve()}"):
            prepare(local, tmp_path, "--corpus", wrong)
    with pytest.raises(InputError, match="no such folder"):
        prepare(local, tmp_path, "--corpus", tmp_path / "a" / "b" / "c" / "d")
    test = (corpus / "test.tsv").read_text(encoding="utf-8")
    (corpus / "test.tsv").write_text(f"domain\tutterance\tsemantic_parse\n{test}")
    with pytest.raises(InputError, match="columns domain, utterance, semantic_parse; TOP has no h"):
        prepare(local, tmp_path, "--corpus", corpus)
    (corpus / "test.tsv").unlink()
    with pytest.raises(InputError, match="holds train.tsv, eval.tsv, test.tsv; found eval.tsv"):
        prepare(local, tmp_path, "--corpus", corpus)


def test_what_a_csv_may_say(local: Any, corpus: Path, tmp_path: Path) -> None:
    prepare(local, tmp_path, "--corpus", corpus, "--leave_out", "UNSUPPORTED")
    folder, table = write_csv(
        tmp_path,
        "speaker,file,row,text",
        'anna b,a.wav,2,"Leave at 9:30 a.m."',
        ",b.wav,3,",
        ",b.wav,4,play jazz",
    )
    found = record(local, tmp_path, "--audio", folder, "--audio_csv", table)
    assert {u.speaker: u.text for u in found.values()} == {
        "anna_b": "leave at nine thirty a m",
        "audio000002": "the eagles game",
    }
    converted = found["anna_b-audio000001"].wav
    assert converted and audio.probe(converted).sample_rate == 16000
    assert found["audio000002-audio000002"].wav == str((folder / "b.wav").resolve())


def test_a_line_without_cells_is_no_recording_and_one_that_breaks_off_is_named(
    local: Any, corpus: Path, tmp_path: Path
) -> None:
    prepare(local, tmp_path, "--corpus", corpus)
    folder, table = write_csv(tmp_path, "file,row", "a.wav,2", "", "b.wav,3", " ")
    found = record(local, tmp_path, "--audio", folder, "--audio_csv", table, "--max_lost", "0")
    assert sorted(found) == ["audio000001-audio000001", "audio000003-audio000003"]
    folder, table = write_csv(tmp_path, "file,row", "a.wav,2", "b.wav\r,3")
    with pytest.raises(InputError, match="said.csv:3: this line is no row of a csv file"):
        record(local, tmp_path, "--audio", folder, "--audio_csv", table)


def test_rows_of_a_csv_without_a_sentence_are_lost(
    local: Any, corpus: Path, tmp_path: Path
) -> None:
    prepare(local, tmp_path, "--corpus", corpus)
    folder, table = write_csv(
        tmp_path,
        "file,row,text",
        "a.wav,5,",
        "a.wav,1,the eagles game",
        "a.wav,1",
        "c.wav,1,",
        "b.wav,1,",
    )
    (folder / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match="4 of 5 recordings must be left out"):
        record(local, tmp_path, "--audio", folder, "--audio_csv", table)
    findings = (tmp_path / "real_test" / "findings.txt").read_text(encoding="utf-8")
    for kind in ("no such line", "text is not that", "other number of columns", "no such record"):
        assert findings.count(f"\n{kind}") == 1, kind


def test_other_csvs_and_folders_of_audio_are_refused(
    local: Any, corpus: Path, tmp_path: Path
) -> None:
    prepare(local, tmp_path, "--corpus", corpus)
    for header in ("path,sentence", "file,row,gender", "row,text", "file\trow"):
        folder, table = write_csv(tmp_path, header, "a.wav,1,x")
        with pytest.raises(InputError, match="said.csv:1: found the columns"):
            record(local, tmp_path, "--audio", folder, "--audio_csv", table)
    folder, table = write_csv(tmp_path, "file,text", "a.wav,Stop in Boston")
    (folder / "deeper").mkdir()
    for wrong in (folder.parent, folder / "deeper"):
        with pytest.raises(InputError, match=f"they are in {folder}: --audio {folder}"):
            record(local, tmp_path, "--audio", wrong, "--audio_csv", table)
    with pytest.raises(InputError, match="--audio and --audio_csv go together"):
        record(local, tmp_path, "--audio", folder)


def test_top_alone_is_made_without_speech(local: Any, mini: Path, tmp_path: Path) -> None:
    local("make_mini").main(["--out", str(tmp_path)])
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert [str(file) for file in files] == ["top/eval.tsv", "top/test.tsv", "top/train.tsv"]
    for file in files:
        assert (tmp_path / file).read_bytes() == (mini / "corpus" / file).read_bytes()


def test_the_miniature_is_read_and_its_faults_are_counted(
    local: Any, mini: Path, tmp_path: Path, capsys: Any
) -> None:
    top, stop = mini / "corpus" / "top", mini / "corpus" / "stop"
    prepare(local, tmp_path, "--corpus", top, "--max_lost", 0.1)
    sizes = {
        part: len(kaldi_dir.load(tmp_path / f"text_{part}")) for part in ("train", "dev", "test")
    }
    assert sizes == {"train": 42, "dev": 6, "test": 14}
    told = capsys.readouterr().out
    for fault in (
        "1  other number of columns",
        "1  no tree",
        "1  tokens are not those of the tree",
    ):
        assert fault in told
    shared = overlap(tmp_path / "text_train", tmp_path / "text_test")
    assert str(shared) == "1 of 14 sentences (7.1 %)"
    assert "a tag parts a spoken word" in told
    found = record(
        local,
        tmp_path,
        "--stop",
        stop,
        "--audio",
        mini / "corpus" / "audio",
        "--audio_csv",
        mini / "corpus" / "audio.csv",
        "--max_lost",
        0.4,
    )
    told = capsys.readouterr().out
    for fault in (
        "2  no such recording",
        "1  recording that cannot be decoded",
        "1  no such line in the test set",
        "1  other number of columns",
        "8 of STOP's 10 test recordings",
    ):
        assert fault in told
    assert len(found) == 12 and {"anna", "ben"} < {u.speaker for u in found.values()}
    pretraining = kaldi_dir.load(mini / "old" / "train_music")
    assert all(parse(u.semantics or "") for u in pretraining)
    new = {
        tag
        for u in kaldi_dir.load(tmp_path / "text_train")
        for tag in (u.semantics or "").split()
        if tag.startswith("[")
    }
    assert not any(tag in new for u in pretraining for tag in (u.semantics or "").split())


def test_stop_alone_has_its_own_text(local: Any, mini: Path, tmp_path: Path, capsys: Any) -> None:
    stop = mini / "corpus" / "stop"
    prepare(local, tmp_path, "--stop", stop, "--max_lost", 0.1)
    found = record(local, tmp_path, "--stop", stop, "--max_lost", 0.4)
    assert "9 of STOP's 10 test recordings" in capsys.readouterr().out  # one row is cut off
    assert "stop000009-stop000009" in found and len(found) == 7
    with pytest.raises(InputError, match=f"is STOP, not TOP; give it as: --stop {stop}"):
        prepare(local, tmp_path, "--corpus", stop)
    with pytest.raises(InputError, match=f"--stop {stop.resolve()}"):
        prepare(local, tmp_path, "--stop", stop.parent)


def test_stop_without_a_sentence_of_the_corpus_is_refused(
    local: Any, corpus: Path, mini: Path, tmp_path: Path
) -> None:
    prepare(local, tmp_path, "--corpus", corpus)
    with pytest.raises(InputError, match="not one of its sentences is in the test set of --corpus"):
        record(local, tmp_path, "--stop", mini / "corpus" / "stop")


def test_stop_with_other_columns_is_refused(local: Any, mini: Path, tmp_path: Path) -> None:
    manifests = tmp_path / "stop" / "manifests"
    manifests.mkdir(parents=True)
    for path in (mini / "corpus" / "stop" / "manifests").iterdir():
        text = path.read_text(encoding="utf-8").replace("seqlogical", "parse", 1)
        (manifests / path.name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="train.tsv:1: the header has no seqlogical; found file"):
        prepare(local, tmp_path, "--stop", manifests.parent)


def test_voices_of_the_test_are_not_those_of_training(
    local: Any, corpus: Path, tmp_path: Path
) -> None:
    prepare(local, tmp_path, "--corpus", corpus)
    speech = local("prepare_speech")
    speech.main(["--data", str(tmp_path), "--spoken", "3", "--tested", "2"])
    texts, voices = {}, {}
    for part in ("train", "test"):
        folder = tmp_path / f"tts_{part}"
        texts[part] = list(tables.read_table(folder / "text").values())
        voices[part] = set(tables.read_table(folder / "spk2voice").values())
        assert len(tables.read_table(folder / "semantics")) == len(texts[part])
    assert len(texts["train"]) == 3 and len(texts["test"]) == 2
    assert not voices["train"] & voices["test"]
    assert set(tables.read_table(tmp_path / "tts_test" / "utt2group").values()) == {
        "flat",
        "nested",
    }
    before = (tmp_path / "tts_train" / "utt2spk").stat().st_mtime_ns
    speech.main(["--data", str(tmp_path), "--spoken", "3", "--tested", "2"])
    assert (tmp_path / "tts_train" / "utt2spk").stat().st_mtime_ns == before


def test_sentences_are_spread_evenly(local: Any) -> None:
    spread = local("prepare_speech").spread
    everything = list(range(100))
    assert spread(everything, 0) == spread(everything, 200) == everything
    for count in (1, 7, 50, 99):
        chosen = spread(everything, count)
        assert len(set(chosen)) == count and chosen == sorted(chosen)
        gaps = [later - earlier for earlier, later in zip(chosen, chosen[1:])]
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_real_trees_lose_nothing(data_root: Path) -> None:
    folder = data_root / "top"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    oddities = Oddities()
    rows, count = read_top(folder, "dev", oddities)
    assert len(rows) == count and oddities.lost == 0
    assert 0 < oddities.counts()["a tag parts a spoken word (kept)"] < 0.02 * count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--corpus is missing"),
        (["--conf", "big", "--mini"], "--conf is one of: paper cpu; found 'big'"),
        (["--corpus", "x", "--init", "y"], "y: is no packed model"),
        (["--corpus", "x", "--pretrain_data", "y"], "--pretrain_data goes with --conf cpu"),
        (["--corpus", "x", "--conf", "cpu", "--pretrain_data", "y"], "train_music/feats.scp"),
    ],
)
def test_the_recipe_refuses(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [RECIPE / "run.sh", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2 and message in done.stderr
