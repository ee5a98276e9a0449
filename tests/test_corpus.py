"""Published corpora on disk: the right folder is told from wrong ones, what is lost is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from atat.base.errors import InputError
from atat.datadir import corpus
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
