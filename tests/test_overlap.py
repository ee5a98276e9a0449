"""What a test set shares with training: `atat datadir overlap`."""

from __future__ import annotations

from pathlib import Path

import pytest

from atat.base.errors import InputError
from atat.datadir import commands, kaldi_dir
from atat.datadir.overlap import overlap


def write(folder: Path, said: dict[str, str], *, audio: bool = True) -> Path:
    """A data dir of utterances `speaker-number` with these texts."""
    kaldi_dir.write(
        folder,
        [
            kaldi_dir.Utterance(
                id=key, speaker=key.split("-")[0], text=text, wav=f"/{key}.wav" if audio else None
            )
            for key, text in said.items()
        ],
    )
    return folder


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write(tmp_path / "train", {"a-1": "stop", "a-2": "play jazz", "b-1": "stop"})


def test_utterances_are_counted_that_say_what_training_says(train: Path, tmp_path: Path) -> None:
    test = write(tmp_path / "test", {"b-1": "stop", "b-2": "stop", "c-1": "play", "c-2": "louder"})
    found = overlap(train, test)
    assert (found.sentences, found.utterances, found.same) == (2, 4, 1)
    assert (found.speakers, found.of_speakers) == (1, 2)
    assert str(found) == "2 of 4 sentences (50.0 %), 1 of 2 speakers, 1 as the very same utterance"
    whole = overlap(train, train)
    assert whole.sentences == whole.same == whole.utterances == 3 and whole.speakers == 2


def test_speakers_of_text_alone_are_nobody(train: Path, tmp_path: Path) -> None:
    text = write(tmp_path / "text", {"a-7": "stop", "a-8": "go"}, audio=False)
    for pair in ((train, text), (text, train), (text, text)):
        assert overlap(*pair).speakers is None
    assert "speakers" not in str(overlap(train, text))


def test_the_command_compares_each_with_each(
    train: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = [
        write(tmp_path / name, {f"{name}-1": text}) for name, text in (("c", "stop"), ("d", "no"))
    ]
    commands.main(["overlap", "--train", str(train), str(tests[0]), "--test", *map(str, tests)])
    assert capsys.readouterr().out.splitlines() == [
        f"{tests[0]}: 1 of 1 sentences (100.0 %), 0 of 1 speakers are also in {train}",
        f"{tests[0]}: 1 of 1 sentences (100.0 %), 1 of 1 speakers, 1 as the very same utterance "
        f"are also in {tests[0]}",
        f"{tests[1]}: 0 of 1 sentences (0.0 %), 0 of 1 speakers are also in {train}",
        f"{tests[1]}: 0 of 1 sentences (0.0 %), 0 of 1 speakers are also in {tests[0]}",
    ]


def test_a_dir_without_text_is_refused(train: Path, tmp_path: Path) -> None:
    kaldi_dir.write(tmp_path / "silent", [kaldi_dir.Utterance(id="c-1", speaker="c", wav="/c.wav")])
    with pytest.raises(InputError, match="silent: no file `text`; expected data dirs with text"):
        overlap(train, tmp_path / "silent")
