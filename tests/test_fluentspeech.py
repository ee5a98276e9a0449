"""The Fluent Speech Commands recipe's local commands: miniature, trees, faults, splits, subsets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny

from atat.base import config
from atat.base.errors import InputError
from atat.datadir import kaldi_dir, licence, tables
from atat.datadir.overlap import overlap
from atat.scoring import transcribed
from atat.scoring.metrics import tree_counts
from atat.text import trees

LOCAL = Path(__file__).resolve().parent.parent / "egs" / "fluentspeech" / "local"


@pytest.fixture
def corpus(local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The miniature with short tones for speech."""
    make_mini = local("make_mini")
    monkeypatch.setattr(make_mini, "speak", tiny.tones)
    make_mini.main(["--out", str(tmp_path / "corpus")])
    return tmp_path / "corpus"


def prepare(local: Any, corpus: Path, *options: str) -> Path:
    out = corpus.parent / "data"
    local("prepare_fluentspeech").main(
        ["--corpus", str(corpus), "--out", str(out), "--max_lost", "0.05", *options]
    )
    return out


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_miniature_is_read_back_and_each_planted_fault_counted(
    local: Any, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = prepare(local, corpus)
    printed = capsys.readouterr().out
    sizes = {name: len(kaldi_dir.load(data / name)) for name in ("train", "dev", "test")}
    assert sizes == {"train": 70, "dev": 24, "test": 24}  # 72 but for the two faults
    assert "1  recording that is not there (left out)" in printed
    assert "1  recording that cannot be read (left out)" in printed
    assert "not published" not in printed
    shared = overlap(data / "train", data / "test")
    assert str(shared) == "24 of 24 sentences (100.0 %), 0 of 2 speakers"
    listed = (data / "findings.txt").read_text()
    assert "train_data.csv:3: " in listed and "truncated" in listed
    for one in kaldi_dir.load(data / "train"):
        assert one.id.startswith(f"{one.speaker}-") and Path(one.wav or "").is_file()


def test_commas_quotes_and_curly_apostrophes_are_read(local: Any, corpus: Path) -> None:
    data = prepare(local, corpus)
    texts, raw = (tables.read_table(data / "train" / name) for name in ("text", "text.raw"))
    assert "that's too loud" in texts.values() and "That’s too loud" in raw.values()
    assert "i couldn't hear anything turn up the volume" in texts.values()


@pytest.mark.parametrize(
    "command, tree",
    [
        (
            ("Turn up the heat in the kitchen", "increase", "heat", "kitchen"),
            "[IN:INCREASE [SL:OBJECT heat ] [SL:LOCATION kitchen ] "
            "turn up the heat in the kitchen ]",
        ),
        (
            ("Change language", "change language", "none", "none"),
            "[IN:CHANGE_LANGUAGE change language ]",
        ),
        (
            ("Use Chinese", "change language", "Chinese", "none"),
            "[IN:CHANGE_LANGUAGE [SL:OBJECT chinese ] use chinese ]",
        ),
    ],
)
def test_a_command_is_a_tree_with_its_labels_first(
    local: Any, command: tuple[str, str, str, str], tree: str
) -> None:
    fluent = local("fluent")
    assert fluent.tree(fluent.Row("a.csv:2", "a.wav", "anna", *command)) == tree
    assert trees.is_well_formed(trees.parse(tree))


def test_em_hyp_is_the_3_tuple_and_em_full_adds_the_transcript(local: Any) -> None:
    fluent = local("fluent")

    def of(text: str, action: str, thing: str, location: str) -> str:
        return fluent.tree(fluent.Row("", "", "", text, action, thing, location))

    truth = of("Bathroom lights on", "activate", "lights", "washroom")
    cases = {
        truth: (1, 1),
        of("Bedroom lamps off", "activate", "lights", "washroom"): (1, 0),
        of("Bathroom lights on", "activate", "lights", "none"): (0, 0),
        of("Bathroom lights on", "activate", "lamp", "washroom"): (0, 0),
        of("Bathroom lights on", "deactivate", "lights", "washroom"): (0, 0),
    }
    for hypothesis, expected in cases.items():
        counts = tree_counts(truth, hypothesis)
        assert (counts["em_hyp"][0], counts["em_full"][0]) == expected, hypothesis
        assert counts["hyp_er"][0] == 1 - expected[0]


@pytest.mark.parametrize("split", ["unseen", "challenge"])
def test_further_splits_have_two_tests(local: Any, corpus: Path, split: str) -> None:
    data = prepare(local, corpus, "--split", split)
    parts = {
        name: kaldi_dir.load(data / name)
        for name in ("train", "dev", "test_speaker", "test_utterance")
    }
    ids = [one.id for part in parts.values() for one in part]
    assert len(ids) == len(set(ids)) == 118
    heard = {one.speaker for one in parts["train"]}
    said = {one.text for one in parts["train"]}
    assert not heard & {one.speaker for one in parts["test_speaker"]}
    assert not said & {one.text for one in parts["test_utterance"]}
    assert overlap(data / "train", data / "test_utterance").sentences == 0


def test_splits_are_found_beside_data_and_else_said_where_to_put(local: Any, corpus: Path) -> None:
    (corpus / "data/challenge_splits").rename(corpus / "challenge_splits")
    assert (prepare(local, corpus, "--split", "challenge") / "test_speaker").is_dir()
    (corpus / "challenge_splits" / "speaker_test_data.csv").unlink()
    with pytest.raises(InputError) as error:
        prepare(local, corpus, "--split", "challenge")
    for told in (
        "speaker_test_data.csv, utterance",
        "data/challenge_splits",
        "github.com/maseEval/mase",
        "holds train_data.csv, utterance_test_data.csv",
    ):
        assert told in str(error.value)


def test_odd_rows_are_left_out_or_kept_and_listed(
    local: Any, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = corpus / "data" / "test_data.csv"
    header, first, second, third, *rest = path.read_text().splitlines()
    fields = second.split(",")
    fields[-3] = "explode"
    third = third.replace(third.split(",")[3], "...", 1)
    path.write_text("\n".join([header, first, first, ",".join(fields), third, *rest]) + "\n")
    other = corpus / "data" / "valid_data.csv"
    other.write_text(other.read_text() + first + "\n")
    data = prepare(local, corpus)
    printed = capsys.readouterr().out
    for finding in (
        "row that stands twice in a set",
        "label that is not published (kept)",
        "row without words (left out)",
        "recording in two sets (kept in both",
    ):
        assert f"1  {finding}" in printed
    assert len(kaldi_dir.load(data / "test")) == 23 and len(kaldi_dir.load(data / "dev")) == 25


def test_too_much_lost_stops(local: Any, corpus: Path) -> None:
    with pytest.raises(InputError, match=r"2 of 120 recordings.*--max_lost 0.01.*findings.txt"):
        prepare(local, corpus, "--max_lost", "0.01")


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            "speakerId,transcription",
            "speaker,text",
            "test_data.csv:1: no column speakerId, transcrip",
        ),
        (",none\n", "\n", "test_data.csv:[0-9]+: fewer columns"),
    ],
)
def test_other_columns_are_named(
    local: Any, corpus: Path, old: str, new: str, message: str
) -> None:
    edit(corpus / "data" / "test_data.csv", old, new)
    with pytest.raises(InputError, match=message):
        prepare(local, corpus)


