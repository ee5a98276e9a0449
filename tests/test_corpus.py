"""Published corpora on disk: the right folder is told from wrong ones, what is lost is counted, and
the licence goes with what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from atat.base.errors import InputError
from atat.datadir import corpus, edit, licence
from atat.datadir.corpus import Oddities

MARKS = ["data/train.csv", "wavs"]


def root(folder: Path) -> Path:
    return corpus.root(folder, MARKS, name="the corpus", source="https://example.org")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads" / "corpus"
    (folder / "wavs").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "data" / "train.csv").touch()
    return folder


def test_the_root_is_found_whole(whole: Path) -> None:
    assert root(whole) == whole.resolve()


def test_a_folder_too_low_or_too_high_is_refused_and_the_right_one_named(whole: Path) -> None:
    for wrong in (whole / "data", whole.parent, whole.parent.parent):
        with pytest.raises(InputError) as error:
            root(wrong)
        assert f"--corpus {whole}" in str(error.value) and "wavs" in str(error.value)


def test_half_a_download_says_what_was_expected_and_found(whole: Path) -> None:
    (whole / "data" / "train.csv").unlink()
    with pytest.raises(InputError) as error:
        root(whole)
    for told in ("data/train.csv", "found data, wavs", "https://example.org"):
        assert told in str(error.value)
    with pytest.raises(InputError, match="no such folder"):
        root(whole / "nowhere" / "at" / "all" / "here")


def test_what_is_lost_is_listed_and_too_much_of_it_stops(tmp_path: Path, capsys) -> None:
    oddities = Oddities()
    oddities.add("odd", "a.wav")
    oddities.add("missing", "b.wav", lost=True)
    oddities.close(tmp_path / "list.txt", kept=99, max_lost=0.01, corpus=tmp_path)
    assert capsys.readouterr().out.split() == ["1", "odd", "1", "missing"]
    assert "missing: b.wav" in (tmp_path / "list.txt").read_text()
    with pytest.raises(InputError, match="1 of 99 recordings"):
        oddities.close(tmp_path / "list.txt", kept=98, max_lost=0.01, corpus=tmp_path)


REPOSITORY = Path(__file__).resolve().parent.parent


def test_a_corpus_says_its_licence_itself_or_it_is_as_published(tmp_path: Path) -> None:
    assert licence.of_corpus(tmp_path, "LibriSpeech") == "LibriSpeech: CC BY 4.0"
    (tmp_path / "license").write_text("mine alone\n")
    assert licence.of_corpus(tmp_path, "LibriSpeech") == "mine alone"
    assert licence.of(tmp_path / "nowhere") == ""


def test_licences_of_several_sources_are_told_each_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    licence.write(data, "B: b", "A: a; B: b", "")
    assert (data / "license").read_text() == "A: a; B: b; unknown\n"
    licence.write(data, "", "")  # what is not known any more is not said
    assert not (data / "license").exists()


def test_what_is_made_of_data_dirs_has_their_licences(tmp_path: Path) -> None:
    one, two = (
        tiny.make_data(tmp_path / name, 4, seed) for seed, name in enumerate(("one", "two"))
    )
    licence.write(one, "A: a")
    edit.subset(one, tmp_path / "part", edit.first(2))
    assert licence.of(tmp_path / "part") == "A: a"
    for name in ("utt2spk", "text", "semantics", "feats.scp", "utt2num_frames", "utt2dur", "ctm"):
        text = (two / name).read_text()
        (two / name).write_text("".join(f"x{line}" for line in text.splitlines(keepends=True)))
    (two / "spk2utt").unlink()
    edit.combine(tmp_path / "both", [one, two])
    assert licence.of(tmp_path / "both") == "A: a; unknown"


def test_the_page_of_licences_says_the_same() -> None:
    page = (REPOSITORY / "docs" / "pages" / "start" / "licences.md").read_text()
    table = page.partition("## Corpora")[2].partition("## Your models")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if "](" in line]
    assert {name: said for name, _, said in rows} == licence.CORPORA


# What writes a data dir of its own, in the programs of recipes.
WRITERS = ("kaldi_dir.write(", "voices.write_sentences(")


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted(REPOSITORY.glob("egs/*/local/*.py"))
        if any(writer in path.read_text() for writer in WRITERS)
    ],
    ids=lambda path: f"{path.parent.parent.name}/{path.name}",
)
def test_every_program_of_a_recipe_that_writes_a_data_dir_writes_its_licence(path: Path) -> None:
    assert "licence.write(" in path.read_text()