def test_the_folder_must_be_the_root(local: Any, corpus: Path) -> None:
    for wrong in (corpus / "data", corpus.parent):
        with pytest.raises(InputError, match=f"--corpus {corpus}"):
            prepare(local, wrong)
    (corpus / "data" / "valid_data.csv").unlink()
    with pytest.raises(InputError, match="the download is not whole"):
        prepare(local, corpus)


def test_subsets_depend_on_their_seed_alone(local: Any, corpus: Path) -> None:
    chosen = local("draw_subsets").chosen
    utterances = [f"spk-{number}" for number in range(1000)]
    ten = [set(chosen(utterances, 10, seed)) for seed in (1, 2)]
    assert [len(one) for one in ten] == [100, 100]
    assert 2 < len(ten[0] & ten[1]) < 25  # hypergeometric: 10 expected
    assert set(chosen(utterances[::-1], 10, 1)) == ten[0]
    assert set(chosen(utterances, 1, 1)) < ten[0]
    data = prepare(local, corpus)
    for model in ("e2e", "atat"):
        conf = 'cmvn: "{subset}/cmvn.ark"\ntrain: [{data: "{subset}/train", task: slu}]\nsteps: 5\n'
        (data / f"{model}_subset.yaml").write_text(conf)
    local("draw_subsets").main(
        [
            "--data",
            str(data / "train"),
            "--percent",
            "10",
            "--number",
            "2",
            "--out",
            str(data / "subsets"),
            "--confs",
            str(data),
        ]
    )
    for seed in "12":
        assert config.read_yaml(data / "e2e_10" / f"{seed}.yaml") == {
            "cmvn": f"{data}/subsets/{seed}/cmvn.ark",
            "steps": 5,
            "train": [{"data": f"{data}/subsets/{seed}/train", "task": "slu"}],
        }
        assert (data / "subsets" / seed / "cmvn.ark").is_file()
    whole = tables.read_table(data / "train" / "semantics")
    parts = [tables.read_table(data / "subsets" / seed / "train" / "semantics") for seed in "12"]
    assert [len(part) for part in parts] == [7, 7] and parts[0] != parts[1]
    assert all(part.items() <= whole.items() for part in parts)


# ------------------------------------------------------------------------------ spoken sentences


@pytest.fixture
def sentences(local: Any, tmp_path: Path) -> Path:
    """The csv files of the miniature alone."""
    make_mini = local("make_mini")
    make_mini.write_splits(tmp_path / "csv", make_mini.recordings(1))
    return tmp_path / "csv"


def prepare_spoken(local: Any, corpus: Path, *options: str) -> Path:
    out = corpus.parent / "spoken"
    local("prepare_spoken").main(["--corpus", str(corpus), "--out", str(out), *options])
    return out


def test_to_be_spoken_are_the_rows_of_the_corpus(local: Any, sentences: Path, corpus: Path) -> None:
    """Ids, speakers, words and trees are those of the recordings; audio is not asked for."""
    spoken = prepare_spoken(local, sentences)
    heard = prepare(local, corpus)
    for name in ("train", "dev", "test"):
        for table in ("text", "text.raw", "semantics", "utt2spk"):
            found, real = (tables.read_table(data / name / table) for data in (spoken, heard))
            assert real.items() <= found.items(), (name, table)
            assert len(found) - len(real) == (2 if name == "train" else 0)  # the planted faults
        assert not (spoken / name / "wav.scp").exists()
        assert licence.of(spoken / name).startswith("Fluent Speech Commands: academic")
        assert licence.of(heard / name) == licence.OWN  # this miniature says that it is ours


def test_no_voice_is_shared_and_the_test_has_an_engine_of_its_own(
    local: Any, sentences: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atat.prepare import synthesis

    monkeypatch.setattr(synthesis, "available", lambda engine: None)
    spoken = prepare_spoken(local, sentences)
    engines, names = {}, {}
    for name in ("train", "dev", "test"):
        said = tables.read_table(spoken / name / "spk2voice")
        assert set(said) == set(tables.read_table(spoken / name / "utt2spk").values())
        engines[name] = {voice.split(":")[0] for voice in said.values()}
        names[name] = {voice.split(":")[1].rpartition("+")[2] for voice in said.values()}
    # Piper's packages are not part of the environment.
    assert engines["train"] - {"piper"} == {"espeak"} == engines["dev"]
    assert engines["test"] == {"flite"}
    assert not names["train"] & names["dev"] | (names["train"] | names["dev"]) & names["test"]


def test_a_speaker_has_one_voice_in_all_sets(local: Any, sentences: Path) -> None:
    spoken = prepare_spoken(local, sentences, "--split", "unseen", "--limit", "30", "4", "20")
    voices: dict[str, set[str]] = {}
    for name in ("train", "dev", "test_speaker", "test_utterance"):
        for speaker, voice in tables.read_table(spoken / name / "spk2voice").items():
            voices.setdefault(speaker, set()).add(voice)
    assert all(len(found) == 1 for found in voices.values())
    assert len(tables.read_table(spoken / "test_utterance" / "text")) <= 20


def test_a_limit_keeps_the_share_of_each_sentence(local: Any) -> None:
    """Counts are those of the whole, to a row; another seed chooses other rows."""
    program = local("prepare_spoken")
    said = ["lamp on"] * 500 + ["lamp off"] * 300 + ["louder"] * 190 + ["stop"] * 10
    rows = [
        (None, kaldi_dir.Utterance(id=f"a-{number:04d}", speaker="a", text=text))
        for number, text in enumerate(said)
    ]
    chosen = {seed: program.thinned(rows, 100, seed) for seed in (1, 2)}
    for found in chosen.values():
        assert len({one.id for _, one in found}) == 100
        for text in dict.fromkeys(said):
            assert abs(sum(one.text == text for _, one in found) - said.count(text) / 10) <= 1
    ids = [{one.id for _, one in found} for found in chosen.values()]
    assert len(ids[0] & ids[1]) < 40
    assert {one.id for _, one in program.thinned(rows[::-1], 100, 1)} == ids[0]
    assert program.thinned(rows, 0, 1) == program.thinned(rows, 2000, 1) == rows


def test_what_was_spoken_stays_while_nothing_changes(local: Any, sentences: Path) -> None:
    folder = prepare_spoken(local, sentences) / "train"
    (folder / "wav.scp").write_text("kept\n")
    prepare_spoken(local, sentences)
    assert (folder / "wav.scp").exists()
    prepare_spoken(local, sentences, "--limit", "20")
    assert not (folder / "wav.scp").exists()


def test_csv_files_without_sentences_are_named(local: Any, sentences: Path) -> None:
    path = sentences / "data" / "test_data.csv"
    whole = path.read_text()
    edit(path, "transcription", "words")
    with pytest.raises(InputError, match="test_data.csv:1: no column transcription"):
        prepare_spoken(local, sentences)
    lines = whole.splitlines()
    rows = [",".join([*line.split(",")[:3], "", *line.split(",")[-3:]]) for line in lines[1:]]
    path.write_text("\n".join([lines[0], *rows]) + "\n")
    with pytest.raises(InputError, match="test_data.csv: the column transcription is empty.*mase"):
        prepare_spoken(local, sentences)
    path.unlink()
    with pytest.raises(InputError, match="expected train_data.csv, valid_data.csv, test_data.csv"):
        prepare_spoken(local, sentences)


@pytest.mark.parametrize("limit", [["1", "2"], ["-1"]])
def test_a_limit_is_one_number_or_three(local: Any, sentences: Path, limit: list[str]) -> None:
    with pytest.raises(InputError, match="expected one number or three"):
        prepare_spoken(local, sentences, "--limit", *limit)


# ------------------------------------------------------------------------- Google's transcripts


def google(sentences: Path, columns: str, skipped: int = 0) -> None:
    """The published file, in which every command is heard as "um" or as nothing."""
    lines = [columns]
    for part in ("train", "valid", "test"):
        rows = (sentences / "data" / f"{part}_data.csv").read_text().splitlines()[1:]
        paths = [row.split(",")[1] for row in rows]
        lines += [f"{path},{'Um... LAMP' if n % 2 else ' '}" for n, path in enumerate(paths)]
    (sentences / "gcloud_transcription.csv").write_text(
        "\n".join(lines[: len(lines) - skipped]) + "\n"
    )


def test_googles_transcripts_become_what_an_nlu_reads(local: Any, sentences: Path) -> None:
    data = prepare_spoken(local, sentences) / "test"
    google(sentences, "audio path,predicted_words")
    arguments = ["--corpus", str(sentences), "--data", str(data), "--out", str(data / "google")]
    local("google_transcripts").main(arguments)
    transcribed.main(
        ["--data", str(data), "--decoded", str(data / "google"), "--out", str(data / "heard")]
    )
    heard = tables.read_table(data / "heard" / "text")
    assert heard.keys() == tables.read_table(data / "text").keys()
    assert set(heard.values()) == {"um lamp", transcribed.NOTHING}
    semantics = tables.read_table(data / "semantics")
    assert tables.read_table(data / "heard" / "semantics") == semantics


def test_transcripts_that_are_not_there_are_named(local: Any, sentences: Path) -> None:
    data = prepare_spoken(local, sentences) / "test"
    arguments = ["--corpus", str(sentences), "--data", str(data), "--out", str(data / "google")]
    with pytest.raises(InputError, match="gcloud_transcription.csv: no such file; get it from"):
        local("google_transcripts").main(arguments)
    google(sentences, "path,words")
    with pytest.raises(InputError, match="csv:1: no column audio path, predicted_words; expected"):
        local("google_transcripts").main(arguments)
    path = sentences / "gcloud_transcription.csv"
    for rows, message in (
        (b"1,a/b.wav\n", "csv:2: fewer columns than the header; is the file whole"),
        (b"1,a/b.wav,caf\xe9\n", "byte 0xe9 is not UTF-8"),
    ):
        path.write_bytes(b"n,audio path,predicted_words\n" + rows)
        with pytest.raises(InputError, match=message):
            local("google_transcripts").main(arguments)
    google(sentences, "audio path,predicted_words", skipped=3)
    with pytest.raises(InputError, match="no transcript of 3 of 24 utterances"):
        local("google_transcripts").main(arguments)
